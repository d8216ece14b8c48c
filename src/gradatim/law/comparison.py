"""The outcome of a comparison as data: differences, ratios, noise, and what they allow to say.

A *difference* is arm minus reference, paired by seed at equal compute, of one measured value at
the end of the run. It is *resolved* when its 95 % interval excludes zero and it is at least the
smallest difference the replicated baseline's noise lets the study see; anything else is called
"not resolved", and without replication "cannot be judged".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import polars as pl

from gradatim.law.interval import Estimate, Result

Verdict = Literal["better", "worse", "not resolved", "cannot be judged"]
ControlKind = Literal["shuffled", "reversed"]

ALL_RUNGS = "all rungs"
HIGHER_IS_BETTER = frozenset({"accuracy", "probability"})  # bits per byte: lower is better
UNITS = {
    "bits_per_byte": "bits per byte",
    "accuracy": "accuracy",
    "probability": "probability of the right answer",
}


class Arm(Result):
    """An arm that was compared; a control names its kind and the method it controls."""

    name: str
    control: ControlKind | None = None
    method: str | None = None


class FinalScore(Result):
    """One measured value at the end of the runs of one arm at one rung, by seed."""

    arm: str
    rung: str
    measure: str
    name: str
    chance: float | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float


class RungDifference(Result):
    """Arm minus reference at one rung."""

    rung: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    estimate: Estimate
    smallest_detectable: float | None
    verdict: Verdict


class Difference(Result):
    """Arm minus reference of one measured value, by rung and as the mean over rungs.

    Attributes:
        overall: None where arm and reference share no seed at any rung.
        adjusted_p_value: Holm's, over the methods against the baseline; given for the headline
            measure only, where the verdict also asks that it be at most 0.05.
    """

    arm: str
    reference: str
    measure: str
    name: str
    chance: float | None
    rungs: tuple[RungDifference, ...]
    overall: Estimate | None
    smallest_detectable: float | None
    adjusted_p_value: float | None = None
    verdict: Verdict


class RungRatio(Result):
    """Compute of the arm over compute of the reference for the same loss, at one rung."""

    rung: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    ratio: float
    low: float | None
    high: float | None


class ComputeRatio(Result):
    """Compute ratio to the same loss: below 1 the arm needs less. Geometric means, t-intervals
    on the logarithm."""

    arm: str
    reference: str
    rungs: tuple[RungRatio, ...]
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict


class Noise(Result):
    """Scatter of the replicated baseline between seeds, pooled over rungs.

    Attributes:
        smallest_detectable: of the mean over all rungs, at the baseline's own number of seeds.
    """

    measure: str
    name: str
    sd: float | None
    degrees_of_freedom: int
    smallest_detectable: float | None


class SameBlocks(Result):
    """At one rung and seed: groups of arms that saw the same multiset of blocks, or None where a
    record has no hash. Arms of one group differ in the order of blocks alone."""

    rung: str
    seed: int
    groups: tuple[tuple[str, ...], ...]


class Comparison(Result):
    """Arms of a study compared with the baseline and with their own controls.

    Attributes:
        rungs: in order of size.
        missing: what could not be used, one clause each.
        conditions: runs resumed under other conditions than they began with, one clause each.
        headline: the answer in one sentence.
        findings: the rest in plain words, one sentence each.
    """

    baseline: str
    measure: str
    name: str
    arms: tuple[Arm, ...]
    rungs: tuple[str, ...]
    finals: tuple[FinalScore, ...]
    differences: tuple[Difference, ...]
    ratios: tuple[ComputeRatio, ...]
    noise: tuple[Noise, ...]
    same_blocks: tuple[SameBlocks, ...]
    missing: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    headline: str = ""
    findings: tuple[str, ...] = ()

    def difference(
        self, arm: str, reference: str, *, measure: str | None = None, name: str | None = None
    ) -> Difference | None:
        """The difference asked for, by default of the headline measure; None if not compared."""
        wanted = (arm, reference, measure or self.measure, name or self.name)
        found = (d for d in self.differences if (d.arm, d.reference, d.measure, d.name) == wanted)
        return next(found, None)

    def ratio(self, arm: str, reference: str) -> ComputeRatio | None:
        """The compute ratio asked for; None if not compared."""
        found = (r for r in self.ratios if (r.arm, r.reference) == (arm, reference))
        return next(found, None)

    def noise_of(self, measure: str, name: str) -> Noise | None:
        """The baseline's noise in one measured value."""
        return next((n for n in self.noise if (n.measure, n.name) == (measure, name)), None)

    def methods(self) -> list[str]:
        """Arms that are neither the baseline nor a control."""
        return [a.name for a in self.arms if a.name != self.baseline and a.control is None]

    def controls(self, method: str) -> list[Arm]:
        """The controls of a method that were run, shuffled before reversed."""
        return sorted(
            (arm for arm in self.arms if arm.method == method),
            key=lambda arm: arm.control != "shuffled",
        )

    def sentences(self) -> list[str]:
        """The headline, then every finding."""
        return [self.headline, *self.findings]

    def table(self) -> pl.DataFrame:
        """Differences, one row a rung and one for the mean over rungs (`all rungs`)."""
        rows = [row for difference in self.differences for row in _difference_rows(difference)]
        columns = "arm reference measure name rung difference low high smallest_detectable"
        return _frame(rows, f"{columns} num_pairs verdict")

    def ratio_table(self) -> pl.DataFrame:
        """Compute ratios, one row a rung and one for the mean over rungs (`all rungs`)."""
        rows: list[tuple[Any, ...]] = []
        for ratio in self.ratios:
            pair = (ratio.arm, ratio.reference)
            rows += [(*pair, r.rung, r.ratio, r.low, r.high, len(r.seeds)) for r in ratio.rungs]
            num_pairs = sum(len(rung.seeds) for rung in ratio.rungs)
            rows.append((*pair, ALL_RUNGS, ratio.ratio, ratio.low, ratio.high, num_pairs))
        return _frame(rows, "arm reference rung ratio low high num_pairs")

    def finals_table(self) -> pl.DataFrame:
        """Final values, one row a run and measured value."""
        rows = [
            (final.arm, final.rung, seed, final.measure, final.name, value, final.chance)
            for final in self.finals
            for seed, value in zip(final.seeds, final.values, strict=True)
        ]
        return _frame(rows, "arm rung seed measure name value chance")

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        return cls.model_validate_json(text)


_COLUMN_TYPES = (
    dict.fromkeys(("arm", "reference", "measure", "name", "rung", "verdict"), pl.String)
    | dict.fromkeys(("difference", "ratio", "value", "chance"), pl.Float64)
    | dict.fromkeys(("low", "high", "smallest_detectable"), pl.Float64)
    | dict.fromkeys(("seed", "num_pairs"), pl.Int64)
)


def _frame(rows: list[tuple[Any, ...]], columns: str) -> pl.DataFrame:
    schema = {name: _COLUMN_TYPES[name] for name in columns.split()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _difference_rows(difference: Difference) -> Iterator[tuple[Any, ...]]:
    what = (difference.arm, difference.reference, difference.measure, difference.name)
    parts = [(r.rung, r.estimate, r.smallest_detectable, r.verdict) for r in difference.rungs]
    if difference.overall is not None:
        smallest = difference.smallest_detectable
        parts.append((ALL_RUNGS, difference.overall, smallest, difference.verdict))
    for rung, estimate, smallest, verdict in parts:
        interval = (estimate.mean, estimate.low, estimate.high)
        yield (*what, rung, *interval, smallest, estimate.num_pairs, verdict)
