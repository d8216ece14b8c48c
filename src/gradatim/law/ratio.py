"""The compute ratio: what an arm needs, over what the baseline needs, for the same loss.

Read between *finished* runs only. Before its end a run has not come down its learning rate, and a
loss read off the middle of a curve makes every gain look small. So the baseline is trained at
other budgets too (`baseline_budgets` of a study), each with a schedule of its own, and its loss
between those budgets is interpolated in log compute, by the parabola through three of them.

At a supposed ratio r the arm's loss minus the baseline's at 1 / r times the budget is the
difference at equal compute, and beside it what the baseline gains on the way, a sum of paired
differences with known weights. The interval holds every r at which both together could be zero
(Fieller's way). At r = 1 this is the test of the difference itself: both exclude "no effect", or
neither does. Runs at other budgets may be noisier, so their scatter is their own; the two parts are
taken as independent, though they share the baseline's runs in opposite senses: a little too wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from gradatim.law.interval import CONFIDENCE, BySeed, Values, Variance

_NUM_TRIED = 201


@dataclass(frozen=True)
class RungLosses:
    """One rung; losses are final ones, lower being better.

    Attributes:
        gap: mean of the arm minus the baseline, at equal compute.
        baseline: losses by seed, by multiple of the budget, 1 among them.
    """

    gap: float
    baseline: Mapping[float, BySeed]

    def seeds(self) -> list[int]:
        """Those with which the baseline was run at every budget."""
        return sorted(set.intersection(*map(set, self.baseline.values())))


@dataclass(frozen=True)
class Ratio:
    """A ratio with its interval; None is beyond the budgets that were run.

    Attributes:
        reach: the least and the greatest ratio that those budgets can show.
    """

    ratio: float | None
    low: float | None
    high: float | None
    reach: tuple[float, float]


def ratio_of(rungs: Sequence[RungLosses], of_gap: Variance) -> Ratio | None:
    """The one ratio for all these rungs; None where it cannot be read.

    Needs a second budget, and a seed with which the baseline was run at every budget.

    Args:
        rungs: those read.
        of_gap: variance of the mean over rungs of their gaps.
    """
    multiples = sorted(set.intersection(*(set(rung.baseline) for rung in rungs)))
    if len(multiples) < 2 or not all(rung.seeds() for rung in rungs):
        return None
    log_multiples = np.log(multiples)
    tried = np.linspace(log_multiples[0], log_multiples[-1], _NUM_TRIED)
    weights = lagrange_weights(log_multiples, tried)
    # Of each rung, by seed: what the baseline gains from its own budget to the one tried.
    gains = [
        np.array([[r.baseline[1.0][s] - r.baseline[m][s] for m in multiples] for s in r.seeds()])
        @ weights.T
        for r in rungs
    ]
    gaps = np.mean([r.gap + gain.mean(0) for r, gain in zip(rungs, gains, strict=True)], axis=0)
    bound = _half_widths(of_gap, gains)
    most, least = _first_above_zero(gaps + bound, tried), _last_below_zero(gaps - bound, tried)
    middle = _first_above_zero(gaps, tried)
    reach = (math.exp(-tried[-1]), math.exp(-tried[0]))
    low, high = (None if end is None else math.exp(-end) for end in (least, most))
    if middle is None and low is None and high is None and np.isfinite(bound).all():
        low, high = (None, reach[0]) if gaps[-1] + bound[-1] < 0 else (reach[1], None)
    return Ratio(None if middle is None else math.exp(-middle), low, high, reach)


def lagrange_weights(points: Values, x: Values) -> Values:
    """Weights of values at `points` in the interpolation at x, [x, points].

    The parabola through the three nearest neighbours in a row, or the line where there are two.
    """
    weights = np.zeros((len(x), len(points)))
    size = min(3, len(points))
    for row, place in enumerate(x):
        starts = range(len(points) - size + 1)
        start = min(starts, key=lambda s: float(np.abs(points[s : s + size] - place).max()))
        chosen = range(start, start + size)
        for k in chosen:
            others = [j for j in chosen if j != k]
            factors = [(place - points[j]) / (points[k] - points[j]) for j in others]
            weights[row, k] = math.prod(factors)
    return weights


def _half_widths(of_gap: Variance, gains: Sequence[Values]) -> Values:
    """Of the mean over rungs of gap and gain, at every budget tried; each gain [seeds, tried].

    The variances add up with the degrees of freedom of Welch and Satterthwaite.
    """
    if of_gap.degrees_of_freedom == 0:
        return np.full(gains[0].shape[1], math.inf)
    variances = np.full(gains[0].shape[1], of_gap.value)
    squares = variances**2 / of_gap.degrees_of_freedom
    for gain in gains:
        if len(gain) == 1:  # no scatter to see, but where nothing was gained
            variances = np.where(gain[0] == 0, variances, math.inf)
            continue
        part = gain.var(axis=0, ddof=1) / len(gain) / len(gains) ** 2
        variances = variances + part
        squares = squares + part**2 / (len(gain) - 1)
    is_known = np.isfinite(variances)
    degrees_of_freedom = np.where(is_known, variances, 1.0) ** 2 / squares
    factors = special.stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2)
    return np.where(is_known, factors * np.sqrt(variances), math.inf)


def _first_above_zero(values: Values, x: Values) -> float | None:
    """Where the values first come up to zero; None where they begin above it, or never do."""
    (above,) = np.nonzero(values >= 0)
    if not len(above) or above[0] == 0:
        return None
    return _crossing(values, x, int(above[0]))


def _last_below_zero(values: Values, x: Values) -> float | None:
    """Where the values last leave what is below zero; None where they end there, or never are."""
    (below,) = np.nonzero(values < 0)
    if not len(below) or below[-1] == len(x) - 1:
        return None
    return _crossing(values, x, int(below[-1]) + 1)


def _crossing(values: Values, x: Values, after: int) -> float:
    share = -values[after - 1] / (values[after] - values[after - 1])
    return float(x[after - 1] + share * (x[after] - x[after - 1]))
