"""What a timeline remembers of the losses of blocks, and which blocks it drops by them.

One float32 a block is kept for the last loss; a second one only where the best loss or the number
of visits is asked for too. Not-a-number is a block never visited.

Dropping is an exact rule: of the blocks whose value is known, so many of the lowest go. A block
whose value is not known is kept, since nothing says that it is easy. Where several have the value
at the border, those that go are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from fractions import Fraction
from math import floor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import MismatchError
from gradatim.streams import Stream, parts
from gradatim.timelines.data.door import BlockIds, Losses

RankBy = Literal["last", "mean", "rise", "excess", "learnability"]
Drops = Literal["lowest", "highest", "ends", "random"]
Values = NDArray[np.float32]

ARRAYS: dict[RankBy, tuple[str, ...]] = {
    "last": ("last",),
    "mean": ("mean", "num_visits"),
    "rise": ("last", "best"),
    "excess": ("last",),
    "learnability": (),
}
"""What has to be kept of every block to rank by this."""


class LossMemory:
    """Losses of blocks, a few numbers each.

    Args:
        ids: of the blocks, rising.
        ranks_by: what will be asked for.
        reference: a value of each block, for `excess` and `learnability`; not-a-number is unknown.
    """

    def __init__(self, ids: BlockIds, ranks_by: Set[RankBy], reference: Values | None) -> None:
        self._ids, self._reference = ids, reference
        names = {name for rank_by in ranks_by for name in ARRAYS[rank_by]}
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.zeros(len(ids), np.uint16)
            if name == "num_visits"
            else np.full(len(ids), np.nan, np.float32)
            for name in sorted(names)
        }

    def observe(self, block_ids: BlockIds, losses_nats: Losses) -> None:
        """Take note of visits, in their order; a block may be visited twice in one batch."""
        if not self._arrays:
            return
        rows = np.searchsorted(self._ids, block_ids)
        losses = np.asarray(losses_nats, dtype=np.float32)
        while len(rows):
            first = np.sort(np.unique(rows, return_index=True)[1])
            self._visit(rows[first], losses[first])
            rows, losses = np.delete(rows, first), np.delete(losses, first)

    def _visit(self, rows: NDArray[np.intp], losses: Losses) -> None:
        arrays = self._arrays
        if "best" in arrays:
            arrays["best"][rows] = np.fmin(arrays["best"][rows], losses)
        if "last" in arrays:
            arrays["last"][rows] = losses
        if "mean" in arrays:
            visits = np.minimum(arrays["num_visits"][rows], np.iinfo(np.uint16).max - 1) + 1
            mean = np.where(visits == 1, np.float32(0), arrays["mean"][rows])
            arrays["mean"][rows] = mean + (losses - mean) / visits.astype(np.float32)
            arrays["num_visits"][rows] = visits

    def begin_mean(self) -> None:
        """Forget the visits that `mean` is taken over; the other values stay."""
        if "mean" in self._arrays:
            self._arrays["mean"][:] = np.nan
            self._arrays["num_visits"][:] = 0

    def values(self, rank_by: RankBy) -> Values:
        """What blocks are ranked by, higher is kept; not-a-number where it is not known."""
        if rank_by == "learnability":
            assert self._reference is not None
            return self._reference
        if rank_by == "mean":
            return self._arrays["mean"]
        if rank_by == "last":
            return self._arrays["last"]
        less = self._arrays["best"] if rank_by == "rise" else self._reference
        assert less is not None
        rise: Values = self._arrays["last"] - less
        return rise

    def state(self) -> dict[str, NDArray[Any]]:
        return {name: array.copy() for name, array in self._arrays.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises `MismatchError` when it is of other blocks."""
        for name, array in self._arrays.items():
            saved = np.asarray(state.get(name, ()))
            if saved.shape != array.shape:
                raise MismatchError(
                    "the saved losses belong to other blocks or another curriculum",
                    where="curriculum state",
                    expected=f"{len(array)} values of {name}",
                    got=str(len(saved)),
                    remedy="Resume with the block store, recipe and seed the run was started with.",
                )
            array[:] = saved


