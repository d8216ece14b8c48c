"""A record as tables with fixed columns, so that those of different runs stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from gradatim.record.read import RAW_WEIGHTS, Record

_CLOCK = {"step": pl.Int64, "progress": pl.Float64, "tokens": pl.Int64, "flops": pl.Float64}
_STEP_COLUMNS = _CLOCK | dict.fromkeys(("loss_nats", "learning_rate", "gradient_norm"), pl.Float64)
_VALUE = {"measure": pl.String, "name": pl.String, "value": pl.Float64, "chance": pl.Float64}


def steps(record: Record) -> pl.DataFrame:
    """One row a recorded step: loss, rate, gradient norm, tokens, FLOPs charged so far."""
    rows = [{name: event.get(name) for name in _STEP_COLUMNS} for event in record.events("step")]
    return pl.DataFrame(rows, schema=_STEP_COLUMNS)


def evaluations(record: Record, weights: str = RAW_WEIGHTS) -> pl.DataFrame:
    """Long table of the raw weights, or of an average of them.

    `measure` is `bits_per_byte` (names `all`, `band/1`, `source/...`), or `accuracy` or
    `probability` (names of tasks, such as `held_out/b`, with their chance rate).
    """
    rows = [row for event in record.evaluations(weights) for row in _evaluation_rows(event)]
    return pl.DataFrame(rows, schema={**_CLOCK, **_VALUE}, orient="row")


def _evaluation_rows(event: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    point = tuple(event[name] for name in _CLOCK)
    for name, value in event["bits_per_byte"].items():
        yield (*point, "bits_per_byte", name, value, None)
    for name, scores in event.get("tasks", {}).items():
        for measure in ("accuracy", "probability"):
            yield (*point, measure, name, scores[measure], scores["chance"])
