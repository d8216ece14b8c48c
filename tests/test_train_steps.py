from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.compute import training_flops
from gradatim.errors import SpecError
from gradatim.train.steps import plan_steps
from tiny_runs import BATCH_BLOCKS, BLOCK_TOKENS, SHAPE, tiny_spec

STEP_FLOPS = training_flops(SHAPE, BATCH_BLOCKS * BLOCK_TOKENS)


def test_ten_steps_written_out() -> None:
    plan = plan_steps(tiny_spec(10, checkpoint_every_fraction=0.3))
    assert plan.num_steps == 10
    assert plan.tokens_per_step == 64
    assert plan.flops_per_step == STEP_FLOPS
    assert plan.budget_flops == 10 * STEP_FLOPS
    assert plan.evaluation_points == {0: 0, 3: 0.25, 5: 0.5, 8: 0.75, 10: 1}
    assert plan.checkpoint_steps == {4, 7, 10}
    assert plan.log_every_steps == 1


def test_more_points_than_steps_give_one_evaluation_a_step() -> None:
    assert plan_steps(tiny_spec(2)).evaluation_points == {0: 0, 1: 0.5, 2: 1}


@given(num_steps=st.integers(1, 5000), num_points=st.integers(1, 40))
def test_evaluations_come_first_at_or_after_their_points(num_steps: int, num_points: int) -> None:
    plan = plan_steps(tiny_spec(num_steps, evaluation={"num_points": num_points}))
    assert plan.evaluation_points[0] == (0 if num_points < num_steps else plan.evaluation_points[0])
    assert plan.evaluation_points[num_steps] == 1
    for step, point in plan.evaluation_points.items():
        assert step / num_steps >= point - 1e-12 > (step - 1) / num_steps - 1e-12 or step == 0
    assert max(plan.checkpoint_steps) == num_steps
    assert sum(map(plan.is_logged, range(1, num_steps + 1))) <= 501


def test_a_budget_below_one_step_is_refused_with_its_price() -> None:
    with pytest.raises(SpecError, match=r"budget_flops: the budget buys no .* at least .* got 1e"):
        plan_steps(tiny_spec(budget_flops=1e3))
