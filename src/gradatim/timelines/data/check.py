"""After a run: was the order the planned one, and was the same text read in another order?"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradatim.streams import parts
from gradatim.timelines.data.door import BlockIds


def order_hash(drawn: ArrayLike) -> str:
    """16 hex digits of the ids in the order drawn; any shape, read row by row."""
    return blake2b(np.asarray(drawn, dtype="<u4").tobytes(), digest_size=8).hexdigest()


def multiset_hash(drawn: ArrayLike) -> str:
    """16 hex digits of which ids were drawn how often, whatever the order."""
    return order_hash(np.sort(np.asarray(drawn, dtype="<u4"), axis=None))


def used_fraction(drawn: ArrayLike, block_ids: BlockIds) -> float:
    """Share of these blocks that was drawn at least once; not-a-number when there are none."""
    asked = _members(block_ids)
    num_asked = np.count_nonzero(asked)
    drawn = _members(np.ravel(drawn))[: len(asked)]
    num_drawn = np.count_nonzero(asked[: len(drawn)] & drawn)
    return num_drawn / num_asked if num_asked else float("nan")


def _members(block_ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the ids from 0 to the highest are there: a byte an id, where sets take hundreds."""
    found = np.zeros(int(block_ids.max(initial=0)) + 1, dtype=np.bool_)
    for part in parts(len(block_ids)):
        found[block_ids[part]] = True
    return found


def consumed(
    drawn: ArrayLike, block_ids: BlockIds, band_of_block: NDArray[np.integer[Any]]
) -> dict[str, float]:
    """Share of each band's blocks drawn at least once, by band number.

    Args:
        drawn: ids drawn, any shape: a whole run's, or its part under the ceiling.
        block_ids: the training blocks.
        band_of_block: the band of each, 1 the easiest.
    """
    return {
        str(band): used_fraction(drawn, block_ids[band_of_block == band])
        for band in np.unique(band_of_block)
    }
