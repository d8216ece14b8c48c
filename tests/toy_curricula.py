"""A curriculum that reads losses, small enough to see through: the highest recorded loss first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradatim.timelines.data.door import BlockIds, Losses


class HighestLossFirst:
    """Draws the blocks of the highest last loss; never seen before seen, then by id.

    It reads update norms, if they are given, by counting them.
    """

    def __init__(self, num_blocks: int) -> None:
        self._losses = np.full(num_blocks, np.inf, dtype=np.float32)
        self._drawn_at = np.zeros(num_blocks, dtype=np.int64)
        self._num_drawn = 0
        self.plan = {"kind": "toy", "sentence": f"the highest loss of {num_blocks} blocks first"}

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        waited = self._num_drawn - self._drawn_at
        order = np.lexsort((np.arange(len(waited)), -waited, -self._losses))
        chosen = order[:num_blocks].astype(np.uint32)
        self._losses[chosen] = -1.0  # not again before its loss is known
        self._num_drawn += num_blocks
        self._drawn_at[chosen] = self._num_drawn
        return chosen

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        self._losses[block_ids] = losses_nats + (update_norm or 0.0)

    def state(self) -> dict[str, Any]:
        losses, drawn_at = self._losses.copy(), self._drawn_at.copy()
        return {"losses": losses, "drawn_at": drawn_at, "num_drawn": self._num_drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._losses = np.array(state["losses"], dtype=np.float32)
        self._drawn_at = np.array(state["drawn_at"], dtype=np.int64)
        self._num_drawn = int(state["num_drawn"])
