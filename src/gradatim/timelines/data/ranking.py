"""Rankings of many millions of blocks, in little more memory than the ranking itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import SpecError
from gradatim.streams import Stream, parts

Rows = NDArray[np.uint32]


def gathered(values: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """`values[rows]`, without widening all of the rows at once."""
    found = np.empty(len(rows), values.dtype)
    for part in parts(len(rows)):
        found[part] = values[rows[part]]
    return found


def dealt_out(values: NDArray[Any], ids: NDArray[np.uint32], stream: Stream) -> NDArray[Any]:
    """Values of other blocks; copies of a block get the same one."""
    distinct, first, block = np.unique(ids, return_index=True, return_inverse=True)
    dealt: NDArray[Any] = values[first][stream.permutation(len(distinct))][block]
    return dealt


def ranked(difficulty: NDArray[np.floating[Any]], stream: Stream, *, hardest_first: bool) -> Rows:
    """Rows by rising difficulty, or falling; equal ones in random order, unknown ones last.

    The rows are dealt out at random, and then a key of the difficulty is sorted together with the
    place that it was dealt, as one number.
    """
    dealt = stream.permutation(len(difficulty))
    key_of = _keys(difficulty, -1.0 if hardest_first else 1.0)
    packed = np.empty(len(difficulty), dtype=np.uint64)
    for part in parts(len(packed)):
        packed[part] = key_of(dealt[part])
        packed[part] <<= np.uint64(32)
        packed[part] |= np.arange(part.start, part.stop, dtype=np.uint64)
    packed.sort()
    rows = packed.view(np.uint32)[: len(packed)]  # written behind what is read
    for part in parts(len(packed)):
        rows[part] = dealt[packed[part] & np.uint64(0xFFFFFFFF)]
    del dealt
    return rows.copy()


def _keys(
    difficulty: NDArray[np.floating[Any]], sign: float
) -> Callable[[Rows], NDArray[np.integer[Any]]]:
    """Whole numbers below 2^32 that order rows as their signed difficulties do, unknown last."""

    def signed(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        known = np.isfinite(values)
        return np.where(known, sign * values, np.asarray(np.inf, values.dtype)) + 0.0  # -0 is 0

    if difficulty.dtype != np.float32:
        codes = np.unique(signed(difficulty), return_inverse=True)[1]
        return lambda rows: codes[rows]

    def bits(rows: Rows) -> NDArray[np.uint32]:
        """The bits of floats rise with them, and fall where they are negative."""
        found = signed(difficulty[rows]).view(np.uint32)
        return np.where(found >> 31, ~found, found | np.uint32(1 << 31))

    return bits


def check_any_known(difficulty: NDArray[np.floating[Any]], metric: str) -> None:
    """Refuse a metric that ranks nothing.

    Raises:
        SpecError: no block has a value of it.
    """
    if not any(np.isfinite(difficulty[part]).any() for part in parts(len(difficulty))):
        raise SpecError(
            "no block has a value of this metric",
            where="data.metric",
            got=metric,
            remedy="Choose another metric, or score the store's blocks",
        )


def check_varies(difficulty: NDArray[np.floating[Any]], metric: str) -> None:
    """Refuse a metric that tells no two blocks apart.

    Raises:
        SpecError: no block has a value of it, or all have the same.
    """
    check_any_known(difficulty, metric)
    if len(difficulty) == 1:
        return
    low, high = np.inf, -np.inf
    for part in parts(len(difficulty)):
        known = difficulty[part][np.isfinite(difficulty[part])]
        low, high = min(low, known.min(initial=low)), max(high, known.max(initial=high))
    if low == high:
        raise SpecError(
            "all blocks have the same value of this metric, so it orders nothing",
            where="data.metric",
            expected="a column of at least two values",
            got=f"{metric}, {low:g} everywhere",
            remedy="Choose another metric",
        )
