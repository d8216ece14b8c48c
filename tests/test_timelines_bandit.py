"""Mixtures that follow the losses: the rules against plain references, kills, lags, controls."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gradatim.errors import SpecError
from gradatim.timelines.data.bandit import Bandit, exploration
from gradatim.timelines.data.door import Announces, BlockIds, BlockTable, Curriculum, Losses
from gradatim.timelines.data.kinds import make_curriculum

LEVELS = "aaaaabbbccaaaaabbbcc"  # of the blocks 0 .. 19: half a, 0.3 b, 0.2 c
NUM_STEPS, BATCH = 40, 10


def table_of(levels: str = LEVELS) -> BlockTable:
    ids = np.arange(len(levels), dtype=np.uint32)
    ages = np.linspace(5, 9, len(levels))
    labels = {"level": np.unique(list(levels), return_inverse=True)}
    return BlockTable(ids, {"reading_age": ages}, labels)


def curriculum_of(spec: Bandit, num_draws: int = NUM_STEPS * BATCH) -> Curriculum:
    return make_curriculum(spec, table_of(), num_draws=num_draws, seed=1)


def losses_of(step: int, block_ids: BlockIds) -> Losses:
    """Easy a falls fast, b slowly, c hardly."""
    pace = {"a": 0.2, "b": 0.05, "c": 0.01}
    level = {"a": 3.0, "b": 4.0, "c": 5.0}
    each = [LEVELS[i] for i in block_ids.tolist()]
    values = [level[x] * math.exp(-pace[x] * step) + 0.01 * (i % 3) for i, x in enumerate(each)]
    return np.array(values, np.float32)


def run(
    curriculum: Curriculum, start: int = 0, stop: int = NUM_STEPS
) -> tuple[list[list[int]], list[dict[str, float]]]:
    """What every step drew, and the weights announced."""
    drawn, weights = [], []
    for step in range(start, stop):
        ids = curriculum.draw(step / NUM_STEPS, BATCH)
        if isinstance(curriculum, Announces) and (news := curriculum.news()):
            weights.append(news["weights"])
        curriculum.observe(ids, losses_of(step, ids))
        drawn.append(ids.tolist())
    return drawn, weights


def odm_reference(drawn: list[list[int]], alpha: float, warmup: int) -> list[dict[str, float]]:
    rewards, told = dict.fromkeys("abc", 0.0), [{"a": 0.5, "b": 0.3, "c": 0.2}]
    for t, ids in enumerate(drawn, start=1):
        if t <= warmup:
            continue
        losses = losses_of(t - 1, np.array(ids))
        for label in rewards:
            mine = [float(x) for i, x in zip(ids, losses, strict=True) if LEVELS[i] == label]
            if mine:
                r = math.exp(sum(mine) / len(mine))
                rewards[label] = alpha * rewards[label] + (1 - alpha) * r
        eps = min(1 / 3, math.sqrt(math.log(3) / (3 * t)))
        total = sum(rewards.values())
        told.append({label: (1 - 3 * eps) * r / total + eps for label, r in rewards.items()})
    return told


def improvement_reference(drawn: list[list[int]], alpha: float) -> list[dict[str, float]]:
    mean: dict[str, float] = {}
    gain, told = dict.fromkeys("abc", 0.0), [{"a": 0.5, "b": 0.3, "c": 0.2}]
    for t, ids in enumerate(drawn, start=1):
        losses = losses_of(t - 1, np.array(ids))
        for label in gain:
            mine = [float(x) for i, x in zip(ids, losses, strict=True) if LEVELS[i] == label]
            if mine and label in mean:
                before, now = mean[label], sum(mine) / len(mine)
                mean[label] = alpha * before + (1 - alpha) * now
                fall = max(0.0, before - mean[label])
                gain[label] = alpha * gain[label] + (1 - alpha) * fall
            elif mine:
                mean[label] = sum(mine) / len(mine)
        eps, total = min(1 / 3, math.sqrt(math.log(3) / (3 * t))), sum(gain.values())
        if total > 0:
            told.append({label: (1 - 3 * eps) * g / total + eps for label, g in gain.items()})
    return told


def assert_told(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    """The weights of the last step are told at the next draw, which there is none of."""
    assert len(found) == len(expected) - 1
    for mine, theirs in zip(found, expected, strict=False):
        assert mine == pytest.approx(theirs, abs=1e-6)


# The rules


@pytest.mark.parametrize(("alpha", "warmup_fraction"), [(0.9, 0.1), (0.5, 0.0)])
def test_odm_is_the_released_rule(alpha: float, warmup_fraction: float) -> None:
    spec = Bandit(smoothing=alpha, warmup_fraction=warmup_fraction)
    drawn, weights = run(curriculum_of(spec))
    assert_told(weights, odm_reference(drawn, alpha, round(warmup_fraction * NUM_STEPS)))
    assert weights[-1]["c"] > weights[-1]["b"] > weights[-1]["a"]


def test_improvement_draws_most_of_what_falls_fastest() -> None:
    spec = Bandit(rule="improvement", smoothing=0.5, warmup_fraction=0)
    drawn, weights = run(curriculum_of(spec))
    assert_told(weights, improvement_reference(drawn, 0.5))
    assert weights[8]["a"] > weights[8]["b"] > weights[8]["c"]


def test_exploration_is_that_of_a_table_made_by_hand() -> None:
    shown = [round(exploration(4, step), 4) for step in (1, 5, 6, 100, 10_000)]
    assert shown == [0.25, 0.25, 0.2403, 0.0589, 0.0059]


def test_counts_follow_the_weights_within_a_block() -> None:
    drawn, _ = run(curriculum_of(Bandit(warmup_fraction=0)))
    owed = Counter({"a": 0.5, "b": 0.3, "c": 0.2})
    told = [{"a": 0.5, "b": 0.3, "c": 0.2}, *odm_reference(drawn, 0.9, 0)[1:-1]]
    owed = {label: math.fsum(BATCH * w[label] for w in told) for label in "abc"}
    counts = Counter(LEVELS[i] for ids in drawn for i in ids)
    assert {label: counts[label] for label in owed} == pytest.approx(owed, abs=1)


def test_an_update_of_several_steps_sees_the_losses_of_all() -> None:
    spec = Bandit(warmup_fraction=0, update_every_steps=4, smoothing=0)
    drawn, weights = run(curriculum_of(spec))
    assert (
        len(weights) == NUM_STEPS // 4
    )  # the last update is told at no draw; the first weights are
    rewards = {}
    for label in "abc":
        mine = [
            float(loss)
            for step, ids in enumerate(drawn[:4])
            for i, loss in zip(ids, losses_of(step, np.array(ids)), strict=True)
            if LEVELS[i] == label
        ]
        rewards[label] = math.exp(sum(mine) / len(mine))
    eps = min(1 / 3, math.sqrt(math.log(3) / 12))
    total = sum(rewards.values())
    expected = {label: (1 - 3 * eps) * r / total + eps for label, r in rewards.items()}
    assert weights[1] == pytest.approx(expected, abs=1e-6)


def test_an_absurd_loss_leaves_weights_that_are_numbers() -> None:
    curriculum = curriculum_of(Bandit(warmup_fraction=0))
    for step in range(3):
        ids = curriculum.draw(step / NUM_STEPS, BATCH)
        curriculum.observe(ids, np.full(BATCH, 1e30, np.float32))
    assert len(curriculum.draw(0.5, BATCH)) == BATCH


# Killed and resumed


SPECS: list[dict[str, Any]] = [
    {},
    {"rule": "improvement", "update_every_steps": 3},
    {"lag_steps": 2, "by": "band", "num_bands": 4},
    {"even_ending_fraction": 0.3, "sample": "budget"},
    {"control": "static"},
    {"control": "shuffled", "sample": "budget"},
]


@pytest.mark.parametrize("settings", SPECS, ids=str)
def test_killed_anywhere_it_goes_on_with_the_same_blocks_and_news(settings: dict[str, Any]) -> None:
    spec = Bandit(**{"warmup_fraction": 0.1, **settings})
    whole = run(curriculum_of(spec))
    for kill in (1, 3, 4, 5, 17, 29, NUM_STEPS - 1):
        first = curriculum_of(spec)
        drawn, weights = run(first, 0, kill)
        again = curriculum_of(spec)
        again.restore(first.state())
        more = run(again, kill)
        assert (drawn + more[0], weights + more[1]) == whole


def test_a_state_taken_between_draw_and_news_still_tells_them() -> None:
    first = curriculum_of(Bandit(warmup_fraction=0))
    first.observe(ids := first.draw(0.0, BATCH), losses_of(0, ids))
    first.draw(0.1, BATCH)
    again = curriculum_of(Bandit(warmup_fraction=0))
    again.restore(first.state())
    assert isinstance(first, Announces)
    assert isinstance(again, Announces)
    assert again.news() == first.news() is not None


def test_a_loader_that_draws_ahead_within_the_lag_changes_nothing() -> None:
    spec = Bandit(lag_steps=3, warmup_fraction=0.1)
    expected, _ = run(curriculum_of(spec))
    curriculum, drawn = curriculum_of(spec), []
    for step in range(NUM_STEPS):
        while len(drawn) < min(NUM_STEPS, step + 4):
            drawn.append(curriculum.draw(len(drawn) / NUM_STEPS, BATCH).tolist())
        curriculum.observe(ids := np.array(drawn[step], np.uint32), losses_of(step, ids))
    assert drawn == expected


# Samples and controls


@pytest.mark.parametrize("control", [None, "shuffled", "static"])
def test_with_a_budget_every_block_of_the_sample_is_drawn_once(control: Any) -> None:
    table = table_of(LEVELS * 30)
    spec = Bandit(sample="budget", warmup_fraction=0, control=control)
    curriculum = make_curriculum(spec, table, num_draws=400, seed=3)
    drawn = []
    for step in range(40):
        ids = curriculum.draw(step / 40, 10)
        curriculum.observe(ids, losses_of(step, ids % len(LEVELS)))
        drawn += ids.tolist()
    assert len(set(drawn)) == 400


def test_the_static_control_keeps_the_shares_of_the_blocks() -> None:
    control = Bandit().controls()["static"]
    assert not control.reads_losses
    drawn, weights = run(curriculum_of(control))
    assert weights == [{"a": 0.5, "b": 0.3, "c": 0.2}]
    assert Counter(LEVELS[i] for ids in drawn for i in ids) == {"a": 200, "b": 120, "c": 80}


def test_the_shuffled_control_has_labels_of_the_same_sizes_that_mean_nothing() -> None:
    control = Bandit(warmup_fraction=0).controls()["shuffled"]
    curriculum = curriculum_of(control)
    assert curriculum.plan["num_blocks_of_label"] == {"a": 10, "b": 6, "c": 4}
    assert control.reads_losses
    drawn, weights = run(curriculum)
    told = odm_reference(drawn, 0.9, 0)
    assert weights[-1] != pytest.approx(told[-2], abs=1e-3)
    assert control.controls() == {}


# Bad input and words


@pytest.mark.parametrize(
    ("levels", "got"), [("aaaa", "all blocks: a"), ([""] * 4, "all blocks: no level")]
)
def test_one_label_is_nothing_to_mix(levels: Any, got: str) -> None:
    with pytest.raises(SpecError, match="nothing to mix") as caught:
        make_curriculum(Bandit(), table_of(levels), num_draws=4, seed=0)
    assert caught.value.got == got


def test_too_many_labels_are_refused() -> None:
    names = [f"{i:03}" for i in range(101)]
    with pytest.raises(SpecError, match="too many labels"):
        make_curriculum(Bandit(), table_of(names), num_draws=4, seed=0)  # type: ignore[arg-type]


def test_bands_need_a_number() -> None:
    with pytest.raises(ValidationError, match="needs num_bands"):
        Bandit(by="band")


def test_the_plan_says_what_is_intended_and_is_json() -> None:
    plan = curriculum_of(Bandit(control="shuffled")).plan
    assert plan["sentence"] == (
        "shuffled control, labels dealt out at random, of: mixture by level of 3 labels that "
        "follows the losses: the weight of a label rises with the exponential of its loss (ODM), "
        "smoothed by 0.9, after a warm-up of 0.02 of the run at the labels' shares of the blocks, "
        "updated every step; 400 draws from 20 blocks, 20 epochs"
    )
    json.dumps(plan)


@pytest.mark.parametrize("seed", range(5))
def test_labels_dealt_out_in_a_sample_are_as_large_as_before(seed: int) -> None:
    codes = np.array([0] * 45 + [1] * 15)
    table = BlockTable(np.arange(60, dtype=np.uint32), {}, {"level": (["a", "b"], codes)})
    sizes = [
        make_curriculum(
            Bandit.model_validate({"sample": "budget", "control": control}),
            table,
            num_draws=30,
            seed=seed,
        ).plan["num_blocks_of_label"]
        for control in (None, "shuffled")
    ]
    assert sizes[0] == sizes[1]
