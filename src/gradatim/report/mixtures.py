"""How often each part of the text was read, and how online mixtures moved: tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradatim.law.comparison import Comparison
from gradatim.record.read import Record
from gradatim.report.figures import areas
from gradatim.report.palette import Arms
from gradatim.report.parts import Figure, Rows, Table, Tables, columns
from gradatim.report.tables import means, natural, where
from gradatim.report.wording import MISSING

ALIKE = 1.2
"""Arms that read a part up to so many times as often as each other are not told apart."""

MAX_COLUMNS = 8
MAX_POINTS = 200
"""Of a figure; there may be a change of weights at every step."""


def passes(records: Sequence[Record]) -> Rows:
    """How often each band, level and source was read, mean over seeds.

    Returns:
        Columns arm, rung, label, passes (draws over its blocks).
    """
    rows = [
        {"arm": record.spec.arm, "rung": record.spec.rung, "label": label, "passes": float(value)}
        for record in records
        for label, value in ((record.finish or {}).get("passes") or {}).items()
    ]
    return means(rows, by=["arm", "rung", "label"], of=["passes"])


def weights(records: Sequence[Record]) -> Rows:
    """The weights of online mixtures at their changes, of the lowest seed of an arm and rung.

    Returns:
        Columns arm, rung, progress, label, share; at most `MAX_POINTS` changes of each run.
    """
    first: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.spec.seed):
        first.setdefault((record.spec.arm, record.spec.rung), record)
    rows = []
    for (arm, rung), record in first.items():
        events = [event for event in record.events("data") if "weights" in event]
        by = ((record.start or {}).get("plan") or {}).get("by", "")
        every = -(-len(events) // MAX_POINTS) or 1
        rows += [
            {"arm": arm, "rung": rung, "progress": event["progress"]}
            | {"label": f"{by} {label}".strip(), "share": share}
            for event in [*events[:-1:every], *events[-1:]]
            for label, share in event["weights"].items()
        ]
    return rows


def weights_proof(comparison: Comparison, tables: Tables, arms: Arms) -> dict[str, Any] | None:
    """A figure of the weights for every online mixture whose weights moved, at the largest rung."""
    changes: dict[tuple[str, str], set[float]] = {}
    for row in tables["weights"]:
        changes.setdefault((row["rung"], row["arm"]), set()).add(row["progress"])
    moved = [row for row in tables["weights"] if len(changes[row["rung"], row["arm"]]) > 1]
    if not moved:
        return None
    largest = next(rung for rung in comparison.rungs[::-1] if where(moved, rung=rung))
    shown = where(moved, rung=largest)
    labels = sorted({row["label"] for row in shown}, key=natural)
    figures = [
        Figure(
            f"plot-weights-{place}",
            arm,
            f"Weight of each label in the mixture of {arm}, over progress",
            areas(rows, labels=labels, title="weight in the mixture"),
        )
        for place, arm in enumerate(arms.names)
        if (rows := where(shown, arm=arm))
    ]
    return {"rung": largest, "labels": labels, "figures": figures}


def passes_table(comparison: Comparison, tables: Tables, arms: Arms) -> Table | None:
    """How often each part was read, of the parts in which arms of a rung differ most."""
    found = tables["passes"]
    spread: dict[str, float] = {}
    for rung in comparison.rungs:
        of_rung = where(found, rung=rung)
        for label in {row["label"] for row in of_rung}:
            each = [row["passes"] for row in where(of_rung, label=label)]
            ratio = max(each) / min(each) if min(each) else float("inf")
            if max(each) > 0 and ratio > ALIKE:
                spread[label] = max(spread.get(label, 0.0), ratio)
    if not spread:
        return None
    widest = sorted(spread, key=lambda label: (-spread[label], natural(label)))[:MAX_COLUMNS]
    labels = sorted(widest, key=natural)
    groups: dict[str, list[list[str]]] = {}
    for rung in comparison.rungs:
        for arm in arms.names:
            read = {row["label"]: row["passes"] for row in where(found, rung=rung, arm=arm)}
            if read:
                cells = [f"{read[x]:.2g}" if x in read else MISSING for x in labels]
                groups.setdefault(f"Rung {rung}", []).append([arm, *cells])
    titles = [label.replace("/", " ") for label in labels]
    heads = [*columns("arm", "Arm"), *columns("number", *titles)]
    return Table("How often each part was read", heads, groups)
