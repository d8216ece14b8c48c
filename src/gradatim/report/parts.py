"""What a page is made of: sections of parts, each part plain data that the template draws.

No part holds HTML. Text is escaped by the template, specifications by `script_json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "prose",
    "caption",
    "heading",
    "notice",
    "list",
    "figures",
    "keys",
    "table",
    "folded table",
    "folded text",
    "sample",
    "band",
    "excerpts",
    "histograms",
    "matrix",
]


@dataclass(frozen=True)
class Part:
    """One paragraph, table or group of figures; `csv` names the files with its numbers."""

    kind: Kind
    content: Any
    csv: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, its name in the contents, and what stands below it."""

    id: str
    name: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Cell:
    """A cell's text; kind `arm` draws the arm's swatch, `resolved` and `unresolved` its weight."""

    text: str
    kind: Literal["", "arm", "resolved", "unresolved", "prose"] = ""


@dataclass(frozen=True)
class Row:
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Column:
    label: str
    kind: Literal["number", "text"] = "number"


@dataclass(frozen=True)
class Group:
    """Rows that belong together, under a title of their own or none."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    """Groups of rows; `label` says to a screen reader what it is."""

    label: str
    columns: Sequence[Column]
    groups: Sequence[Group]


@dataclass(frozen=True)
class Figure:
    """A Vega-Lite plot; `label` says to a screen reader what it shows."""

    id: str
    title: str
    label: str
    spec: dict[str, Any]
    is_wide: bool = False
    height: int = field(init=False)
    json: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", self.spec["height"])
        object.__setattr__(self, "json", script_json(self.spec))


def text_columns(*labels: str) -> list[Column]:
    return [Column(label, "text") for label in labels]


def number_columns(*labels: str) -> list[Column]:
    return [Column(label) for label in labels]


def script_json(value: Any) -> str:
    """JSON that may stand inside a `<script>`: nothing in it can end the element or open another.

    `<`, `>` and `&` become JSON's own escapes, which reading turns back.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
