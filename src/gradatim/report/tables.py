"""Records to tidy tables: every number the page of a study plots, one row an observation.

Pairing is by rung and seed, and by the index of the evaluation point, which is at the same progress
for every arm. Intervals are those of `law.interval`: 95 %, Student's t, with the scatter of all
arms of a rung. Each table is also written as CSV beside the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from gradatim.law.comparison import ALL_RUNGS, HIGHER_IS_BETTER, Comparison, FinalScore
from gradatim.law.fit import LawFit
from gradatim.law.interval import estimate, mean_estimate, residual_variance
from gradatim.record.read import Record
from gradatim.report.parts import Rows, Tables

MAX_POINTS = 200
SLICE_KINDS = ("band", "level", "source", "split")
EXTRAPOLATION = 4.0  # a law is drawn this far beyond the largest x it was fitted to
_NUM_LAW_POINTS = 60


def study_tables(
    records: Sequence[Record], comparison: Comparison, laws: Sequence[LawFit], feeding: Rows
) -> Tables:
    """Everything the page plots, by the names of the CSV files."""
    points = curves(records)
    paired = differences(points, comparison.baseline)
    return {
        "summary": comparison.table().to_dicts(),
        "ratios": comparison.ratio_table().to_dicts(),
        "finals": comparison.finals_table().to_dicts(),
        "curves": points,
        "differences": paired,
        "difference_means": difference_means(points, comparison.baseline),
        "slices": slices(comparison),
        "fed": [fed.model_dump() for fed in comparison.fed],
        "tasks": tasks(comparison),
        "law_points": law_points(laws),
        "law_curves": law_curves(laws),
        "ledger": ledger(records),
        "feeding": feeding,
        "consumed": consumed(records),
        "runs": runs(records),
    }


def with_tuned(tables: Tables, records: Sequence[Record]) -> Tables:
    """The same with the ledgers and runs of arms under their own best rate, told by `is_tuned`."""
    more = {"ledger": ledger, "runs": runs}
    found = {name: list(rows) for name, rows in tables.items()}
    for name, rows_of in more.items():
        rows = [row | {"is_tuned": False} for row in tables[name]]
        for record in records:
            schedule = record.spec.operation.schedule
            place: dict[str, Any] = {"schedule": schedule} if schedule else {}
            rows += [place | row | {"is_tuned": True} for row in rows_of([record])]
        found[name] = rows
    return found


def where(rows: Rows, **wanted: object) -> Rows:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def means(rows: Rows, *, by: Sequence[str], of: Sequence[str]) -> Rows:
    """Means of the columns `of` over rows that agree in the columns `by`; nulls are left out."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    found = []
    for key, group in groups.items():
        known = {name: [row[name] for row in group if row[name] is not None] for name in of}
        mean = {name: sum(them) / len(them) if them else None for name, them in known.items()}
        found.append(dict(zip(by, key, strict=True)) | mean)
    return found


