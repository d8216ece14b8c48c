"""Losses that come late, and always equally late.

A loader that draws ahead asks for a batch before the losses of the last ones are there. A timeline
that reads losses would then draw otherwise than behind a loader that does not. With a lag of L
steps, a draw sees the losses of all steps but the last L, whoever draws and however far ahead, up
to L steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradatim.errors import SpecError
from gradatim.timelines.data.door import Announces, BlockIds, Curriculum, Losses
from gradatim.timelines.data.method import Method


def check_lag(spec: Method, num_steps: int) -> None:
    """Refuse a lag with which a run ends before the first losses are looked at.

    Raises:
        SpecError: naming the setting.
    """
    lag_steps = getattr(spec, "lag_steps", 0)
    if (spec.reads_losses or spec.reads_update_norms) and lag_steps and lag_steps >= num_steps:
        raise SpecError(
            "the run ends before the first losses are looked at",
            where="data.lag_steps",
            expected=f"below {num_steps}, the steps of the run",
            got=str(lag_steps),
            remedy="Lower it to the steps that the loader draws ahead, 0 in gradatim's own loop",
        )


class Lagged:
    """A curriculum whose observations are held back for a number of steps.

    Args:
        inner: the curriculum.
        lag_steps: how many.
    """

    def __init__(self, inner: Curriculum, lag_steps: int) -> None:
        self._inner, self._lag_steps = inner, lag_steps
        self._num_draws = 0
        self._num_passed_on = 0
        self._waiting: deque[tuple[BlockIds, Losses, float | None]] = deque()
        self.plan = inner.plan

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        while self._num_passed_on < self._num_draws - self._lag_steps:
            if not self._waiting:
                raise SpecError(
                    "a batch is drawn before the losses it depends on are observed",
                    where="data.lag_steps",
                    expected=f"at least {self._num_draws - self._num_passed_on}, as many as the "
                    "loader draws ahead",
                    got=str(self._lag_steps),
                    remedy="Raise data.lag_steps, or let the loader prefetch less",
                )
            self._inner.observe(*self._waiting.popleft())
            self._num_passed_on += 1
        drawn = self._inner.draw(progress, num_blocks)
        self._num_draws += 1
        return drawn

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        # Copies: a caller may use its arrays for the next step.
        self._waiting.append((block_ids.copy(), losses_nats.copy(), update_norm))

    def news(self) -> dict[str, Any] | None:
        """What the curriculum behind has to say."""
        return self._inner.news() if isinstance(self._inner, Announces) else None

    def state(self) -> dict[str, Any]:
        waiting = [
            {"block_ids": np.asarray(ids), "losses_nats": np.asarray(losses), "norm": norm}
            for ids, losses, norm in self._waiting
        ]
        counts = {"num_draws": self._num_draws, "num_passed_on": self._num_passed_on}
        return {**counts, "waiting": waiting, "inner": self._inner.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._inner.restore(state["inner"])
        self._num_draws = int(state["num_draws"])
        self._num_passed_on = int(state["num_passed_on"])
        self._waiting = deque(
            (
                np.asarray(each["block_ids"], dtype=np.uint32),
                np.asarray(each["losses_nats"], dtype=np.float32),
                each["norm"],
            )
            for each in state["waiting"]
        )
