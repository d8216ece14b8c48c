"""How often the comparison is right, of arms under several schedules whose truth is known.

    python benchmarks/verdicts_crossed.py                      # the table, 2,000 studies a row
    python benchmarks/verdicts_crossed.py --studies 200

As `verdicts.py`, of how differences change with the schedule of the rate.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison, Difference
from gradatim.law.interval import residual_variance, t_factor
from gradatim.record.read import Record
from gradatim.timelines.rate import Rate

sys.path.insert(0, str(Path(__file__).parent))
from verdicts import METHOD, OTHER, REVERSED, RUNGS, SHUFFLED, print_table, record_of, spec_of

RATES = {"cosine": Rate(kind="cosine"), "wsd": Rate(kind="wsd"), "flat": Rate(kind="constant")}
SD = 0.01


@dataclass(frozen=True)
class Crossed:
    """A kind of study under several schedules, and its truth; losses in bits per byte.

    Attributes:
        effects: true difference to `uniform` by arm, the same at every rung, under the first.
        changes: by schedule and arm, by how much the difference is another there.
        num_schedules: how many.
        noisier: by schedule, how many times the noise is that of the first.
        arm_seed: share of the variance that a seed gives an arm under all schedules alike.
        schedule_seed: share that it gives all arms under a schedule alike.
    """

    effects: Mapping[str, float] = field(
        default_factory=lambda: {METHOD: 0.0, SHUFFLED: 0.0, REVERSED: 0.0}
    )
    changes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    num_schedules: int = 2
    num_rungs: int = 2
    num_seeds: int = 3
    noisier: Mapping[str, float] = field(default_factory=dict)
    arm_seed: float = 0.0
    schedule_seed: float = 0.0

    @property
    def schedules(self) -> list[str]:
        return list(RATES)[: self.num_schedules]

    def change(self, schedule: str, arm: str) -> float:
        return self.changes.get(schedule, {}).get(arm, 0.0)

    def gap(self, schedule: str, arm: str, reference: str) -> float:
        """The true difference of two arms under a schedule."""

        def level(which: str) -> float:
            return self.effects.get(which, 0.0) + self.change(schedule, which)

        return level(arm) - level(reference)


def study_of(world: Crossed, random: np.random.Generator) -> list[Record]:
    """One study of this world; a seed does something to all runs alike too."""
    arms = ["uniform", *world.effects]
    records = []
    for rung in RUNGS[: world.num_rungs]:
        for seed in range(world.num_seeds):
            to_all = random.normal()
            to_arm = {arm: random.normal() for arm in arms}
            for schedule in world.schedules:
                to_schedule = random.normal()
                for arm in arms:
                    own = 1 - world.arm_seed - world.schedule_seed
                    noise = math.sqrt(world.arm_seed) * to_arm[arm]
                    noise += math.sqrt(world.schedule_seed) * to_schedule
                    noise += math.sqrt(own) * random.normal()
                    final = 2 + world.gap(schedule, arm, "uniform") + SD * to_all
                    final += SD * world.noisier.get(schedule, 1.0) * noise
                    spec = under(schedule, arm, rung, seed)
                    records.append(record_of(spec, (final + 0.5, final), None))
    return records


def under(schedule: str, arm: str, rung: str, seed: int) -> Any:
    """A run's specification under a schedule."""
    spec = spec_of(arm, rung, seed)
    recipe = spec.recipe.model_copy(update={"rate": RATES[schedule]})
    operation = spec.operation.model_copy(update={"schedule": schedule})
    return spec.model_copy(update={"recipe": recipe, "operation": operation})


def interaction(comparison: Comparison) -> Difference:
    """How the method's difference changes from the first schedule to the second."""
    return next(
        each.difference
        for each in comparison.interactions
        if each.difference.arm == METHOD and each.schedule == "wsd"
    )


def covers(comparison: Comparison, world: Crossed) -> float | None:
    """Whether the interval of the interaction holds the truth."""
    overall = interaction(comparison).overall
    assert overall is not None
    if overall.low is None or overall.high is None:
        return None
    return float(overall.low <= world.change("wsd", METHOD) <= overall.high)


