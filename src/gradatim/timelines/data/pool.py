"""The one rule of every fixed order: draw uniformly from what is admitted and not yet drawn.

Blocks stand in a ranking, and a curriculum admits a growing head of it. Admitted blocks enter the
pool; a draw takes one out, all equally likely. When the pool is empty, either all admitted blocks
come back (`refill`, a new epoch) or the ranking's next block is admitted early (`admit`, for runs
that must draw every block exactly once). With everything admitted from the start this is the
familiar shuffled epoch. A draw costs the same for a hundred blocks and for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockIds, Losses, check_draw
from gradatim.timelines.data.sequence import check_hash, hash_of_ids


class Pool:
    """Blocks admitted and not yet drawn, drawn without replacement.

    Args:
        ranked_ids: block ids in the order in which they are admitted.
        stream: random numbers; the k-th block drawn uses the word at position k.
        when_empty: `refill` starts a new epoch over all that is admitted; `admit` first admits
            the rest of the ranking one by one.
    """

    def __init__(
        self, ranked_ids: BlockIds, stream: Stream, when_empty: Literal["refill", "admit"]
    ) -> None:
        assert len(ranked_ids) > 0
        self.ranked_ids = ranked_ids
        self.num_admitted = 0
        self.num_drawn = 0
        self.epoch = 0
        self._stream = stream
        self._admits_when_empty = when_empty == "admit"
        self._remaining = np.empty(len(ranked_ids), dtype=np.uint32)
        self._view = self._remaining.data  # scalar access at a third of numpy's price
        self._num_remaining = 0

    @property
    def num_remaining(self) -> int:
        """Blocks that can be drawn before the pool is empty."""
        return self._num_remaining

    def admit(self, num_admitted: int) -> None:
        """Admit the head of the ranking; what is admitted stays admitted."""
        new = self.ranked_ids[self.num_admitted : num_admitted]
        if len(new) == 0:
            return
        self._remaining[self._num_remaining : self._num_remaining + len(new)] = new
        self._num_remaining += len(new)
        self.num_admitted += len(new)

    def draw(self, num_blocks: int) -> BlockIds:
        """Take blocks out of the pool, each of those in it equally likely."""
        assert self.num_admitted > 0
        drawn = []
        view = self._view
        for word in self._stream.ahead(self.num_drawn, num_blocks):
            if self._num_remaining == 0:
                self._replenish()
            last = self._num_remaining - 1
            chosen = word * self._num_remaining >> 64  # bias below num_remaining / 2^64
            drawn.append(view[chosen])
            view[chosen] = view[last]
            self._num_remaining = last
        self.num_drawn += num_blocks
        return np.array(drawn, dtype=np.uint32)

    def _replenish(self) -> None:
        if self._admits_when_empty and self.num_admitted < len(self.ranked_ids):
            self.admit(self.num_admitted + 1)
            return
        self._remaining[: self.num_admitted] = self.ranked_ids[: self.num_admitted]
        self._num_remaining = self.num_admitted
        self.epoch += 1

    @cached_property
    def ranking_hash(self) -> int:
        """48 bits of the ranking, by which a state knows whether it is restored to its own."""
        return hash_of_ids(self.ranked_ids)

    def state(self) -> dict[str, Any]:
        """What is left, and how far we are: arrays and numbers only."""
        return {
            "ranking_hash": self.ranking_hash,
            "num_admitted": self.num_admitted,
            "num_drawn": self.num_drawn,
            "epoch": self.epoch,
            "remaining": self._remaining[: self._num_remaining].copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises `MismatchError` when the ranking is another."""
        check_hash(int(state["ranking_hash"]), self.ranking_hash)
        remaining = np.asarray(state["remaining"], dtype=np.uint32)
        self.num_admitted = int(state["num_admitted"])
        self.num_drawn = int(state["num_drawn"])
        self.epoch = int(state["epoch"])
        self._num_remaining = len(remaining)
        self._remaining[: len(remaining)] = remaining


class PoolOrder:
    """A curriculum over one pool: `admitted` says how much of the ranking is open at a progress."""

    def __init__(
        self, pool: Pool, admitted: Callable[[float], int], plan: Mapping[str, Any]
    ) -> None:
        self._pool = pool
        self._admitted = admitted
        self.plan = plan

    @property
    def starting_ids(self) -> BlockIds:
        """The blocks open at progress 0."""
        return self._pool.ranked_ids[: self._admitted(0.0)]

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        self._pool.admit(self._admitted(progress))
        return self._pool.draw(num_blocks)

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        """A fixed order does not look at losses."""

    def state(self) -> dict[str, Any]:
        return self._pool.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._pool.restore(state)
