"""From a specification of the data timeline to a curriculum."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from gradatim.errors import SpecError
from gradatim.timelines.data.bandit import Bandit
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.door import BlockIds, BlockTable, Curriculum
from gradatim.timelines.data.ending import EndsEvenly, with_even_ending
from gradatim.timelines.data.order import Order
from gradatim.timelines.data.phases import Phases
from gradatim.timelines.data.selection import Selection
from gradatim.timelines.data.stages import Stages
from gradatim.timelines.data.uniform import Uniform

DataTimeline = Annotated[
    Uniform | Ceiling | Order | Selection | Stages | Bandit | Phases,
    Field(discriminator="kind"),
]


def make_curriculum(
    spec: DataTimeline, table: BlockTable, *, num_draws: int, seed: int | str
) -> Curriculum:
    """The curriculum that a specification means for these blocks, before its first draw.

    Args:
        spec: the data timeline.
        table: the blocks of the training split.
        num_draws: how many blocks the whole run will draw.
        seed: a seed, or a run's key (`streams.run_key`); equal arguments give equal draws on
            every machine.

    Raises:
        SpecError: no blocks, or a specification that these blocks cannot serve.
    """
    if len(table) == 0:
        raise SpecError("there are no blocks to draw from", where="block table")
    if num_draws < 1:
        raise SpecError("a run draws at least one block", where="num_draws", got=str(num_draws))
    if _has_twins(table.ids):
        raise SpecError("a block stands twice in the table", where="block table, ids")
    spec.check(table)
    fraction = spec.even_ending_fraction if isinstance(spec, EndsEvenly) else None

    def make(part: BlockTable, draws: int) -> Curriculum:
        return spec.make(part, num_draws=draws, seed=seed)

    if fraction is None or num_draws == 1:
        return make(table, num_draws)
    return with_even_ending(
        make, table, fraction, sample=spec.sample, num_draws=num_draws, seed=seed
    )


def _has_twins(ids: BlockIds) -> bool:
    ordered = np.sort(ids)  # np.unique keeps a table of hashes, many times their size
    return bool(np.any(ordered[1:] == ordered[:-1]))
