"""The blocks of a run whose arms differ in order alone.

With `sample: budget` a run draws from a random sample of exactly as many blocks as it will draw,
each exactly once. The sample depends on the seed alone, so every arm of a seed trains on the same
multiset of blocks. A run longer than one pass over the blocks gets every block as often as whole
passes fit, and a random remainder once more; each of these copies is drawn once, at a time that
depends on the curriculum and not on when its twin was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradatim.streams import Stream

Sample = Literal["all", "budget"]


def sampled(
    num_blocks: int, sample: Sample, *, num_draws: int, seed: int | str
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What picks, of a column of all blocks, those to draw from.

    These are all of them, or for `budget` exactly `num_draws`.
    """
    if sample == "all":
        return lambda column: column
    num_passes, num_more = divmod(num_draws, num_blocks)
    is_drawn_once_more = np.zeros(num_blocks, dtype=np.bool_)
    if num_more:
        is_drawn_once_more[Stream(seed, "sample").permutation(num_blocks)[:num_more]] = True

    def chosen(column: NDArray[Any]) -> NDArray[Any]:
        remainder = column[is_drawn_once_more]
        return np.concatenate([*[column] * num_passes, remainder]) if num_passes else remainder

    return chosen
