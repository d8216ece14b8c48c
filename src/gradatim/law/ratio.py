"""The compute ratio: what an arm needs, over what the baseline needs, for the same loss.

Read between *finished* runs only. Before its end a run has not come down its learning rate, and a
loss read off the middle of a curve makes every gain look small. So the baseline is trained at
other budgets too (`baseline_budgets` of a study), each with a schedule of its own, and its loss
between those budgets is interpolated in log compute, by the parabola through three of them.

At a supposed ratio r the arm's loss minus the baseline's at 1 / r times the budget is a sum of
means of runs with known weights, so the interval is exact: every r at which that sum could be zero
(Fieller's way). At r = 1 this is the test of the difference itself: both exclude "no effect", or
neither does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradatim.law.interval import BySeed, Values, Variance, t_factor, weighted

_NUM_TRIED = 401


@dataclass(frozen=True)
class RungLosses:
    """One rung: final losses by seed, lower being better.

    Attributes:
        arm: of the arm.
        baseline: of the baseline, by multiple of the budget, 1 among them.
        variance: of a run within this rung.
    """

    arm: BySeed
    baseline: Mapping[float, BySeed]
    variance: Variance

    def seeds(self) -> list[int]:
        """Those with which everything was run."""
        return sorted(set(self.arm).intersection(*self.baseline.values()))


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


def ratio_of(rungs: Sequence[RungLosses], lenders: Sequence[Variance] = ()) -> Ratio | None:
    """The one ratio for all these rungs; None where it cannot be read.

    Needs a seed with which arm and baseline were run at every budget, and a second budget.

    Args:
        rungs: those read.
        lenders: variances of other rungs, borrowed from where these are not replicated.
    """
    multiples = sorted(set.intersection(*(set(rung.baseline) for rung in rungs)))
    counts = [len(rung.seeds()) for rung in rungs]
    if len(multiples) < 2 or not all(counts):
        return None
    log_multiples = np.log(multiples)
    tried = np.linspace(log_multiples[0], log_multiples[-1], _NUM_TRIED)
    weights = lagrange_weights(log_multiples, tried)
    gaps = np.zeros(_NUM_TRIED)
    for rung in rungs:
        seeds = rung.seeds()
        arm = np.mean([rung.arm[seed] for seed in seeds])
        points = [np.mean([rung.baseline[m][seed] for seed in seeds]) for m in multiples]
        gaps += (arm - weights @ points) / len(rungs)
    bound = _half_width(rungs, counts, lenders) * np.sqrt(1 + (weights**2).sum(axis=1))
    most, least = _first_above_zero(gaps + bound, tried), _last_below_zero(gaps - bound, tried)
    middle = _first_above_zero(gaps, tried)
    return Ratio(
        None if middle is None else math.exp(-middle),
        None if least is None else math.exp(-least),
        None if most is None else math.exp(-most),
        (math.exp(-tried[-1]), math.exp(-tried[0])),
    )


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


def _half_width(
    rungs: Sequence[RungLosses], counts: Sequence[int], lenders: Sequence[Variance]
) -> float:
    """Of the mean over rungs of a mean over seeds, each with weight 1."""
    weights = [1 / count / len(rungs) ** 2 for count in counts]
    variances = [rung.variance for rung in rungs]
    variance = weighted([*variances, *lenders], [*weights, *[0.0] * len(lenders)])
    if variance.degrees_of_freedom == 0:
        return math.inf
    return t_factor(variance.degrees_of_freedom) * math.sqrt(variance.value)


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
