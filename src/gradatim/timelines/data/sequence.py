"""A curriculum over one fixed sequence of blocks: its state is a position and a hash."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from gradatim.errors import MismatchError
from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockIds, Losses, check_draw


def hash_of_ids(ids: BlockIds) -> int:
    """48 bits of ids in their order, a number that any state can carry."""
    ids = np.ascontiguousarray(ids, dtype="<u4")
    return int.from_bytes(blake2b(ids.data, digest_size=6).digest(), "little")


def check_hash(found: int, expected: int) -> None:
    """Refuse a state that was saved over other ids, or the same in another order.

    Raises:
        MismatchError: always when they differ.
    """
    if found != expected:
        raise MismatchError(
            "the saved order of blocks belongs to other blocks or another curriculum",
            where="curriculum state",
            expected=f"ranking {expected:012x}",
            got=f"{found:012x}",
            remedy="Resume with the block store, recipe and seed the run was started with.",
        )


class Sequence:
    """Blocks drawn in the order in which they stand; after the last one, from the first again.

    Args:
        ids: the blocks of the whole run, each as often as it is to be drawn.
        until: progress from which what is left comes in random order; 1 for never.
        rest: random numbers for that order.
        plan: what is intended.
    """

    def __init__(
        self, ids: BlockIds, *, until: float, rest: Stream, plan: Mapping[str, Any]
    ) -> None:
        assert len(ids) > 0
        self.plan = plan
        self._planned = self._order = ids
        self._until, self._rest = until, rest
        self._position = 0
        self._num_ordered = -1  # blocks drawn before what was left was shuffled; -1 before that

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        if self._num_ordered < 0 and self._until < 1.0 and progress >= self._until:
            self._shuffle_from(self._position)
        places = np.arange(self._position, self._position + num_blocks) % len(self._order)
        self._position += num_blocks
        return self._order[places]

    def _shuffle_from(self, position: int) -> None:
        self._num_ordered = position
        left = self._planned[self._num_ordered :]
        shuffled = left[self._rest.permutation(len(left))]
        self._order = np.concatenate([self._planned[: self._num_ordered], shuffled])

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        """A fixed order does not look at losses."""

    @cached_property
    def _hash(self) -> int:
        return hash_of_ids(self._planned)

    def state(self) -> dict[str, Any]:
        return {
            "sequence_hash": self._hash,
            "position": self._position,
            "num_ordered": self._num_ordered,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        check_hash(int(state["sequence_hash"]), self._hash)
        self._position, self._num_ordered = int(state["position"]), int(state["num_ordered"])
        self._order = self._planned
        if self._num_ordered >= 0:
            self._shuffle_from(self._num_ordered)
