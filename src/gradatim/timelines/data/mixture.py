"""Pools side by side, one a label, and whole blocks out of them in given proportions.

Blocks are apportioned to labels by what each is owed, so that the realised counts stay beside the
weights without any chance in it. Inside a label, blocks come from that label's own pool, in an
order that depends on the seed and the label alone: two arms that draw equally many blocks of a
label draw the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import SpecError
from gradatim.streams import Stream, parts
from gradatim.timelines.data.balance import apportioned, interleaved
from gradatim.timelines.data.bands import Grouping, labels_by
from gradatim.timelines.data.door import BlockIds, BlockTable, Labels
from gradatim.timelines.data.method import Method
from gradatim.timelines.data.pool import Pool


class Mixture:
    """Pools side by side, one a label.

    Args:
        pools: one a label.
        is_strict: no block twice: a label that is used up hands its draws to the others.
    """

    def __init__(self, pools: Sequence[Pool], *, is_strict: bool) -> None:
        self._pools = pools
        self._is_strict = is_strict
        self._owed = [0.0] * len(pools)

    def draw(self, weights: Sequence[float], num_blocks: int) -> BlockIds:
        """Whole blocks of every label, the labels spread evenly over the batch.

        Args:
            weights: one a label, summing to 1.
            num_blocks: how many.
        """
        owed = [debt + num_blocks * w for debt, w in zip(self._owed, weights, strict=True)]
        counts = apportioned(owed, num_blocks, self._capacity(weights, num_blocks))
        self._owed = [debt - count for debt, count in zip(owed, counts, strict=True)]
        drawn = [np.empty(0, dtype=np.uint32)]
        drawn += [pool.draw(n) for pool, n in zip(self._pools, counts, strict=True) if n]
        return np.concatenate(drawn)[interleaved(counts)]

    def _capacity(self, weights: Sequence[float], num_blocks: int) -> list[int]:
        """The most each label can give: nothing without a weight, nor more than it has."""
        if not self._is_strict:
            return [num_blocks if weight > 0 else 0 for weight in weights]
        left = [pool.num_remaining for pool in self._pools]
        asked = [count if weight > 0 else 0 for count, weight in zip(left, weights, strict=True)]
        if sum(asked) >= num_blocks:
            return asked
        return left if sum(left) >= num_blocks else [num_blocks] * len(left)

    def state(self) -> dict[str, Any]:
        """What is left in every pool, and what every label is owed."""
        pools = {str(index): pool.state() for index, pool in enumerate(self._pools)}
        return {"owed": np.array(self._owed), "pools": pools}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises `MismatchError` when the blocks are others."""
        for index, pool in enumerate(self._pools):
            pool.restore(state["pools"][str(index)])
        self._owed = np.asarray(state["owed"], dtype=np.float64).tolist()


def label_pool(ids: BlockIds, label: str, seed: int | str) -> Pool:
    """All blocks of a label, open from the start."""
    pool = Pool(ids, Stream(seed, f"label/{label}"), when_empty="refill")
    pool.admit(len(ids))
    return pool


def counted(codes: NDArray[np.integer[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The codes that occur, rising, and how often."""
    counts = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.intp)
    for part in parts(len(codes)):
        counts += np.bincount(codes[part], minlength=len(counts))
    occurring = np.flatnonzero(counts)
    return occurring, counts[occurring]


class Grouped(Method):
    """What the methods that mix groups of blocks have in common."""

    by: Grouping
    metric: str
    num_bands: int | None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return (self.metric,) if self.by == "band" else ()

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels of blocks it reads."""
        return () if self.by == "band" else (self.by,)

    def labels(self, table: BlockTable) -> Labels:
        """Names of its labels, and the code of each block."""
        return labels_by(table, self.by, metric=self.metric, num_bands=self.num_bands)

    def labels_there(self, table: BlockTable) -> list[str]:
        """The labels that a block has; "" is that of blocks without one."""
        names, code_of_block = self.labels(table)
        return [str(names[code]) for code in counted(code_of_block)[0]]

    def check(self, table: BlockTable) -> None:
        """Refuse a label that the settings name and no block has.

        Raises:
            SpecError: naming the setting and the labels there are.
        """
        named = list(self.named_labels())
        known = [label for label in self.labels_there(table) if label] if named else []
        for where, by, label in named:
            if label not in known:
                raise SpecError(
                    f"no block has this {by}",
                    where=where,
                    expected=f"one of {', '.join(known)}" if known else "blocks with labels",
                    got=label,
                )
