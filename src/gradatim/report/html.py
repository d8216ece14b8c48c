"""What every page is made with: the templates, and the policy that locks it.

A page is one file that asks nothing of the network. Every text is escaped; besides, its content
security policy allows no request to anywhere and runs only the scripts whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

MAX_PAGE_BYTES = 5_000_000
_HERE = Path(__file__).parent


def template(name: str) -> jinja2.Template:
    """A template of this folder; an unknown name in it is an error, and every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["marked"] = marked
    return environment.get_template(name)


def content_policy(*scripts: str) -> str:
    """No requests at all; only these scripts; styles, since plots set them on their elements."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def marked(text: str) -> Markup:
    """Escaped text in which `names between backticks` stand out."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    parts = (
        Markup('<b class="name">{}</b>').format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )
    return Markup("").join(parts)


def resource(name: str) -> str:
    """A text file of this folder, with plain line ends."""
    return (_HERE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def theme_rules(light: str, dark: str) -> str:
    """CSS variables by theme."""
    dark_rules = f"@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}"
    return f"\n:root {{{light}}}\n{dark_rules}\n"
