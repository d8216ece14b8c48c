"""Means of paired differences with honest intervals, from few seeds.

With two or three seeds the spread seen at one rung says almost nothing: the 95 % factor of
Student's t is 12.7 with one degree of freedom. So the standard deviation of the paired differences
is pooled over rungs, df = sum over rungs of (pairs - 1), assuming that a seed moves the difference
about equally at every rung. The overall effect is the plain mean over the rungs that were run:
its interval speaks about these rungs, not about rungs in general.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import special

CONFIDENCE = 0.95

Values = NDArray[np.float64]


class Result(BaseModel):
    """What was found in runs, as data that is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Result):
    """A mean with its two-sided 95 % t-interval; None where one seed allows no interval.

    Attributes:
        standard_error: of the mean.
        p_value: two-sided, of the mean being zero.
        degrees_of_freedom: of the pooled standard deviation.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    num_pairs: int
    degrees_of_freedom: int

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero is outside of it."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


def pooled_sd(groups: Sequence[Values]) -> tuple[float | None, int]:
    """Standard deviation within groups and its degrees of freedom; None without replication."""
    degrees_of_freedom = sum(len(group) - 1 for group in groups if len(group))
    if degrees_of_freedom == 0:
        return None, 0
    squares = math.fsum(
        float(((group - group.mean()) ** 2).sum()) for group in groups if len(group)
    )
    return math.sqrt(squares / degrees_of_freedom), degrees_of_freedom


def t_factor(degrees_of_freedom: float) -> float:
    """The t quantile that a 95 % interval multiplies its standard error by."""
    return float(special.stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


def overall_scale(counts: Sequence[int]) -> float:
    """Standard error of a plain mean of group means, in units of the common standard deviation."""
    return math.sqrt(sum(1 / count for count in counts)) / len(counts)


def estimates(groups: Mapping[str, Values]) -> tuple[dict[str, Estimate], Estimate]:
    """The mean of each group and the plain mean over groups, with one pooled deviation.

    Args:
        groups: paired differences by rung, each [pairs] with at least one pair.
    """
    assert groups, "no groups"
    sd, degrees_of_freedom = pooled_sd(list(groups.values()))

    def estimate(mean: float, scale: float, num_pairs: int) -> Estimate:
        if sd is None:
            return Estimate(mean=mean, num_pairs=num_pairs, degrees_of_freedom=0)
        error = sd * scale
        half_width = t_factor(degrees_of_freedom) * error
        # Pairs that are all the same leave no doubt, whether of a difference or of none.
        tail = float(special.stdtr(degrees_of_freedom, -abs(mean) / error)) if error > 0 else 0.0
        return Estimate(
            mean=mean,
            low=mean - half_width,
            high=mean + half_width,
            standard_error=error,
            p_value=2 * tail if error > 0 or mean else 1.0,
            num_pairs=num_pairs,
            degrees_of_freedom=degrees_of_freedom,
        )

    counts = {rung: len(group) for rung, group in groups.items()}
    means = {rung: float(group.mean()) for rung, group in groups.items()}
    by_group = {
        rung: estimate(means[rung], overall_scale([counts[rung]]), counts[rung]) for rung in groups
    }
    overall_mean = math.fsum(means.values()) / len(means)
    num_pairs = sum(counts.values())
    return by_group, estimate(overall_mean, overall_scale(list(counts.values())), num_pairs)


def smallest_detectable(sd: float | None, degrees_of_freedom: int, scale: float) -> float | None:
    """The smallest difference of two unpaired means that noise of this size could not feign.

    t(0.975, df) x sqrt(2) x sd x scale, with scale = 1/sqrt(n) for one rung of n seeds: the least
    significant difference. It ignores that pairing may take out shared noise, so it errs towards
    saying less.
    """
    if sd is None:
        return None
    return t_factor(degrees_of_freedom) * math.sqrt(2) * sd * scale


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values: the family is wrong anywhere with at most the level.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    adjusted, running = {}, 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for position, name in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - position) * p_values[name]))
        adjusted[name] = running
    return adjusted
