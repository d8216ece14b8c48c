"""Losses that come equally late, however far a loader draws ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gradatim.errors import SpecError
from gradatim.timelines.data.door import Announces, BlockIds, Losses
from gradatim.timelines.data.lag import Lagged
from toy_curricula import HighestLossFirst

NUM_STEPS = 12


class Echo:
    """Draws the sum of the losses it has seen, so that a draw shows what was observed before it."""

    plan: Mapping[str, Any] = {"kind": "echo"}

    def __init__(self) -> None:
        self.seen = 0.0

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        return np.full(num_blocks, round(self.seen), dtype=np.uint32)

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        self.seen += float(losses_nats.sum()) + (update_norm or 0.0)

    def news(self) -> dict[str, Any] | None:
        return {"seen": self.seen}

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


def losses_of(step: int) -> Losses:
    return np.array([step + 1, 10 * step], np.float32)


def drawn_ahead(lag_steps: int, ahead: int) -> list[int]:
    """What each step drew, where the loader draws `ahead` steps before the trainer observes."""
    curriculum = Lagged(Echo(), lag_steps)
    drawn: list[int] = []
    for step in range(NUM_STEPS):
        while len(drawn) < min(NUM_STEPS, step + 1 + ahead):
            drawn.append(int(curriculum.draw(0.5, 2)[0]))
        curriculum.observe(np.zeros(2, np.uint32), losses_of(step), 0.0)
    return drawn


def test_a_draw_sees_the_losses_of_all_steps_but_the_last_few() -> None:
    seen = [sum(float(losses_of(s).sum()) for s in range(max(0, t - 3))) for t in range(NUM_STEPS)]
    assert drawn_ahead(3, 0) == seen


@pytest.mark.parametrize("ahead", [0, 1, 2, 3])
def test_how_far_a_loader_draws_ahead_changes_nothing(ahead: int) -> None:
    assert drawn_ahead(3, ahead) == drawn_ahead(3, 0)


def test_no_lag_is_the_curriculum_itself() -> None:
    plain, lagged = Echo(), Lagged(Echo(), 0)
    for step in range(NUM_STEPS):
        assert plain.draw(0.5, 2).tolist() == lagged.draw(0.5, 2).tolist()
        for curriculum in (plain, lagged):
            curriculum.observe(np.zeros(2, np.uint32), losses_of(step), 2.0)


def test_drawing_further_ahead_is_refused() -> None:
    with pytest.raises(SpecError, match=r"data\.lag_steps.*at least 4.*got 3"):
        drawn_ahead(3, 4)


def test_a_restored_one_goes_on_with_what_was_waiting() -> None:
    one = Lagged(Echo(), 3)
    for step in range(5):
        one.draw(0.5, 2)
        one.observe(np.zeros(2, np.uint32), losses_of(step), 1.5)
    other = Lagged(Echo(), 3)
    other.restore(one.state())
    for step in range(5, NUM_STEPS):
        assert one.draw(0.5, 2).tolist() == other.draw(0.5, 2).tolist()
        for curriculum in (one, other):
            curriculum.observe(np.zeros(2, np.uint32), losses_of(step), 1.5)


def test_it_passes_news_on() -> None:
    assert isinstance(Lagged(Echo(), 1), Announces)
    assert Lagged(Echo(), 1).news() == {"seen": 0.0}


def test_losses_are_held_back_as_they_were_told() -> None:
    late = Lagged(HighestLossFirst(3), 1)
    losses = np.zeros(3, np.float32)
    late.observe(late.draw(0.0, 3), losses)
    losses[:] = 9
    assert late.state()["waiting"][0]["losses_nats"].tolist() == [0, 0, 0]
