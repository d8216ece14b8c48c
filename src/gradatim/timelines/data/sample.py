"""The blocks of a run whose arms differ in order alone.

With `sample: budget` a run draws from a random sample of exactly as many blocks as it will draw,
each exactly once. The sample depends on the seed alone, so every arm of a seed trains on the same
multiset of blocks. A run longer than one pass over the blocks gets every block as often as whole
passes fit, and a random remainder once more; each of these copies is drawn once, at a time that
depends on the curriculum and not on when its twin was drawn.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable

Sample = Literal["all", "budget"]


def sampled(table: BlockTable, sample: Sample, *, num_draws: int, seed: int | str) -> BlockTable:
    """The blocks to draw from: all of them, or for `budget` exactly `num_draws`."""
    if sample == "all":
        return table
    num_passes, num_more = divmod(num_draws, len(table))
    rows = np.arange(len(table))
    remainder = np.sort(Stream(seed, "sample").permutation(len(table))[:num_more])
    return table.take(np.concatenate([np.tile(rows, num_passes), remainder]))
