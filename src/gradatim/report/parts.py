"""What Python hands to a page's template: tables and figures, as plain data.

Neither holds HTML. Text is escaped by the template, specifications of plots by `script_json`. The
templates hold the pages' layout and standing text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Column = tuple[str, str]  # label and kind
Rows = Sequence[dict[str, Any]]
Tables = Mapping[str, Rows]  # by the names of the CSV files


@dataclass(frozen=True)
class Shade:
    """A coloured cell: what it shows, its colour's strength from −1 to 1, what it says in full."""

    text: str
    strength: float
    says: str


@dataclass(frozen=True)
class Table:
    """Rows of cells in groups.

    Attributes:
        label: says to a screen reader what it is.
        columns: made by `columns`.
        groups: rows by the title above them, which may be empty.
        look: a class of the style sheet.
    """

    label: str
    columns: Sequence[Column]
    groups: Mapping[str, Sequence[Sequence[str | Shade]]]
    look: str = ""


@dataclass(frozen=True)
class Figure:
    """A Vega-Lite plot; `label` says to a screen reader what it shows."""

    id: str
    title: str
    label: str
    spec: dict[str, Any]
    note: str = ""
    is_wide: bool = False

    @property
    def json(self) -> str:
        return script_json(self.spec)


def columns(kind: str, *labels: str) -> list[Column]:
    """Columns of a kind: `text`, `number`, `prose`, `arm`, `verdict`, `shade`, a row's `head`."""
    return [(label, kind) for label in labels]


def script_json(value: Any) -> str:
    """JSON that may stand inside a `<script>`: nothing in it can end the element or open another.

    `<`, `>` and `&` become JSON's own escapes, which reading turns back.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