def curves(records: Sequence[Record]) -> Rows:
    """Held-out bits per byte of every run at its points, thinned to at most `MAX_POINTS`.

    They are those of the weights that the run hands out.

    Returns:
        Columns arm, rung, seed, point, progress, tokens, flops, bits_per_byte.
    """
    rows = []
    for record in records:
        events = record.evaluations()
        every = max(1, -(-len(events) // MAX_POINTS))
        for point, event in enumerate(events[::-1][::every][::-1]):  # the last one is kept
            spent = {name: event[name] for name in ("progress", "tokens", "flops")}
            bits_per_byte = event["bits_per_byte"]["all"]
            rows.append(_run(record) | {"point": point, **spent, "bits_per_byte": bits_per_byte})
    return rows


def differences(curves: Rows, baseline: str) -> Rows:
    """Each run minus the baseline's run of the same rung and seed, point by point.

    Returns:
        Columns arm, rung, seed, point, progress, flops, difference (bits per byte).
    """
    place = itemgetter("rung", "seed", "point")
    reference = {place(row): row["bits_per_byte"] for row in where(curves, arm=baseline)}
    rows = []
    for row in curves:
        bits, other = row["bits_per_byte"], reference.get(place(row))
        if row["arm"] != baseline and bits is not None and other is not None:
            kept = ("arm", "rung", "seed", "point", "progress", "flops")
            rows.append({name: row[name] for name in kept} | {"difference": bits - other})
    return rows


def difference_means(curves: Rows, baseline: str) -> Rows:
    """Mean paired difference to the baseline with its interval at every point.

    Returns:
        Columns arm, rung, point, progress, difference, low, high, num_pairs.
    """
    places: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    progress = {(row["arm"], row["rung"], row["point"]): row["progress"] for row in curves}
    for row in curves:
        if row["bits_per_byte"] is not None:
            arms = places.setdefault((row["rung"], row["point"]), {})
            arms.setdefault(row["arm"], {})[row["seed"]] = row["bits_per_byte"]
    rows = []
    for (rung, point), arms in places.items():
        variance = residual_variance(arms.values())
        for arm, values in arms.items():
            reference = arms.get(baseline, {})
            if arm == baseline or not (pairs := [s for s in values if s in reference]):
                continue
            mean = sum(values[seed] - reference[seed] for seed in pairs) / len(pairs)
            scaled = variance.times(2 / len(pairs))
            found = estimate(mean, scaled, num_pairs=len(pairs), text=None)
            place = {"arm": arm, "rung": rung, "point": point}
            ends = {"low": found.low, "high": found.high, "num_pairs": len(pairs)}
            at = {"progress": progress[arm, rung, point]}
            rows.append(place | at | {"difference": mean} | ends)
    return sorted(rows, key=itemgetter("arm", "rung", "point"))


def slices(comparison: Comparison) -> Rows:
    """Final difference to the baseline on every slice of the held-out text.

    Returns:
        Columns kind (band, level, source, split), slice, arm, rung, difference, low, high,
        num_pairs; slices in their natural order, without the mean over rungs.
    """
    rows = []
    wanted = {"reference": comparison.baseline, "measure": "bits_per_byte"}
    for row in where(comparison.table().to_dicts(), **wanted):
        kind, _, name = row["name"].partition("/")
        if kind in SLICE_KINDS and row["rung"] != ALL_RUNGS:
            kept = ("arm", "rung", "difference", "low", "high", "num_pairs")
            rows.append({"kind": kind, "slice": name} | {column: row[column] for column in kept})
    return sorted(rows, key=lambda row: (row["kind"], natural(row["slice"])))


def tasks(comparison: Comparison) -> Rows:
    """Final accuracy and probability of the right answer, each with its interval over seeds.

    Returns:
        Columns arm, split, slice (the level), measure, rung, value, low, high, num_pairs, chance.
    """
    groups: dict[tuple[str, str, str], list[FinalScore]] = {}
    for final in comparison.finals:
        if final.measure in HIGHER_IS_BETTER:
            groups.setdefault((final.measure, final.name, final.rung), []).append(final)
    rows = []
    for (measure, name, rung), finals in groups.items():
        split, _, level = name.rpartition("/")
        place = {"split": split, "slice": level, "measure": measure, "rung": rung}
        found = mean_estimate([np.array(final.values) for final in finals])
        for final, mean in zip(finals, found, strict=True):
            ends = {"low": mean.low, "high": mean.high, "num_pairs": mean.num_pairs}
            value = {"value": mean.mean} | ends | {"chance": final.chance}
            rows.append({"arm": final.arm} | place | value)
    return sorted(rows, key=itemgetter("split", "measure", "slice"))


def law_points(laws: Sequence[LawFit]) -> Rows:
    """What the laws were fitted to: columns arm, variable (parameters, compute), x, loss."""
    return [
        {"arm": fit.arm, "variable": fit.variable, "x": x, "loss": loss}
        for fit in laws
        if fit.law is not None
        for x, loss in zip(fit.law.x, fit.law.loss, strict=True)
    ]


def law_curves(laws: Sequence[LawFit]) -> Rows:
    """The fitted lines, from the smallest x to `EXTRAPOLATION` times the largest.

    Returns:
        Columns arm, variable, x, loss, low, high (95 % bootstrap band, null without bootstrap).
    """
    rows: list[dict[str, Any]] = []
    for fit in laws:
        if fit.law is not None:
            x = np.geomspace(min(fit.law.x), EXTRAPOLATION * max(fit.law.x), _NUM_LAW_POINTS)
            nothing = [None] * len(x)
            low, high = fit.law.band(x) if fit.law.draws else (nothing, nothing)
            names = ("x", "loss", "low", "high")
            columns = [list(column) for column in (x, fit.law.predict(x), low, high)]
            rows += [
                {"arm": fit.arm, "variable": fit.variable, **dict(zip(names, them, strict=True))}
                for them in zip(*columns, strict=True)
            ]
    return rows


def ledger(records: Sequence[Record]) -> Rows:
    """FLOPs of every finished run by account; evaluation is noted, not charged.

    Returns:
        Columns arm, rung, seed, account, is_charged, flops.
    """
    return [
        {**_run(record), "account": account, "is_charged": is_charged, "flops": float(flops)}
        for record in records
        for is_charged, part in ((True, "ledger"), (False, "noted"))
        for account, flops in ((record.finish or {}).get(part) or {}).items()
    ]


def consumed(records: Sequence[Record]) -> Rows:
    """Share of each label's blocks that had been drawn, mean over seeds.

    Returns:
        Columns arm, rung, when (`when_full`: the ceiling went; `at_end`), label, share.
    """
    rows = [
        {**_run(record), "when": when, "label": str(label), "share": float(share)}
        for record in records
        for when, shares in ((record.finish or {}).get("consumed") or {}).items()
        for label, share in (shares or {}).items()
        if share is not None
    ]
    return means(rows, by=["arm", "rung", "when", "label"], of=["share"])


def runs(records: Sequence[Record]) -> Rows:
    """One row a run: arm, rung, seed, final bits per byte, tokens, FLOPs, seconds, hashes."""
    finished = ("final_bits_per_byte", "tokens", "flops")
    checked = ("order_hash", "multiset_hash", "matches_plan")
    return [
        _run(record)
        | {"is_finished": record.is_finished}
        | {name: (record.finish or {}).get(name) for name in finished}
        | {"budget_flops": record.spec.budget_flops, "seconds": record.seconds}
        | {name: (record.finish or {}).get(name) for name in checked}
        for record in records
    ]


def natural(label: str) -> tuple[str, int, str]:
    """What sorts `band 2` before `band 10`, and names by alphabet."""
    head, _, tail = label.replace("/", " ").rpartition(" ")
    return (head, int(tail), "") if tail.isdigit() else (head, -1, tail)


def _run(record: Record) -> dict[str, Any]:
    return {"arm": record.spec.arm, "rung": record.spec.rung, "seed": record.spec.seed}