def pooled_covers(comparison: Comparison, world: Crossed) -> float | None:
    """The same with the residual over all cells of arm and schedule, which was not chosen."""
    found = interaction(comparison)
    variance, degrees = 0.0, 0.0
    for rung in comparison.rungs:
        cells = [
            dict(zip(final.seeds, final.values, strict=True))
            for each in comparison.by_schedule
            for final in each.finals
            if (final.rung, final.name) == (rung, "all")
        ]
        of_run = residual_variance(cells)
        variance += 4 * of_run.value / world.num_seeds / world.num_rungs**2
        degrees += of_run.degrees_of_freedom
    assert found.overall is not None
    half = t_factor(degrees) * math.sqrt(variance)
    return float(abs(found.overall.mean - world.change("wsd", METHOD)) <= half)


def is_false(comparison: Comparison, world: Crossed) -> float:
    """Whether any claim is against the truth, under any schedule or of how they differ."""
    wrong = False
    for each in comparison.by_schedule:
        assert each.schedule is not None
        for method in each.methods():
            for other in ("uniform", *(arm.name for arm in each.controls(method))):
                found = each.difference(method, other)
                assert found is not None
                wrong |= _is_wrong(found.verdict, world.gap(each.schedule, method, other))
    for changed in comparison.interactions:
        arm = changed.difference.arm
        if arm in comparison.methods():
            wrong |= _is_wrong(changed.difference.verdict, world.change(changed.schedule, arm))
    return float(wrong)


def _is_wrong(verdict: str, effect: float) -> bool:
    if verdict not in ("better", "worse"):
        return False
    return effect == 0 or (verdict == "better") != (effect < 0)


def is_seen(comparison: Comparison, world: Crossed) -> float:
    """Whether the interaction is called what it is."""
    truth = "better" if world.change("wsd", METHOD) < 0 else "worse"
    return float(interaction(comparison).verdict == truth)


@dataclass(frozen=True)
class Row:
    """One line of the table: what is counted over studies of a world, and what it should be."""

    group: str
    name: str
    world: Crossed
    count: Callable[[Comparison, Crossed], float | None]
    wanted: tuple[float, float]


COVERED, RARELY = (0.93, 0.97), (0.0, 0.06)


def rows() -> Iterator[Row]:
    """The table."""
    alike = Crossed(changes={"wsd": {METHOD: 0.01}})
    noise = {
        "alike noise, 2 seeds": replace(alike, num_seeds=2),
        "alike noise, 3 seeds": alike,
        "alike noise, 5 seeds": replace(alike, num_seeds=5),
        "noise 1:3, 3 seeds": replace(alike, noisier={"wsd": 3.0}),
        "half of the noise is an arm's under all schedules": replace(alike, arm_seed=0.5),
        "half of the noise is a schedule's to all arms": replace(alike, schedule_seed=0.5),
    }
    for name, world in noise.items():
        yield Row("interaction covered", name, world, covers, COVERED)
    for name, world in noise.items():
        yield Row("with the residual over all cells", name, world, pooled_covers, COVERED)
    nothing = Crossed(num_schedules=3)
    effect = {METHOD: -0.04, SHUFFLED: -0.04, REVERSED: -0.04}
    two = {**effect, OTHER: 0.0, "other-shuffled": 0.0}
    for name, world in (
        ("nothing true, 2 schedules", Crossed()),
        ("nothing true, 3 schedules", nothing),
        ("nothing true, noise 1:3", Crossed(noisier={"wsd": 3.0})),
        ("an effect, the same under 3 schedules, of no cause", replace(nothing, effects=effect)),
        ("one of two methods true, under 3 schedules alike", replace(nothing, effects=two)),
        (
            "an effect under one schedule alone, of no cause",
            replace(nothing, changes={"wsd": effect}),
        ),
    ):
        yield Row("false claims", name, world, is_false, RARELY)
    yield Row(
        "power",
        "an effect of 2 sd under the first alone, 3 seeds × 2 rungs",
        Crossed(
            effects={METHOD: -0.02, SHUFFLED: 0.0, REVERSED: 0.0},
            changes={"wsd": {METHOD: 0.02}},
        ),
        is_seen,
        (0.3, 1),
    )


def measure(row: Row, num_studies: int, seed: int = 0) -> tuple[float, int]:
    """The row's figure, and over how many studies."""
    random = np.random.default_rng(seed)
    found = [row.count(compare(study_of(row.world, random)), row.world) for _ in range(num_studies)]
    known: Sequence[float] = [value for value in found if value is not None]
    return (float(np.mean(known)) if known else math.nan), len(known)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", help="rows of this group alone")
    options = parser.parse_args()
    print_table(rows(), measure, options.only, options.studies)


if __name__ == "__main__":
    main()
