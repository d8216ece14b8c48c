"""An even ending: the last part of a run reads the training mixture, and no block twice for it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.recipe import Recipe
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.check import multiset_hash
from gradatim.timelines.data.door import BlockTable, Curriculum, OpensGradually
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.stages import Stages
from gradatim.timelines.data.uniform import Uniform

NUM_BLOCKS = 400
HARD_LAST = [
    {"until": 0.5, "weights": {"a": 9, "b": 1}},
    {"until": 1.0, "weights": {"a": 1, "b": 9}},
]


def table() -> BlockTable:
    labels = ["a", "b"] * (NUM_BLOCKS // 2)
    ids = np.arange(NUM_BLOCKS, dtype=np.uint32) + 7
    return BlockTable(
        ids,
        {"reading_age": np.arange(NUM_BLOCKS, dtype=np.float32) / 20},
        {"level": np.unique(labels, return_inverse=True)},
    )


def staged(**more: Any) -> Stages:
    return Stages.model_validate({"stages": HARD_LAST, "even_ending_fraction": 0.25, **more})


def rising(**more: Any) -> Ceiling:
    return Ceiling.model_validate({"ramp": 0.8, "even_ending_fraction": 0.25, **more})


def run(curriculum: Curriculum, num_draws: int, batch: int = 8) -> np.ndarray:
    steps = range(0, num_draws, batch)
    return np.concatenate(
        [curriculum.draw(at / num_draws, min(batch, num_draws - at)) for at in steps]
    )


@pytest.mark.parametrize("num_draws", [200, 203, 400, 530, 900])
@pytest.mark.parametrize("spec", [staged(sample="budget"), rising(sample="budget")])
def test_every_arm_of_a_seed_draws_the_same_blocks(spec: Stages | Ceiling, num_draws: int) -> None:
    arms = [Uniform(sample="budget"), spec, *spec.controls().values()]
    drawn = [
        run(make_curriculum(arm, table(), num_draws=num_draws, seed=3), num_draws) for arm in arms
    ]
    assert len({multiset_hash(each) for each in drawn}) == 1
    assert len({each.tobytes() for each in drawn}) == len(arms)


@pytest.mark.parametrize("sample", ["all", "budget"])
def test_the_last_quarter_is_the_mixture_and_what_comes_before_is_the_schedule(sample: str) -> None:
    drawn = run(make_curriculum(staged(sample=sample), table(), num_draws=400, seed=0), 400)
    is_hard = (drawn - 7) % 2 == 1
    early, late, last = is_hard[:150].mean(), is_hard[150:300].mean(), is_hard[300:].mean()
    assert early < 0.2 < 0.8 < late
    assert last == pytest.approx(0.5, abs=0.12)


def test_the_ceiling_is_gone_in_three_quarters_of_its_ramp() -> None:
    curriculum = make_curriculum(rising(sample="budget"), table(), num_draws=400, seed=0)
    assert isinstance(curriculum, OpensGradually)
    assert curriculum.plan["ramp"] == pytest.approx(0.6)
    drawn = run(curriculum, 400).astype(int) - 7
    assert drawn[:40].max() < 200 < drawn[240:300].max()
    assert drawn[300:].mean() == pytest.approx(200, abs=35)
    assert not isinstance(make_curriculum(staged(), table(), num_draws=400, seed=0), OpensGradually)


@given(at=st.integers(1, 39), batch=st.integers(1, 11))
@settings(max_examples=25, deadline=None)
def test_it_goes_on_from_any_state(at: int, batch: int) -> None:
    def fresh() -> Curriculum:
        return make_curriculum(rising(), table(), num_draws=40 * batch, seed=1)

    whole = run(fresh(), 40 * batch, batch)
    first, second = fresh(), fresh()
    for step in range(at):
        first.draw(step / 40, batch)
    second.restore(json_like(first.state()))
    rest = np.concatenate([second.draw(step / 40, batch) for step in range(at, 40)])
    assert rest.tolist() == whole[at * batch :].tolist()


def json_like(state: dict[str, Any]) -> dict[str, Any]:
    return {
        key: json_like(value) if isinstance(value, dict) else value for key, value in state.items()
    }


def test_controls_end_evenly_too_and_the_plan_says_it() -> None:
    for spec in (staged(), rising()):
        for control in spec.controls().values():
            assert control.even_ending_fraction == 0.25
            plan = make_curriculum(control, table(), num_draws=40, seed=0).plan
            assert plan["num_set_aside"] == 100
            assert json.dumps(plan)
            assert "the last 25% draws evenly from 100 blocks set aside" in plan["sentence"]


def test_the_reversed_control_runs_the_schedule_backwards_before_the_ending() -> None:
    spec = staged(sample="budget").controls()["reversed"]
    drawn = run(make_curriculum(spec, table(), num_draws=400, seed=0), 400)
    is_hard = (drawn - 7) % 2 == 1
    assert is_hard[:150].mean() > 0.8 > 0.2 > is_hard[150:300].mean()


@pytest.mark.parametrize("num_draws", [1, 2, 3])
def test_the_shortest_runs_still_draw(num_draws: int) -> None:
    for spec in (staged(sample="budget"), rising(), rising(sample="budget")):
        curriculum = make_curriculum(spec, table(), num_draws=num_draws, seed=0)
        assert len(Counter(run(curriculum, num_draws, 1).tolist())) == num_draws


def test_a_stage_whose_only_block_is_set_aside_draws_from_the_others() -> None:
    labels = np.array(["a"] * 39 + ["c"])
    few = BlockTable(
        np.arange(40, dtype=np.uint32), {}, {"level": np.unique(labels, return_inverse=True)}
    )
    lone = [{"until": 0.5, "weights": {"c": 1}}, {"until": 1.0, "weights": {"a": 1}}]
    spec = Stages.model_validate({"stages": lone, "even_ending_fraction": 0.5})
    for seed in range(6):
        drawn = run(make_curriculum(spec, few, num_draws=80, seed=seed), 80)
        assert drawn[40:].tolist().count(39) <= 2
        assert len(drawn) == 80


@pytest.mark.parametrize("fraction", [0, 1, -0.1, "half"])
def test_an_ending_is_a_part_of_the_run(fraction: object) -> None:
    with pytest.raises(ValidationError):
        staged(even_ending_fraction=fraction)


def test_a_recipe_takes_it_by_name() -> None:
    data = {"kind": "ceiling", "even_ending_fraction": 0.25}
    recipe = Recipe.model_validate({"data": data})
    assert recipe.controls()["shuffled"].data.even_ending_fraction == 0.25  # type: ignore[union-attr]
