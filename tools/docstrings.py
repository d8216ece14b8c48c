"""The sections of a docstring, for the pages that are made of docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any


def parts(thing: Any) -> dict[str, list[str]]:
    """Lines of the docstring by heading (Args, Raises, ...); the text itself under ""."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line in ("Args:", "Attributes:", "Returns:", "Raises:"):
            found[heading := line[:-1]] = []
        else:
            heading = heading if line.startswith(" ") or not line else ""
            found[heading].append(line.removeprefix("    ") if heading else line)
    return found


def entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each `name: text` of a part; further lines of a text are indented."""
    for entry in re.split(r"\n(?=\S)", "\n".join(lines).strip()):
        name, _, text = entry.partition(":")
        yield name, " ".join(text.split())
