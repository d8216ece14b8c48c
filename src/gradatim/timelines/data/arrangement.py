"""How a ranking is walked through: places in a ranking, 0 the first, in the order of the draws.

Every function takes the number of blocks and gives each place exactly once. They know nothing of
difficulty; `order` ranks the blocks first. Whole numbers alone, so that an order is the same on
every machine.

Folds, zigzag, stairs and saw are those of Dai et al. 2026 ("Demystifying Data Organization for
Enhanced LLM Training", arXiv 2605.30334, after DELT, arXiv 2506.21545), as released in
microsoft/data-efficacy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gradatim.streams import Stream

Places = NDArray[np.int64]
Streams = Callable[[str], Stream]


def folded(num_blocks: int, num_folds: int) -> Places:
    """Passes from first to last, fold k over the places k, k + num_folds, ... (FO)."""
    return np.concatenate([np.arange(k, num_blocks, num_folds) for k in range(num_folds)])


def zigzagged(num_blocks: int, num_folds: int) -> Places:
    """The same folds, every second one backwards, so that no border jumps (ZIG)."""
    folds = [np.arange(k, num_blocks, num_folds) for k in range(num_folds)]
    return np.concatenate([fold[:: (-1) ** k] for k, fold in enumerate(folds)])


def crossed(
    num_blocks: int,
    num_sections: int,
    transition_fraction: float,
    walk: Callable[[int, int], Places],
    num_folds: int,
) -> Places:
    """In order, but around each border between sections folded (STR) or zigzagged (SAW).

    Args:
        num_blocks: places.
        num_sections: equal parts; there are borders between them alone.
        transition_fraction: of all blocks, on either side of a border; where two transitions
            overlap, the later one begins where the earlier one ends.
        walk: `folded` or `zigzagged`, for the blocks of a transition.
        num_folds: of a transition.
    """
    radius = round(num_blocks * transition_fraction)
    order = np.arange(num_blocks)
    done = 0
    for section in range(1, num_sections):
        border = round(num_blocks * section / num_sections)
        start, done = max(done, border - radius), min(num_blocks, border + radius)
        order[start:done] = start + walk(done - start, num_folds)
    return order


def interleaved_levels(
    num_blocks: int, num_levels: int, num_segments: int, streams: Streams
) -> Places:
    """Segment after segment, in each every level in turn: a random part of it, in random order.

    Levels are equal parts of the ranking. "Beyond Random Sampling" (arXiv 2506.11300) has several
    levels of difficulty inside each segment, repeated; how blocks are dealt to segments, and that
    a level is in random order inside one, is our reading.
    """
    ends = np.arange(num_levels + 1) * num_blocks // num_levels
    segments: list[list[Places]] = [[] for _ in range(num_segments)]
    for level in range(num_levels):
        size = int(ends[level + 1] - ends[level])
        dealt = ends[level] + streams(f"level/{level}").permutation(size).astype(np.int64)
        for segment, part in enumerate(np.array_split(dealt, num_segments)):
            segments[segment].append(part)
    return np.concatenate([part for segment in segments for part in segment])


def shuffled_in_windows(num_blocks: int, window_blocks: int, stream: Stream) -> Places:
    """In order, but random inside each run of `window_blocks` places (JIT)."""
    dealt = stream.permutation(num_blocks)
    return dealt[np.argsort(dealt // np.uint32(window_blocks), kind="stable")].astype(np.int64)


def shuffled_groups(num_blocks: int, group_blocks: int, stream: Stream) -> Places:
    """Runs of `group_blocks` places, unchanged inside, in random order.

    What does not fill a group comes last, so that groups and batches of a size keep step; it is
    cut out at a random place, so that it is of no particular difficulty.
    """
    num_groups, num_over = divmod(num_blocks, group_blocks)
    if num_groups == 0:
        return np.arange(num_blocks)
    place_of_group = stream.permutation(num_groups).astype(np.int64)
    places = np.repeat(place_of_group, group_blocks)
    cut = int(stream.words(num_groups, 1)[0]) * (num_groups + 1) >> 64
    places = np.insert(places, cut * group_blocks, np.full(num_over, num_groups))
    return np.argsort(places, kind="stable").astype(np.int64)
