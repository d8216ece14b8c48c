"""The section on what was learned and forgotten, of arms that read their text more than twice."""

from __future__ import annotations

from typing import Any

from gradatim.record.visits import KINDS
from gradatim.report.figures import areas
from gradatim.report.palette import Arms
from gradatim.report.parts import Figure, Table, Tables, columns
from gradatim.report.tables import where
from gradatim.report.wording import MISSING, percent

_TEXTS = {"training": "training blocks", "held out": "held-out blocks"}


def visit_results(tables: Tables, arms: Arms) -> dict[str, Any] | None:
    """Shares over time at the last rung that has them, and at the end of every rung; or None."""
    over_time = tables.get("visits", ())
    if not over_time:
        return None
    rung = over_time[-1]["rung"]
    figures = [
        Figure(
            f"plot-visits-{place}",
            arm,
            f"Share of the training blocks that {arm} had learned or forgotten, over progress",
            areas(shown, labels=KINDS, title="share of the blocks"),
        )
        for place, arm in enumerate(arms.names)
        if (shown := where(over_time, rung=rung, arm=arm))
    ]
    return {
        "rung": rung,
        "labels": KINDS,
        "figures": figures,
        "kinds": _kinds_table(tables, arms),
        "by_label": _label_table(tables, arms),
    }


def _kinds_table(tables: Tables, arms: Arms) -> Table:
    groups: dict[str, list[list[str]]] = {}
    for rung in dict.fromkeys(row["rung"] for row in tables["visit_kinds"]):
        rows = groups.setdefault(f"Rung {rung}", [])
        for arm in arms.names:
            for row in where(tables["visit_kinds"], rung=rung, arm=arm):
                text = _TEXTS[row["of"]] + (", less the drift" if row["is_less_drift"] else "")
                again = row["share_forgotten_again"]
                shares = [percent(row[kind]) for kind in KINDS]
                rows.append([arm, text, *shares, MISSING if again is None else percent(again)])
    heads = [*columns("arm", "Arm"), *columns("text", "Text")]
    return Table(
        "At the end, and beside it text that is never trained on",
        [*heads, *columns("number", *KINDS, "several times")],
        groups,
    )


def _label_table(tables: Tables, arms: Arms) -> Table:
    groups: dict[str, list[list[str]]] = {}
    for row in tables["visit_labels"]:
        if row["arm"] in arms.names:
            shares = [percent(row[kind]) for kind in KINDS]
            rows = groups.setdefault(f"Rung {row['rung']}, {row['label']}", [])
            rows.append([row["arm"], *shares])
    heads = [*columns("arm", "Arm"), *columns("number", *KINDS)]
    return Table("By difficulty band and source", heads, groups)
