"""An even ending: whatever a curriculum does, its last part reads the training mixture, shuffled.

A network is best at what it read last. An arm that ends on hard text is better on that and worse on
easy text than plain shuffling, whatever its order did before; an arm that ends evenly is compared
by what is left of its order. A random share of the blocks is set aside for the ending, so that with
`sample: budget` every block is still drawn exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gradatim.streams import Stream
from gradatim.timelines.data.door import (
    Announces,
    BlockIds,
    BlockTable,
    Curriculum,
    Losses,
    check_draw,
)
from gradatim.timelines.data.pool import Pool
from gradatim.timelines.data.sample import Sample, sampled

EvenEndingFraction = Annotated[float | None, Field(gt=0, lt=1)]
"""Share of the run, at its end, that is drawn evenly from all; None for no such ending."""

T = TypeVar("T")


@runtime_checkable
class EndsEvenly(Protocol):
    """A specification that can have such an ending."""

    even_ending_fraction: EvenEndingFraction


class EvenEnding:
    """A curriculum, and after its draws those of a pool of blocks set aside.

    Args:
        main: the curriculum of all but the ending.
        num_main: how many blocks it draws.
        ending: what is drawn then.
        fraction: of the run that is the ending.
    """

    def __init__(self, main: Curriculum, num_main: int, ending: Pool, fraction: float) -> None:
        self._main, self._num_main = main, num_main
        self._ending, self._fraction = ending, fraction
        self._num_drawn = 0
        self.plan = _plan(main.plan, ending, fraction)

    @property
    def starting_ids(self) -> BlockIds:
        """Those of a curriculum that opens gradually; no other has them."""
        found: BlockIds = self._main.starting_ids  # type: ignore[attr-defined]
        return found

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        of_main = max(0, min(num_blocks, self._num_main - self._num_drawn))
        within = min(1.0, progress / (1 - self._fraction))
        drawn = [self._main.draw(within, of_main), self._ending.draw(num_blocks - of_main)]
        self._num_drawn += num_blocks
        return np.concatenate(drawn)

    def news(self) -> dict[str, Any] | None:
        """What the curriculum before the ending has to say."""
        return self._main.news() if isinstance(self._main, Announces) else None

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        self._main.observe(block_ids, losses_nats, update_norm)

    def state(self) -> dict[str, Any]:
        parts = {"main": self._main.state(), "ending": self._ending.state()}
        return {"num_drawn": self._num_drawn, **parts}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._num_drawn = int(state["num_drawn"])
        self._main.restore(state["main"])
        self._ending.restore(state["ending"])


def with_even_ending(
    make: Callable[[BlockTable, int], Curriculum],
    table: BlockTable,
    fraction: float,
    *,
    sample: Sample,
    num_draws: int,
    seed: int | str,
) -> Curriculum:
    """What `make` gives for a part of blocks and draws, then the ending.

    Args:
        make: a curriculum for a table and a number of draws.
        table: all blocks.
        fraction: of the draws that is the ending.
        sample: as the curriculum has it.
        num_draws: of the whole run; one alone has no ending.
    """
    num_last = min(num_draws - 1, max(1, round(fraction * num_draws)))
    chosen = sampled(len(table), sample, num_draws=num_draws, seed=seed)
    rows = chosen(np.arange(len(table), dtype=np.uint32))
    num_aside = num_last
    if sample == "all":
        num_aside = round(len(rows) * num_last / num_draws)
    num_aside = min(len(rows) - 1, max(1, num_aside))
    if num_last == 0 or num_aside == 0:
        return make(table, num_draws)
    dealt = Stream(seed, "even ending").permutation(len(rows))
    aside, others = (rows[np.sort(part)] for part in (dealt[:num_aside], dealt[num_aside:]))
    ending = Pool(table.ids[aside], Stream(seed, "even ending/pool"), when_empty="refill")
    ending.admit(num_aside)
    num_main = num_draws - num_last
    return EvenEnding(make(_part(table, others), num_main), num_main, ending, fraction)


def _part(table: BlockTable, rows: NDArray[np.uint32]) -> BlockTable:
    return BlockTable(
        table.ids[rows],
        _Part(table.difficulties, lambda values: np.asarray(values)[rows]),
        _Part(table.labels, lambda labels: (labels[0], np.asarray(labels[1])[rows])),
    )


class _Part(Mapping[str, T]):
    """Columns of a part of the blocks, taken when they are asked for."""

    def __init__(self, columns: Mapping[str, T], part: Callable[[T], T]) -> None:
        self._columns, self._part = columns, part

    def __getitem__(self, name: str) -> T:
        return self._part(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _plan(main: Mapping[str, Any], ending: Pool, fraction: float) -> dict[str, Any]:
    aside = {"even_ending_fraction": fraction, "num_set_aside": len(ending.ranked_ids)}
    plan = {**main, **aside}
    if main.get("ramp") is not None:
        plan["ramp"] = main["ramp"] * (1 - fraction)
    plan["sentence"] = (
        f"{main['sentence']}, all in the first {1 - fraction:.0%} of the run; the last "
        f"{fraction:.0%} draws evenly from {len(ending.ranked_ids):,} blocks set aside"
    )
    return plan
