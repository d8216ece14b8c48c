"""The outcome of a comparison as data: differences, ratios, noise, and what they allow to say.

A *difference* is arm minus reference, paired by seed at equal compute, of one measured value at
the end of the run. It is *resolved* when its p-value, corrected for all that was looked at beside
it, is at most 0.05; anything else is "not resolved", and without replication "cannot be judged".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import polars as pl

from gradatim.law.interval import Estimate, Result
from gradatim.record.tuning import Choice

Verdict = Literal["better", "worse", "not resolved", "cannot be judged"]
ControlKind = str
"""As the timelines name their controls."""

ALL_RUNGS = "all rungs"
HIGHER_IS_BETTER = frozenset({"accuracy", "probability"})  # bits per byte: lower is better
UNITS = {
    "bits_per_byte": "bits per byte",
    "accuracy": "accuracy",
    "probability": "probability of the right answer",
}


class Arm(Result):
    """An arm that was compared; a control names its kind and the method it controls.

    Attributes:
        beside_data: fingerprint of its recipe without the data timeline.
    """

    name: str
    beside_data: str = ""
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
    """Arm minus reference at one rung; the verdict is by its own interval, uncorrected."""

    rung: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    estimate: Estimate
    verdict: Verdict


class Difference(Result):
    """Arm minus reference of one measured value, by rung and as the mean over rungs.

    Attributes:
        overall: None where arm and reference share no seed at any rung.
        adjusted_p_value: corrected for what was looked at beside it: of the headline measure, for
            all methods against the baseline and their controls (`claims`); of slices and tasks,
            for all of the measure (Holm). None where nothing is claimed.
        verdict: by the adjusted p-value where there is one, else by its own interval.
    """

    arm: str
    reference: str
    measure: str
    name: str
    chance: float | None
    rungs: tuple[RungDifference, ...]
    overall: Estimate | None
    adjusted_p_value: float | None = None
    verdict: Verdict


class RungRatio(Result):
    """Compute of the arm over compute of the baseline for the same loss, at one rung."""

    rung: str
    ratio: float | None
    low: float | None
    high: float | None


class ComputeRatio(Result):
    """Compute ratio to the same loss, read between finished runs: below 1 the arm needs less.

    Attributes:
        multiples: of the budget, at which the baseline was run.
        ratio: common to all rungs; None where it is beyond those budgets, as `low` and `high` are.
        reach: the least and greatest ratio they can show.
    """

    arm: str
    reference: str
    multiples: tuple[float, ...]
    rungs: tuple[RungRatio, ...]
    ratio: float | None
    low: float | None
    high: float | None
    reach: tuple[float, float]


class Noise(Result):
    """Scatter of the runs of one rung, the effects of arm and seed taken out.

    Attributes:
        sd: None without replication.
    """

    rung: str
    sd: float | None
    degrees_of_freedom: float


class Fed(Result):
    """What an arm drew of one slice, mean over its runs.

    Attributes:
        whole: share of the slice in all blocks drawn.
        last_quarter: share of it in the last quarter of them.
    """

    arm: str
    name: str
    whole: float
    last_quarter: float


class Sentence(Result):
    """One sentence; `key` names its row in the table of sentences (`wording.SENTENCES`)."""

    key: str
    text: str


class SameBlocks(Result):
    """At one rung and seed: groups of arms that saw the same multiset of blocks, or None where a
    record has no hash. Arms of one group differ in the order of blocks alone."""

    rung: str
    seed: int
    groups: tuple[tuple[str, ...], ...]


class Interaction(Result):
    """How an arm's difference from the baseline changes with the schedule of the rate.

    Attributes:
        schedule: under which the difference was taken, minus
        against: the schedule under which it was taken too.
        difference: of those differences; better is a difference that is more in the arm's favour.
    """

    schedule: str
    against: str
    difference: Difference


class FinalWeights(Result):
    """Final bits per byte of the raw weights of an arm at one rung, or of an average of them.

    Attributes:
        mean: over seeds.
        is_outcome: whether the runs hand these out, and are judged by them.
    """

    schedule: str | None
    arm: str
    rung: str
    weights: str
    mean: float
    num_runs: int
    is_outcome: bool


class Comparison(Result):
    """Arms of a study compared with the baseline and with their own controls.

    A study under several schedules of the rate has a comparison under each: this one is under the
    first, and `others` holds the rest.

    Attributes:
        rungs: in order of size.
        wild: arms that are noisier than the others, and so compared by their own pairs alone.
        effect_seen: of the headline measure, the effect seen in 4 of 5 studies of this size and
            noise; None without replication.
        missing: what could not be used, one clause each.
        conditions: runs resumed under other conditions than they began with, one clause each.
        answer: the answer, the sentence that bears it first.
        findings: the rest in plain words.
        schedule: of the rate, where the study has several.
        num_schedules: how many that is; the methods share the level under all of them.
        others: the same under the other schedules.
        interactions: how differences change from the first schedule to the others.
        averages: what the raw weights and their averages ended with, where there are averages.
        crossing: sentences about all schedules together.
        tuned: differences of the headline measure when each arm has its own best settings.
        choices: what these are, where they were searched.
        robustness: sentences about both.
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
    wild: tuple[str, ...] = ()
    effect_seen: float | None
    fed: tuple[Fed, ...]
    same_blocks: tuple[SameBlocks, ...]
    missing: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    answer: tuple[Sentence, ...] = ()
    findings: tuple[Sentence, ...] = ()
    schedule: str | None = None
    num_schedules: int = 1
    others: tuple[Comparison, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    averages: tuple[FinalWeights, ...] = ()
    crossing: tuple[Sentence, ...] = ()
    tuned: tuple[Difference, ...] = ()
    choices: tuple[Choice, ...] = ()
    robustness: tuple[Sentence, ...] = ()

    @property
    def by_schedule(self) -> tuple[Comparison, ...]:
        """The comparison under every schedule; this one alone where the study has one for all."""
        return (self, *self.others)

    @property
    def num_sharing(self) -> int:
        """Among how many claims the level is shared at first."""
        return len(self.methods()) * self.num_schedules

    @property
    def headline(self) -> str:
        """The answer as one text."""
        told = [(each, sentence) for each in self.by_schedule for sentence in each.answer]
        return " ".join([each.placed(sentence.text) for each, sentence in told])

    def placed(self, text: str) -> str:
        """A sentence of this comparison with the schedule it is about, where there are several."""
        if self.schedule is None:
            return text
        return f"Under `{self.schedule}`: {text[:1].lower()}{text[1:]}"

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

    def slices(self, arm: str, *kinds: str) -> list[Difference]:
        """Differences to the baseline in bits per byte on the slices of these kinds."""
        return [
            d
            for d in self.differences
            if (d.arm, d.reference, d.measure) == (arm, self.baseline, "bits_per_byte")
            and d.name.partition("/")[0] in kinds
        ]

    def read_last(self, arm: str, name: str) -> float | None:
        """Share of a slice in an arm's last quarter; None where it noted none of that kind."""
        kind = name.partition("/")[0]
        noted = {f.name: f.last_quarter for f in self.fed if f.arm == arm}
        if not any(each.partition("/")[0] == kind for each in noted):
            return None
        return noted.get(name, 0.0)

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
        """The answer, then every finding; schedule by schedule, and what is said of all first."""
        told = [
            each.placed(sentence.text)
            for each in self.by_schedule
            for sentence in (*each.answer, *each.robustness, *each.findings)
        ]
        return [*(sentence.text for sentence in self.crossing), *told]

    def table(self) -> pl.DataFrame:
        """Differences, one row a rung and one for the mean over rungs (`all rungs`)."""
        rows = [row for difference in self.differences for row in _difference_rows(difference)]
        columns = "arm reference measure name rung difference low high num_pairs adjusted_p_value"
        return _frame(rows, f"{columns} verdict")

    def ratio_table(self) -> pl.DataFrame:
        """Compute ratios, one row a rung and one for the mean over rungs (`all rungs`)."""
        rows: list[tuple[Any, ...]] = []
        for ratio in self.ratios:
            pair = (ratio.arm, ratio.reference)
            rows += [(*pair, r.rung, r.ratio, r.low, r.high) for r in ratio.rungs]
            rows.append((*pair, ALL_RUNGS, ratio.ratio, ratio.low, ratio.high))
        return _frame(rows, "arm reference rung ratio low high")

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
    | dict.fromkeys(("low", "high", "adjusted_p_value"), pl.Float64)
    | dict.fromkeys(("seed", "num_pairs"), pl.Int64)
)


def _frame(rows: list[tuple[Any, ...]], columns: str) -> pl.DataFrame:
    schema = {name: _COLUMN_TYPES[name] for name in columns.split()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _difference_rows(difference: Difference) -> Iterator[tuple[Any, ...]]:
    what = (difference.arm, difference.reference, difference.measure, difference.name)
    parts: list[tuple[str, Estimate, float | None, Verdict]] = [
        (r.rung, r.estimate, None, r.verdict) for r in difference.rungs
    ]
    if (overall := difference.overall) is not None:
        parts.append((ALL_RUNGS, overall, difference.adjusted_p_value, difference.verdict))
    for rung, found, adjusted, verdict in parts:
        interval = (found.mean, found.low, found.high)
        yield (*what, rung, *interval, found.num_pairs, adjusted, verdict)
