"""How much a difference depends on which text was held out.

Seeds tell how the difference scatters between runs on one held-out set; another set of blocks
would have given another one. Blocks are taken as drawn at random within their strata, and a
difference in bits per byte as the ratio it is, linearised (W. G. Cochran, Sampling Techniques,
1977, chapter 6). The mean over seeds still holds a little of their noise, so the variance errs
towards too much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradatim.law.interval import NOTHING_KNOWN, Values, Variance


@dataclass(frozen=True)
class Blocks:
    """The held-out blocks of one run at its end.

    Attributes:
        bits: [num_blocks], summed over a block.
        num_bytes: [num_blocks].
        strata: [num_blocks].
        slices: of each slice the rows it holds.
    """

    bits: Values
    num_bytes: Values
    strata: NDArray[np.int64]
    slices: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self | None:
        """Of an `evaluate` event; None where it has none, or a loss that is not finite."""
        blocks = event.get("blocks")
        if blocks is None or None in blocks["nats"]:
            return None
        return cls(
            np.array(blocks["nats"]) / math.log(2),
            np.array(blocks["bytes"], dtype=np.float64),
            np.array(blocks["strata"], dtype=np.int64),
            {name: np.array(rows, dtype=np.int64) for name, rows in blocks["slices"].items()},
        )


Pair = tuple[Blocks, Blocks]


def text_variance(rungs: Sequence[Sequence[Pair]], names: Sequence[str]) -> Variance | None:
    """Variance, over other held-out text, of the mean over rungs of mean paired differences.

    Args:
        rungs: of each rung the pairs, arm and reference of one seed.
        names: the slices whose plain mean was compared; most often one.

    Returns:
        None where a rung's runs did not keep their blocks, or not the same, or where a slice has
        too few to tell.
    """
    pairs = [pair for rung in rungs for pair in rung]
    if not pairs or not all(rungs):
        return None
    first = pairs[0][0]
    if any(len(blocks.bits) != len(first.bits) for pair in pairs for blocks in pair):
        return None
    bits = np.mean(
        [np.mean([arm.bits - other.bits for arm, other in rung], axis=0) for rung in rungs], axis=0
    )
    parts = [_slice_variance(bits, first, first.slices[name]) for name in names]
    if not all(part.degrees_of_freedom for part in parts):
        return None
    return Variance.of_sum(part.times(1 / len(names) ** 2) for part in parts)


def _slice_variance(bits: Values, blocks: Blocks, rows: NDArray[np.int64]) -> Variance:
    bits, num_bytes, strata = bits[rows], blocks.num_bytes[rows], blocks.strata[rows]
    if len(rows) < 2 or num_bytes.sum() == 0:
        return NOTHING_KNOWN
    deviations = (bits - num_bytes * bits.sum() / num_bytes.sum()) / num_bytes.sum()
    _, stratum_of_block, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    is_lone = sizes[stratum_of_block] == 1  # lone blocks stand for each other
    groups = [deviations[stratum_of_block == s] for s in np.flatnonzero(sizes > 1)]
    if is_lone.sum() > 1:
        groups.append(deviations[is_lone])
    return Variance.of_sum(
        Variance(len(group) * float(group.var(ddof=1)), len(group) - 1) for group in groups
    )
