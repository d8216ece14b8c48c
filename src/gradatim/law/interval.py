"""Differences of arms with honest intervals, from few seeds.

At each rung the runs are a table, arms x seeds. What a seed does to all arms alike (initial
weights, shuffles) cancels in a difference of arms, so the noise of a difference is the residual of
the two-way model `value = arm + seed`, estimated from *all* arms of the rung: with four arms and
two seeds three degrees of freedom where the pair alone has one. Rungs may differ in their noise:
the mean over rungs has the sum of their variances, with the degrees of freedom of Welch and
Satterthwaite (F. E. Satterthwaite, An approximate distribution of estimates of variance
components, 1946). How often such intervals hold the truth is simulated in
`benchmarks/verdicts.py`.

The model takes the arms of a rung to be alike in noise. An arm that is plainly noisier than the
others (`wildness`) is therefore compared by its own pairs alone; where there is next to no doubt it
lends its noise to no other. (Leaving out whatever looks noisiest makes the others look too calm.)
An interval speaks about the rungs that were run, not about rungs in general.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import special

CONFIDENCE = 0.95
LEVEL = 1 - CONFIDENCE

WILD = 0.01
"""An arm whose scatter is as improbable as this is compared by its own pairs."""

VERY_WILD = 0.001
"""An arm whose scatter is as improbable as this is left out of the noise of the others."""

_ROUNDING = 1e-9  # scatter below this share of the values is that of the arithmetic, not of seeds

Values = NDArray[np.float64]
BySeed = Mapping[int, float]


class Result(BaseModel):
    """What was found in runs, as data that is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Result):
    """A mean with its two-sided 95 % t-interval; None where nothing tells how sure it is.

    Attributes:
        standard_error: of the mean.
        p_value: two-sided, of the mean being zero.
        degrees_of_freedom: of the standard error; not whole where variances were combined.
        text_share: share of the standard error's square that comes of the choice of held-out text.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    num_pairs: int
    degrees_of_freedom: float
    text_share: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero is outside of it."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Variance:
    """An estimated variance. Without degrees of freedom nothing is known of it."""

    value: float
    degrees_of_freedom: float

    def times(self, factor: float) -> Variance:
        """The variance of a quantity scaled by the root of this factor."""
        return Variance(factor * self.value, self.degrees_of_freedom)

    @classmethod
    def of_sum(cls, parts: Iterable[Variance]) -> Variance:
        """Of a sum of independent quantities (Welch and Satterthwaite)."""
        parts = [part for part in parts if part.value > 0]
        value = math.fsum(part.value for part in parts)
        if value == 0 or any(part.degrees_of_freedom == 0 for part in parts):
            return cls(value, 0.0)
        weights = math.fsum(part.value**2 / part.degrees_of_freedom for part in parts)
        return cls(value, value**2 / weights)


NOTHING_KNOWN = Variance(0.0, 0.0)


def residual_variance(arms: Collection[BySeed]) -> Variance:
    """Variance of a run within a rung, the effects of its arm and of its seed taken out.

    Runs that are missing are left out of a least-squares fit. Nothing is known where no seed is
    shared, or where all seeds say the same: such runs are no replicates.

    Args:
        arms: values by seed, of every arm of one rung.
    """
    seeds = sorted({seed for by_seed in arms for seed in by_seed})
    runs = [
        (a, seeds.index(seed), value)
        for a, by_seed in enumerate(arms)
        for seed, value in by_seed.items()
    ]
    if len(runs) < 2:
        return NOTHING_KNOWN
    arm_of_run, seed_of_run, values = (np.array(column) for column in zip(*runs, strict=True))
    design = np.zeros((len(runs), len(arms) + len(seeds)))
    design[np.arange(len(runs)), arm_of_run] = 1
    design[np.arange(len(runs)), len(arms) + seed_of_run] = 1
    fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    degrees_of_freedom = len(runs) - int(rank)
    squares = float(((values - design @ fitted) ** 2).sum())
    floor = (_ROUNDING * float(np.abs(values).max(initial=0.0))) ** 2
    if degrees_of_freedom == 0 or squares <= floor * len(runs):
        return NOTHING_KNOWN
    return Variance(squares / degrees_of_freedom, degrees_of_freedom)


def weighted(variances: Sequence[Variance], weights: Sequence[float]) -> Variance:
    """Of a weighted sum over rungs; a rung without replication borrows the others' pooled scatter.

    What is borrowed moves with its lenders, so it adds to their weights and brings no degrees of
    freedom of its own. A rung of weight 0 only lends.

    Where one rung's noise outweighs the others', degrees computed from estimates are too many by a
    little: one is taken off, less where there are few, never below those of the rung with fewest
    (simulated: coverage 0.947 to 0.970 where it was 0.942 to 0.964).
    """
    total = math.fsum(each.degrees_of_freedom for each in variances)
    if total == 0:
        return NOTHING_KNOWN
    pairs = list(zip(variances, weights, strict=True))
    borrowed = math.fsum(weight for each, weight in pairs if each.degrees_of_freedom == 0)
    parts = [
        each.times(weight + borrowed * each.degrees_of_freedom / total)
        for each, weight in pairs
        if each.degrees_of_freedom and weight + borrowed > 0
    ]
    found = Variance.of_sum(parts)
    fewest = min(part.degrees_of_freedom for part in parts)
    fewer = found.degrees_of_freedom - min(1.0, fewest / 4)
    return Variance(found.value, max(fewest, fewer))


def wildness(place: int, rungs: Sequence[Sequence[BySeed]]) -> float:
    """The p-value of an arm scattering no more around the mean of the others than they do (F-test).

    Args:
        place: of the arm.
        rungs: values by seed, of every arm of each rung in one order; empty where it was not run.
    """
    own, expected = [], []
    for arms in rungs:
        others = [by_seed for other, by_seed in enumerate(arms) if other != place and by_seed]
        if not arms[place] or len(others) < 2:
            continue
        seeds = sorted(set(arms[place]).intersection(*others))
        around = residual_variance([{seed: v[seed] for seed in seeds} for v in others])
        if around.degrees_of_freedom:
            means = [math.fsum(v[seed] for v in others) / len(others) for seed in seeds]
            gaps = np.array([arms[place][seed] for seed in seeds]) - means
            own.append(Variance(float(gaps.var(ddof=1)), len(seeds) - 1))
            expected.append(around.times(1 + 1 / len(others)))
    if not own:
        return 1.0
    mine, theirs = Variance.of_sum(own), Variance.of_sum(expected)
    if mine.degrees_of_freedom == 0:
        return 1.0
    ratio = mine.value / theirs.value
    return float(special.fdtrc(mine.degrees_of_freedom, theirs.degrees_of_freedom, ratio))


def t_factor(degrees_of_freedom: float) -> float:
    """The t quantile that a 95 % interval multiplies its standard error by."""
    return float(special.stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


def estimate(mean: float, seeds: Variance, *, num_pairs: int, text: Variance | None) -> Estimate:
    """A mean with its interval.

    Args:
        mean: of paired differences.
        seeds: variance of the mean over seeds.
        num_pairs: how many differences it is the mean of.
        text: variance of the mean over other held-out text, where that is known.
    """
    if seeds.degrees_of_freedom == 0:
        return Estimate(mean=mean, num_pairs=num_pairs, degrees_of_freedom=0)
    both = Variance.of_sum([seeds, *([text] if text else [])])
    error = math.sqrt(both.value)
    half_width = t_factor(both.degrees_of_freedom) * error
    return Estimate(
        mean=mean,
        low=mean - half_width,
        high=mean + half_width,
        standard_error=error,
        p_value=2 * float(special.stdtr(both.degrees_of_freedom, -abs(mean) / error)),
        num_pairs=num_pairs,
        degrees_of_freedom=both.degrees_of_freedom,
        text_share=text.value / both.value if text else None,
    )


def mean_estimate(groups: Sequence[Values]) -> list[Estimate]:
    """The mean of each group with its interval, the scatter within groups pooled.

    Args:
        groups: values over seeds, each [seeds] with at least one.
    """
    within = Variance.of_sum([])
    degrees_of_freedom = sum(len(group) - 1 for group in groups)
    if degrees_of_freedom:
        squares = math.fsum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        within = Variance(squares / degrees_of_freedom, degrees_of_freedom if squares else 0)
    return [
        estimate(float(group.mean()), within.times(1 / len(group)), num_pairs=len(group), text=None)
        for group in groups
    ]
