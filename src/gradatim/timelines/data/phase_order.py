"""Legs in motion: a pool a leg, and a ranking where a focus begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import MismatchError
from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockIds, Losses, check_draw
from gradatim.timelines.data.loss_memory import Drops, LossMemory, dropped
from gradatim.timelines.data.phase_plan import Leg
from gradatim.timelines.data.pool import Pool
from gradatim.timelines.data.spacing import Days


@dataclass(frozen=True)
class Dropping:
    """How a focus drops blocks.

    Attributes:
        drops: which of the ranking.
        groups: a code of each block; each group drops its own. None for all together.
    """

    drops: Drops
    groups: NDArray[np.integer[Any]] | None


class PhasedOrder:
    """A pool a leg, one after the other; the last leg goes on as long as it is asked.

    A leg begins with the draw that needs its first block, so a focus ranks by all losses observed
    before that draw. Where a batch crosses a border, its first blocks are not among them: in a
    first pass they are then blocks of unknown loss, which are kept.

    Args:
        ids: of all blocks, rising.
        legs: in the order of the run.
        memory: what is remembered of losses.
        dropping: how a focus drops.
        days: the clock of reviews, where legs end by it.
        seed: a seed, or a run's key.
        plan: what is intended.
    """

    def __init__(
        self,
        ids: BlockIds,
        legs: Sequence[Leg],
        memory: LossMemory,
        dropping: Dropping,
        *,
        days: Days | None = None,
        seed: int | str,
        plan: Mapping[str, Any],
    ) -> None:
        self.plan = plan
        self._ids, self._legs, self._memory, self._dropping = ids, legs, memory, dropping
        self._days, self._seed = days, seed
        self._num_drawn = 0
        self._leg = -1  # none has begun
        self._is_kept: NDArray[np.bool_] | None = None  # None: all are
        self._pool: Pool | None = None
        self._news: list[dict[str, Any]] = []

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        drawn = [np.empty(0, dtype=np.uint32)]
        while num_blocks:
            if self._pool is None or self._num_left(self._leg, progress) == 0:
                self._begin(self._next_leg(progress))
            assert self._pool is not None
            count = min(num_blocks, self._num_left(self._leg, progress, most=num_blocks))
            drawn.append(self._pool.draw(count))
            num_blocks -= count
            self._num_drawn += count
        return np.concatenate(drawn)

    def _next_leg(self, progress: float) -> int:
        """The leg that is to begin; one whose day has come before it began is left out."""
        if self._days and self._leg >= 0:
            self._days.start(progress, self._num_drawn)
        index = self._leg + 1
        while self._legs[index].until_day and self._num_left(index, progress) == 0:
            index += 1
        return index

    def _num_left(self, index: int, progress: float, most: int = 1) -> int:
        """Draws until a leg ends, or `most` where that is not known or never."""
        if index == len(self._legs) - 1:
            return most
        leg = self._legs[index]
        if leg.until_day is not None:
            assert self._days is not None
            left = self._days.draws_until(leg.until_day, progress, self._num_drawn)
            return most if left is None else left
        begun = self._pool.num_drawn if self._pool and index == self._leg else 0
        return leg.num_draws - begun

    def _begin(self, index: int) -> None:
        self._pool = None  # gone before its memory is needed
        leg = self._legs[index]
        phase = leg.phase
        news: dict[str, Any] = {"phase": leg.index + 1, "kind": phase.kind}
        if phase.rank_by is None:
            self._memory.begin_mean()
            self._is_kept, threshold = None, None
        else:
            is_dropped, threshold = dropped(
                self._memory.values(phase.rank_by),
                phase.dropped_fraction,
                self._dropping.drops,
                lambda purpose: Stream(self._seed, f"phases/{index}/{purpose}"),
                self._dropping.groups,
            )
            self._is_kept = np.logical_not(is_dropped, out=is_dropped)
        self._leg = index
        self._pool = self._new_pool()
        num_kept = len(self._pool.ranked_ids)
        news |= {"blocks": num_kept, "dropped": len(self._ids) - num_kept, "threshold": threshold}
        self._news.append(news)

    def _new_pool(self) -> Pool:
        ids = self._ids if self._is_kept is None else self._ids[self._is_kept]
        pool = Pool(ids, Stream(self._seed, f"phases/{self._leg}/pool"), when_empty="refill")
        pool.admit(len(ids))
        return pool

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        self._memory.observe(block_ids, losses_nats)
        if self._days:
            self._days.observe(update_norm)

    def news(self) -> dict[str, Any] | None:
        """The phases that have begun: which, over how many blocks, what parts them."""
        news, self._news = self._news, []
        return {"phases_begun": news} if news else None

    def state(self) -> dict[str, Any]:
        is_kept = np.empty(0, np.bool_) if self._is_kept is None else self._is_kept
        return {
            "leg": self._leg,
            "num_drawn": self._num_drawn,
            "days": self._days.state() if self._days else {},
            "memory": self._memory.state(),
            "kept_bits": np.packbits(is_kept),
            "pool": self._pool.state() if self._pool else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        leg = int(state["leg"])
        if leg >= len(self._legs):
            raise MismatchError(
                "the saved phase is not one of this curriculum's",
                where="curriculum state",
                expected=f"at most {len(self._legs) - 1}",
                got=str(leg),
                remedy="Resume with the block store, recipe and seed the run was started with.",
            )
        self._memory.restore(state["memory"])
        if self._days:
            self._days.restore(state["days"])
        self._num_drawn = int(state["num_drawn"])
        self._leg, self._news, self._pool, self._is_kept = leg, [], None, None
        if leg < 0:
            return
        if self._legs[leg].phase.rank_by is not None:
            bits = np.asarray(state["kept_bits"], dtype=np.uint8)
            self._is_kept = np.unpackbits(bits, count=len(self._ids)).astype(np.bool_)
        self._pool = self._new_pool()
        self._pool.restore(state["pool"])
