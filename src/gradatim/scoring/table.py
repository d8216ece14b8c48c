"""A folder of scores in a few numbers, for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradatim.corpus.locations import in_words
from gradatim.scoring.score import Scored

_RATE_SECONDS = 2.0
"""A shorter scoring is mostly its start, and tells of no rate."""

COLUMNS = ("metric", "10 %", "median", "90 %", "no value")


def facts_of(content: Mapping[str, Any], scored: Scored) -> dict[str, Any]:
    """What there is and what it took.

    Args:
        content: of `scores.json`.
        scored: what the last call did.
    """
    num_rows = content["num_rows"]
    metrics = {
        name: _spread(content["quantiles"].get(name), num_rows) for name in content["columns"]
    }
    return {
        "rows": num_rows,
        "bytes": content["num_bytes"],
        "not_prose_share": content["num_not_prose"] / num_rows,
        "bad_rows": content["num_bad"],
        "bad_places": list(content["places"]),
        "passed_over": dict(content["passed_over"]),
        "scored_bytes": scored.scored_bytes,
        "seconds": scored.seconds,
        "mb_per_second": scored.scored_bytes / scored.seconds / 1e6,
        "metrics": metrics,
    }


def as_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a metric, cells in the order of `COLUMNS`."""
    return [
        (name, *(_short(row[key]) for key in ("p10", "median", "p90")), f"{row['none']:.1%}")
        for name, row in facts["metrics"].items()
    ]


def sentences(facts: Mapping[str, Any], unit: str) -> Sequence[str]:
    """What the table does not say."""
    said = [
        f"{facts['rows']:,} {unit}s, {facts['bytes'] / 1e6:,.1f} MB, "
        f"{facts['not_prose_share']:.1%} not prose"
    ]
    if facts["bad_rows"]:
        said.append(f"{facts['bad_rows']} bad rows or files skipped, the first:")
        said += facts["bad_places"][:5]
    if others := in_words(facts["passed_over"]):
        said.append(f"passed over in the folders: {others}")
    if facts["scored_bytes"]:
        rate = f", {facts['mb_per_second']:.1f} MB/s" if facts["seconds"] >= _RATE_SECONDS else ""
        said.append(f"{facts['seconds']:.1f} s{rate}")
    return said


def _spread(quantiles: Mapping[str, Any] | None, num_rows: int) -> dict[str, float | None]:
    """10 %, median and 90 % of a metric, and the share of rows without a value."""
    if quantiles is None:
        return {"p10": None, "median": None, "p90": None, "none": 1.0}
    values = quantiles["values"]
    missing = 1 - quantiles["num_values"] / num_rows
    return {"p10": values[10], "median": values[50], "p90": values[90], "none": missing}


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