def dropped(
    values: Values,
    fraction: Fraction,
    drops: Drops,
    stream_of: Callable[[str], Stream],
    groups: NDArray[np.integer[Any]] | None = None,
) -> tuple[NDArray[np.bool_], float | None]:
    """Which blocks are dropped, and the value that parts them from the others.

    Args:
        values: of each block; not-a-number is unknown, and such a block stays.
        fraction: of the blocks whose value is known, rounded down, in every group.
        drops: the lowest values, the highest, half of them at either end, or at random.
        stream_of: random numbers for a purpose, which parts equal values.
        groups: a code of each block; each group drops its own.

    Returns:
        the blocks dropped, and the highest value dropped of the lowest (the lowest of the highest);
        None where there is no such single value.
    """
    is_known = np.empty(len(values), dtype=np.bool_)
    np.logical_not(np.isnan(values, out=is_known), out=is_known)
    if groups is None:
        if is_known.all():  # no copy of the losses of many millions of blocks
            return _dropped_of_known(values, fraction, drops, stream_of, "")
        is_dropped = np.zeros(len(values), dtype=np.bool_)
        is_dropped[is_known], threshold = _dropped_of_known(
            values[is_known], fraction, drops, stream_of, ""
        )
        return is_dropped, threshold
    is_dropped = np.zeros(len(values), dtype=np.bool_)
    rows = np.argsort(groups, kind="stable").astype(np.uint32)
    codes, starts = np.unique(groups[rows], return_index=True)
    for code, start, stop in zip(codes, starts, [*starts[1:], len(rows)], strict=True):
        of_group = rows[start:stop][is_known[rows[start:stop]]]
        found, _ = _dropped_of_known(values[of_group], fraction, drops, stream_of, f"/{code}")
        is_dropped[of_group[found]] = True
    return is_dropped, None


def _dropped_of_known(
    values: Values, fraction: Fraction, drops: Drops, stream_of: Callable[[str], Stream], name: str
) -> tuple[NDArray[np.bool_], float | None]:
    count = floor(fraction * len(values))
    if drops == "random":
        return _some(count, len(values), stream_of(f"random{name}")), None
    low = {"lowest": count, "highest": 0, "ends": count // 2}[drops]
    of_low, highest_low = _lowest(values, low, stream_of(f"low{name}"))
    if low == count:
        return of_low, highest_low
    of_high, lowest_high = _lowest(-values, count - low, stream_of(f"high{name}"), taken=of_low)
    threshold = -lowest_high if drops == "highest" and lowest_high is not None else None
    return of_low | of_high, threshold


def _lowest(
    values: Values, count: int, stream: Stream, *, taken: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], float | None]:
    """The `count` lowest, those at the border at random and none that is `taken`; and the border.

    What is taken are the highest, and enough is left, so none of it lies below the border.
    """
    if count == 0:
        return np.zeros(len(values), dtype=np.bool_), None
    border = _kth_lowest(values, count)
    is_lowest = values < border
    at_border = values == border
    if taken is not None:
        at_border &= ~taken
    num_missing = count - int(np.count_nonzero(is_lowest))
    is_lowest[at_border] = _some(num_missing, int(np.count_nonzero(at_border)), stream)
    return is_lowest, border


def _kth_lowest(values: Values, k: int) -> float:
    """Exactly the value of rank k, from 1, counted by the upper and then the lower halves of bits.

    It needs no copy of the values, which are finite.
    """
    top, bottom = np.uint32(16), np.uint32(0xFFFF)
    halves = np.zeros(1 << 16, dtype=np.int64)
    for part in parts(len(values)):
        halves += np.bincount(_rising_bits(values[part]) >> top, minlength=len(halves))
    upper = int(np.searchsorted(halves.cumsum(), k))
    k -= int(halves[:upper].sum())
    halves[:] = 0
    for part in parts(len(values)):
        bits = _rising_bits(values[part])
        halves += np.bincount(bits[bits >> top == upper] & bottom, minlength=len(halves))
    bits = np.array([upper << 16 | int(np.searchsorted(halves.cumsum(), k))], np.uint32)
    bits = np.where(bits >> 31, bits ^ np.uint32(1 << 31), ~bits)
    return float(bits.view(np.float32)[0])


def _rising_bits(values: Values) -> NDArray[np.uint32]:
    """Whole numbers that order as the floats do; -0 is 0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _some(count: int, total: int, stream: Stream) -> NDArray[np.bool_]:
    """`count` of so many, at random: those of the lowest of 24-bit numbers, the first of equal."""
    keys = np.empty(total, dtype=np.float32)  # holds 24 bits exactly
    for part in parts(total):
        keys[part] = stream.words(part.start, part.stop - part.start) >> np.uint64(40)
    if count == 0:
        return np.zeros(total, dtype=np.bool_)
    border = _kth_lowest(keys, count)
    is_chosen = keys < border
    ties = np.flatnonzero(keys == border)
    is_chosen[ties[: count - int(np.count_nonzero(is_chosen))]] = True
    return is_chosen
