"""How a page and its numbers are written: the template, the policy that locks it, the CSV files.

A page is one file that asks nothing of the network: style, data, plots and the libraries that draw
them (Vega, from vl-convert) are inside. Every text is escaped; besides, its content security policy
allows no request to anywhere and runs only the scripts whose hashes it names, so that text from a
corpus or a model could not run even if the escaping failed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import polars as pl
import vl_convert
from markupsafe import Markup, escape

from gradatim import __version__
from gradatim.files import write_whole
from gradatim.law.phrases import listing
from gradatim.report.parts import Tables
from gradatim.report.wording import capitalised

MAX_PAGE_BYTES = 5_000_000
_FORMULA_SIGNS = tuple("=+-@\t\r\n")
_HERE = Path(__file__).parent


def write_page(
    path: Path,
    template: str,
    *,
    styles: Sequence[str],
    tables: Tables,
    filters: Sequence[Callable[..., str]] = (),
    **content: object,
) -> Path:
    """Write a page to `path`, and its tables as CSV to the folder `<stem>-data` beside it.

    Args:
        path: the HTML file; its folder is made.
        template: a file of this folder.
        styles: style sheets.
        tables: rows by the name of their file; an empty table has none.
        filters: what else turns values into words in the template, by their names.
        content: what else the template asks for.
    """
    data_folder = path.with_name(f"{path.stem}-data")
    write_tables(tables, data_folder)
    bundle, script = _bundle(), resource("page.js")
    html = _template(template, filters).render(
        style=Markup("\n".join(styles)),
        bundle=Markup(bundle),
        script=Markup(script),
        content_policy=_content_policy(bundle, script),
        version=__version__,
        data_folder=data_folder.name,
        data_address=quote(data_folder.name),
        **content,
    )
    write_whole(path, html)
    return path


def write_tables(tables: Tables, folder: Path) -> None:
    """Write every table that has a row as CSV; a file of an earlier, empty one is removed.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        path = folder / f"{name}.csv"
        if rows:
            harmless = [{key: _no_formula(value) for key, value in row.items()} for row in rows]
            pl.DataFrame(harmless, infer_schema_length=None).write_csv(path)
        else:
            path.unlink(missing_ok=True)


def _no_formula(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_SIGNS)
    return f"'{value}" if is_formula else value


def resource(name: str) -> str:
    """A text file of this folder, with plain line ends."""
    return (_HERE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


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


def _template(name: str, filters: Sequence[Callable[..., str]]) -> jinja2.Template:
    """A template of this folder; an unknown name in it is an error, and every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for found in (marked, listing, capitalised, *filters):
        environment.filters[found.__name__] = found
    return environment.get_template(name)


def _content_policy(*scripts: str) -> str:
    """No requests at all; only these scripts; styles, since plots set them on their elements."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; made without a network, in about a second."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert not any(mark in bundle for mark in ("</script", "<!--", "\r")), "not safe to inline"
    return bundle
