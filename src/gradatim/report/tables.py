"""Records to tidy tables: every number the page plots, one row an observation.

Pairing is by rung and seed, and by the index of the evaluation point, which is at the same progress
for every arm. Intervals are those of `law.interval`: 95 %, Student's t, the deviation pooled over
rungs. Each table is also written as CSV beside the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from gradatim.law.comparison import ALL_RUNGS, HIGHER_IS_BETTER, Comparison
from gradatim.law.fit import LawFit
from gradatim.law.interval import estimates
from gradatim.record.read import Record
from gradatim.report.table_files import write_tables

MAX_POINTS = 200
SLICE_KINDS = ("band", "level", "source", "split")

EXTRAPOLATION = 4.0  # a law is drawn this far beyond the largest x it was fitted to
_NUM_LAW_POINTS = 60
_FEEDING = {"arm": pl.String, "rung": pl.String, "progress": pl.Float64, "label": pl.String}

_RUN = {"arm": pl.String, "rung": pl.String, "seed": pl.Int64}
_LAW = {"arm": pl.String, "variable": pl.String}


@dataclass(frozen=True)
class Tables:
    """Everything the page plots; the field names are the names of the CSV files."""

    summary: pl.DataFrame
    ratios: pl.DataFrame
    finals: pl.DataFrame
    curves: pl.DataFrame
    differences: pl.DataFrame
    difference_means: pl.DataFrame
    slices: pl.DataFrame
    tasks: pl.DataFrame
    law_points: pl.DataFrame
    law_curves: pl.DataFrame
    ledger: pl.DataFrame
    feeding: pl.DataFrame
    consumed: pl.DataFrame
    runs: pl.DataFrame

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        comparison: Comparison,
        laws: Sequence[LawFit],
        feeding: pl.DataFrame | None,
    ) -> Self:
        """Compute every table."""
        points = curves(records)
        paired = differences(points, comparison.baseline)
        return cls(
            summary=comparison.table(),
            ratios=comparison.ratio_table(),
            finals=comparison.finals_table(),
            curves=points,
            differences=paired,
            difference_means=difference_means(paired),
            slices=slices(comparison),
            tasks=tasks(comparison),
            law_points=law_points(laws),
            law_curves=law_curves(laws),
            ledger=ledger(records),
            feeding=pl.DataFrame(schema=_FEEDING | {"share": pl.Float64})
            if feeding is None
            else feeding,
            consumed=consumed(records),
            runs=runs(records),
        )

    def write(self, folder: Path) -> None:
        """Write every table that has a row as CSV; a file of an earlier, empty one is removed."""
        write_tables(vars(self), folder)


def curves(records: Sequence[Record]) -> pl.DataFrame:
    """Held-out bits per byte of every run at its points, thinned to at most `MAX_POINTS`.

    Returns:
        Columns arm, rung, seed, point, progress, tokens, flops, bits_per_byte.
    """
    tables = []
    for record in records:
        events = record.events("evaluate")
        every = max(1, -(-len(events) // MAX_POINTS))
        kept = [
            event for place, event in enumerate(events) if (len(events) - 1 - place) % every == 0
        ]
        tables.append(
            pl.DataFrame(
                [
                    {
                        **_key(record),
                        "point": point,
                        "progress": event["progress"],
                        "tokens": event["tokens"],
                        "flops": event["flops"],
                        "bits_per_byte": event["bits_per_byte"]["all"],
                    }
                    for point, event in enumerate(kept)
                ],
                schema=_RUN
                | {"point": pl.Int64, "progress": pl.Float64, "tokens": pl.Int64}
                | {"flops": pl.Float64, "bits_per_byte": pl.Float64},
            )
        )
    return pl.concat(tables)


def differences(curves: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """Each run minus the baseline's run of the same rung and seed, point by point.

    Returns:
        Columns arm, rung, seed, point, progress, flops, difference (bits per byte).
    """
    reference = curves.filter(pl.col("arm") == baseline).select(
        "rung", "seed", "point", reference="bits_per_byte"
    )
    return (
        curves.filter(pl.col("arm") != baseline)
        .join(reference, on=["rung", "seed", "point"], how="inner", maintain_order="left")
        .with_columns(difference=pl.col("bits_per_byte") - pl.col("reference"))
        .drop("bits_per_byte", "reference", "tokens")
        .drop_nulls("difference")
    )


def difference_means(differences: pl.DataFrame) -> pl.DataFrame:
    """Mean paired difference with its interval at every point.

    Returns:
        Columns arm, rung, point, progress, difference, low, high, num_pairs.
    """
    places = differences.group_by("arm", "rung", "point").agg(pl.col("progress").mean())
    means = with_intervals(differences, by=["arm", "point"], value="difference")
    return means.join(places, on=["arm", "rung", "point"], how="left").sort("arm", "rung", "point")


def with_intervals(frame: pl.DataFrame, *, by: Sequence[str], value: str) -> pl.DataFrame:
    """Mean over seeds with a 95 % interval, the deviation pooled over rungs within each group.

    Args:
        frame: columns rung, `by` and `value`; one row a seed.
        by: what makes a group.
        value: the column to average.

    Returns:
        Columns `by`, rung, `value`, low, high, num_pairs.
    """
    rows: list[dict[str, Any]] = []
    for key, group in frame.drop_nulls(value).group_by(by, maintain_order=True):
        samples = {
            str(rung): part[value].to_numpy().astype(np.float64)
            for (rung,), part in group.group_by(["rung"], maintain_order=True)
        }
        by_rung, _overall = estimates(samples)
        rows += [
            dict(zip(by, key, strict=True))
            | {"rung": rung, value: found.mean, "low": found.low, "high": found.high}
            | {"num_pairs": found.num_pairs}
            for rung, found in by_rung.items()
        ]
    schema = {name: frame.schema[name] for name in by} | {"rung": pl.String, value: pl.Float64}
    return pl.DataFrame(
        rows, schema=schema | {"low": pl.Float64, "high": pl.Float64, "num_pairs": pl.Int64}
    )


def slices(comparison: Comparison) -> pl.DataFrame:
    """Final difference to the baseline on every slice of the held-out text.

    Returns:
        Columns kind (band, level, source, split), slice, arm, rung, difference, low, high,
        num_pairs; slices in their natural order, without the mean over rungs.
    """
    kind = pl.col("name").str.extract(r"^([^/]+)/")
    number = pl.col("slice").str.to_integer(strict=False)
    return (
        comparison.table()
        .filter(
            (pl.col("reference") == comparison.baseline)
            & (pl.col("measure") == "bits_per_byte")
            & (pl.col("rung") != ALL_RUNGS)
            & kind.is_in(SLICE_KINDS)
        )
        .with_columns(kind=kind, slice=pl.col("name").str.replace(r"^[^/]+/", ""))
        .select("kind", "slice", "arm", "rung", "difference", "low", "high", "num_pairs")
        .sort("kind", number, "slice", nulls_last=True, maintain_order=True)
    )


def tasks(comparison: Comparison) -> pl.DataFrame:
    """Final accuracy and probability of the right answer, each with its interval over seeds.

    Returns:
        Columns arm, split, slice (the level), measure, rung, value, low, high, num_pairs, chance.
    """
    finals = (
        comparison.finals_table()
        .filter(pl.col("measure").is_in(sorted(HIGHER_IS_BETTER)))
        .with_columns(
            split=pl.col("name").str.extract(r"^(.*)/").fill_null(""),
            slice=pl.col("name").str.extract(r"([^/]*)$"),
        )
    )
    groups = ["split", "slice", "measure"]
    chances = finals.group_by(groups).agg(pl.col("chance").mean())
    means = with_intervals(finals, by=["arm", *groups], value="value")
    return means.join(chances, on=groups, how="left").sort(
        "split", "measure", "slice", maintain_order=True
    )


def law_points(laws: Sequence[LawFit]) -> pl.DataFrame:
    """What the laws were fitted to: columns arm, variable (parameters, compute), x, loss."""
    rows = [
        (fit.arm, fit.variable, x, loss)
        for fit in laws
        if fit.law is not None
        for x, loss in zip(fit.law.x, fit.law.loss, strict=True)
    ]
    return pl.DataFrame(
        rows,
        schema=_LAW | {"x": pl.Float64, "loss": pl.Float64},
        orient="row",
    )


def law_curves(laws: Sequence[LawFit]) -> pl.DataFrame:
    """The fitted lines, from the smallest x to `EXTRAPOLATION` times the largest.

    Returns:
        Columns arm, variable, x, loss, low, high (95 % bootstrap band, null without bootstrap).
    """
    rows: list[tuple[Any, ...]] = []
    for fit in laws:
        if fit.law is None:
            continue
        x = np.geomspace(min(fit.law.x), EXTRAPOLATION * max(fit.law.x), _NUM_LAW_POINTS)
        loss = fit.law.predict(x).tolist()
        nothing = [None] * len(loss)
        low, high = fit.law.band(x) if fit.law.draws else (nothing, nothing)
        rows += zip(
            [fit.arm] * len(loss), [fit.variable] * len(loss), x, loss, low, high, strict=True
        )
    schema = {**_LAW, **dict.fromkeys(("x", "loss", "low", "high"), pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def ledger(records: Sequence[Record]) -> pl.DataFrame:
    """FLOPs of every finished run by account; evaluation is noted, not charged.

    Returns:
        Columns arm, rung, seed, account, is_charged, flops.
    """
    rows = [
        {**_key(record), "account": account, "is_charged": is_charged, "flops": float(flops)}
        for record in records
        for is_charged, part in ((True, "ledger"), (False, "noted"))
        for account, flops in ((record.finish or {}).get(part) or {}).items()
    ]
    schema = _RUN | {"account": pl.String, "is_charged": pl.Boolean, "flops": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def consumed(records: Sequence[Record]) -> pl.DataFrame:
    """Share of each label's blocks that had been drawn, mean over seeds.

    Returns:
        Columns arm, rung, when (`when_full`: the ceiling went; `at_end`), label, share.
    """
    rows = [
        {**_key(record), "when": when, "label": str(label), "share": float(share)}
        for record in records
        for when, shares in ((record.finish or {}).get("consumed") or {}).items()
        for label, share in (shares or {}).items()
        if share is not None
    ]
    schema = _RUN | {"when": pl.String, "label": pl.String, "share": pl.Float64}
    keys = ["arm", "rung", "when", "label"]
    means = pl.DataFrame(rows, schema=schema).group_by(keys, maintain_order=True)
    return means.agg(pl.col("share").mean())


def runs(records: Sequence[Record]) -> pl.DataFrame:
    """One row a run: arm, rung, seed, final bits per byte, tokens, FLOPs, seconds, hashes."""
    rows = []
    for record in records:
        finish = record.finish or {}
        rows.append(
            {
                **_key(record),
                "is_finished": record.is_finished,
                "final_bits_per_byte": finish.get("final_bits_per_byte"),
                "tokens": finish.get("tokens"),
                "flops": finish.get("flops"),
                "budget_flops": record.spec.budget_flops,
                "seconds": record.seconds,
                "order_hash": finish.get("order_hash"),
                "multiset_hash": finish.get("multiset_hash"),
                "matches_plan": finish.get("matches_plan"),
            }
        )
    numbers: tuple[str, ...] = ("final_bits_per_byte", "tokens", "flops", "budget_flops", "seconds")
    schema = _RUN | {"is_finished": pl.Boolean} | dict.fromkeys(numbers, pl.Float64)
    schema |= {"order_hash": pl.String, "multiset_hash": pl.String, "matches_plan": pl.Boolean}
    return pl.DataFrame(rows, schema=schema)


def _key(record: Record) -> dict[str, Any]:
    return {"arm": record.spec.arm, "rung": record.spec.rung, "seed": record.spec.seed}
