"""Blocks whose id is their place by difficulty, and all that a fixed order draws of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.order import SHAPE_SETTINGS, Order

SHAPES: tuple[Any, ...] = tuple(SHAPE_SETTINGS)


def table_of(num_blocks: int, num_unknown: int = 0) -> BlockTable:
    """Ages that rise with the id, mixed up in the table; the last ids are of unknown age."""
    ids = Stream(9, "ids").permutation(num_blocks)
    ages = ids.astype(np.float32)
    ages[ids >= num_blocks - num_unknown] = np.nan
    levels: Any = np.unique(np.array(list("abc"))[ids % 3], return_inverse=True)
    return BlockTable(ids, {"reading_age": ages}, {"level": levels})


def whole(spec: Order, table: BlockTable, num_draws: int | None = None, seed: int = 0) -> list[int]:
    """All that a run draws, one by one."""
    num_draws = num_draws or len(table)
    curriculum = make_curriculum(spec, table, num_draws=num_draws, seed=seed)
    drawn = [curriculum.draw(draw / num_draws, 1) for draw in range(num_draws)]
    return [int(ids[0]) for ids in drawn]


def drawn_by(num_blocks: int = 12, num_unknown: int = 0, **settings: Any) -> list[int]:
    return whole(Order(**settings), table_of(num_blocks, num_unknown))


def cut(drawn: list[int], size: int) -> list[list[int]]:
    return [drawn[start : start + size] for start in range(0, len(drawn), size)]
