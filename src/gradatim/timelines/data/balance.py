"""Whole numbers and fixed totals: how asked weights become blocks.

`balanced_weights` bends a schedule of stages as little as possible so that, carried out, it uses
up a sample exactly. `apportioned` turns weights into whole blocks, a batch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import SpecError

MAX_SWEEPS = 20_000
TOLERANCE = 1e-7  # of the sample, per label
WEIGHT_DECIMALS = 10  # beyond them, sums differ between machines


def balanced_weights(
    weights_SL: NDArray[np.float64], durations_S: NDArray[np.float64], shares_L: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights [stages, labels], rows summing to 1, whose plan uses each label's share of blocks.

    Iterative proportional fitting (Sinkhorn 1964; Deming and Stephan 1940): among all plans with
    these totals it gives the one nearest to the asked one in relative entropy. Zeros stay zeros.

    Args:
        weights_SL: asked weights, rows summing to 1.
        durations_S: share of the draws in each stage.
        shares_L: share of the sample with each label.

    Raises:
        SpecError: when no plan with the asked zeros has these totals.
    """
    plan_SL = weights_SL * durations_S[:, None]
    for _ in range(MAX_SWEEPS):
        totals_S = plan_SL.sum(axis=1)
        if not np.all(totals_S > 0):
            break
        plan_SL = plan_SL * (durations_S / totals_S)[:, None]
        totals_L = plan_SL.sum(axis=0)
        if np.any(totals_L[shares_L > 0] == 0):
            break
        if np.abs(totals_L - shares_L).max() < TOLERANCE:
            rows_SL = plan_SL / plan_SL.sum(axis=1, keepdims=True)
            return np.asarray(rows_SL.round(WEIGHT_DECIMALS))
        plan_SL = plan_SL * np.divide(
            shares_L, totals_L, out=np.zeros_like(shares_L), where=shares_L > 0
        )
    raise SpecError(
        "the stages cannot use every block of the sample exactly once",
        where="data.stages",
        expected="for any set of labels, stages that are long enough to use them up",
        remedy="Give every label some weight in more stages, move `until`, or set sample: all",
    )


def apportioned(owed: Sequence[float], num_blocks: int, capacity: Sequence[int]) -> list[int]:
    """Whole counts, one a label, summing to `num_blocks`, the largest debts first.

    Every label gets the whole part of what it is owed, and the largest remainders one more. Plain
    Python: for the few numbers of a batch it is several times faster than arrays.

    Args:
        owed: blocks planned so far, this batch included, less blocks drawn so far.
        num_blocks: blocks in this batch, at most the sum of `capacity`.
        capacity: the most that each label can give.
    """
    counts = [
        min(int(debt), most) if debt > 0 else 0 for debt, most in zip(owed, capacity, strict=True)
    ]
    while missing := num_blocks - sum(counts):
        remainders = [debt - count for debt, count in zip(owed, counts, strict=True)]
        order = sorted(range(len(counts)), key=remainders.__getitem__, reverse=missing > 0)
        if missing > 0:
            for label in [label for label in order if counts[label] < capacity[label]][:missing]:
                counts[label] += 1
        else:
            for label in [label for label in order if counts[label] > 0][:-missing]:
                counts[label] -= 1
    return counts


def interleaved(counts: Sequence[int]) -> list[int]:
    """Positions that spread blocks given label after label evenly over the batch."""
    places = [(place + 0.5) / count for count in counts for place in range(count)]
    return sorted(range(len(places)), key=places.__getitem__)
