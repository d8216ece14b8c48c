"""Stages: whole blocks that keep to the weights, and samples used up exactly."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.errors import SpecError
from gradatim.timelines.data.balance import apportioned, balanced_weights, interleaved
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.stages import (
    Stage,
    StagedOrder,
    Stages,
    mirrored,
    staged_order,
)

LEVELS = "aaaaabbbccaaaaabbbcc"  # of the blocks 0 .. 19


def table_of(levels: str, repeat: int = 1) -> BlockTable:
    labels = list(levels) * repeat
    ids = np.arange(len(labels), dtype=np.uint32)
    return BlockTable(ids, labels={"level": np.unique(labels, return_inverse=True)})


def stages_of(*stages: tuple[float, dict[str, float]], **more: Any) -> Stages:
    return Stages(stages=[{"until": until, "weights": w} for until, w in stages], **more)


def order(spec: Stages, table: BlockTable, num_draws: int = 100, seed: int = 0) -> StagedOrder:
    return staged_order(spec, table, num_draws=num_draws, seed=seed)


def levels_drawn(curriculum: StagedOrder, progress: float, num_blocks: int) -> dict[str, int]:
    drawn = curriculum.draw(progress, num_blocks)
    return dict(sorted(Counter(LEVELS[block % len(LEVELS)] for block in drawn).items()))


# Whole blocks


@pytest.mark.parametrize(
    ("owed", "num_blocks", "capacity", "counts"),
    [
        ([2.5, 1.5, 1.0], 5, [9, 9, 9], [3, 1, 1]),
        ([0.4, 0.3, 0.3], 1, [9, 9, 9], [1, 0, 0]),
        ([-0.6, 0.8, 0.8], 1, [9, 9, 9], [0, 1, 0]),
        ([-0.9, -0.9, 2.8], 1, [9, 9, 9], [0, 0, 1]),
        ([5.0, 5.0, 0.0], 10, [2, 9, 9], [2, 7, 1]),
        ([5.0, 5.0, 0.0], 10, [2, 3, 9], [2, 3, 5]),
        ([0.0, 0.0], 0, [1, 1], [0, 0]),
    ],
)
def test_blocks_are_apportioned_as_by_hand(
    owed: list[float], num_blocks: int, capacity: list[int], counts: list[int]
) -> None:
    assert apportioned(owed, num_blocks, capacity) == counts


def test_a_batch_is_interleaved() -> None:
    labels = np.repeat([0, 1, 2], [4, 2, 1])
    assert labels[interleaved([4, 2, 1])].tolist() == [0, 1, 0, 2, 0, 1, 0]


@settings(max_examples=150, deadline=None)
@given(
    weights=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.floats(0.01, 10), min_size=1),
        min_size=1,
        max_size=4,
    ),
    batch=st.integers(1, 17),
    num_steps=st.integers(1, 60),
)
def test_realised_counts_stay_beside_the_plan(
    weights: list[dict[str, float]], batch: int, num_steps: int
) -> None:
    spec = stages_of(*(((i + 1) / len(weights), w) for i, w in enumerate(weights)))
    curriculum = order(spec, table_of(LEVELS))
    planned: Counter[str] = Counter()
    realised: Counter[str] = Counter()
    for step in range(num_steps):
        progress = step / num_steps
        stage = next(stage for stage in spec.stages if progress < stage.until)
        total = sum(stage.weights.values())
        planned.update({label: batch * w / total for label, w in stage.weights.items()})
        drawn = levels_drawn(curriculum, progress, batch)
        assert set(drawn) <= set(stage.weights), "only labels of the stage are drawn"
        realised.update(drawn)
        allowed = 1 if len(weights) == 1 else 2
        for label in "abc":
            assert abs(planned[label] - realised[label]) < allowed + 1e-9


def test_stages_follow_a_table_worked_out_by_hand() -> None:
    curriculum = order(
        stages_of((0.5, {"a": 3, "b": 1}), (0.75, {"c": 1}), (1.0, {"a": 1, "b": 1, "c": 2})),
        table_of(LEVELS),
    )
    expected = [
        (0.0, {"a": 6, "b": 2}),
        (0.49, {"a": 6, "b": 2}),
        (0.5, {"c": 8}),
        (0.7499, {"c": 8}),
        (0.75, {"a": 2, "b": 2, "c": 4}),
        (1.0, {"a": 2, "b": 2, "c": 4}),
    ]
    for progress, counts in expected:
        assert levels_drawn(curriculum, progress, 8) == counts


def test_inside_a_label_every_block_comes_once_an_epoch() -> None:
    curriculum = order(stages_of((1.0, {"b": 1, "c": 2})), table_of(LEVELS))
    drawn = curriculum.draw(0.0, 18).tolist()
    blocks_of = {label: [i for i, each in enumerate(LEVELS) if each == label] for label in "bc"}
    assert sorted(block for block in drawn if LEVELS[block] == "b") == blocks_of["b"]
    counts = Counter(block for block in drawn if LEVELS[block] == "c")
    assert counts == dict.fromkeys(blocks_of["c"], 3)


def test_arms_that_draw_as_many_of_a_label_draw_the_same_blocks() -> None:
    table = table_of(LEVELS, repeat=5)
    first = order(stages_of((0.5, {"a": 1}), (1.0, {"b": 1})), table)
    second = order(stages_of((1.0, {"a": 1, "b": 1})), table)
    one = np.concatenate([first.draw(0.0, 16), first.draw(0.6, 16)])
    other = np.concatenate([second.draw(0.0, 16), second.draw(0.6, 16)])
    assert sorted(one.tolist()) == sorted(other.tolist())


def test_a_hundred_labels_get_their_whole_shares() -> None:
    names = [f"book {i}" for i in range(100)]
    ids = np.arange(1000, dtype=np.uint32)
    sources = [names[i % 100] for i in range(1000)]
    table = BlockTable(ids, labels={"source": np.unique(sources, return_inverse=True)})
    spec = stages_of((1.0, dict.fromkeys(names, 1.0)), by="source")
    drawn = np.concatenate([order(spec, table).draw(0.0, 700)])
    assert set(Counter((drawn % 100).tolist()).values()) == {7}


# A sample used up


def test_balanced_weights_have_both_totals_and_keep_zeros() -> None:
    asked_SL = np.array([[0.7, 0.3, 0.0], [0.2, 0.4, 0.4], [0.0, 0.3, 0.7]])
    durations_S, shares_L = np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.3, 0.2])
    weights_SL = balanced_weights(asked_SL, durations_S, shares_L)
    assert weights_SL.sum(axis=1) == pytest.approx([1, 1, 1])
    assert durations_S @ weights_SL == pytest.approx(shares_L, abs=1e-6)
    assert ((weights_SL > 0) == (asked_SL > 0)).all()


def test_weights_that_balance_already_stay() -> None:
    asked_SL = np.array([[0.75, 0.25], [0.25, 0.75]])
    halves = np.array([0.5, 0.5])
    assert balanced_weights(asked_SL, halves, halves) == pytest.approx(asked_SL)


@pytest.mark.parametrize(
    ("durations", "shares"), [([0.5, 0.5], [0.6, 0.4]), ([0.5, 0.5], [1.0, 0.0])]
)
def test_stages_that_cannot_use_the_sample_are_refused(
    durations: list[float], shares: list[float]
) -> None:
    with pytest.raises(SpecError, match=r"exactly once.*more stages, move `until`, or set sample"):
        balanced_weights(np.eye(2), np.array(durations), np.array(shares))


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(
        st.fixed_dictionaries(dict.fromkeys("abc", st.floats(0.2, 5))), min_size=1, max_size=4
    ),
    batch=st.integers(1, 13),
    control=st.sampled_from([None, "shuffled", "reversed"]),
)
def test_a_budget_sample_is_used_up_exactly_whatever_the_weights(
    weights: list[dict[str, float]], batch: int, control: str | None
) -> None:
    spec = stages_of(
        *(((i + 1) / len(weights), w) for i, w in enumerate(weights)),
        sample="budget",
        control=control,
    )
    table, num_steps = table_of(LEVELS, repeat=20), 400 // batch
    curriculum = order(spec, table, num_draws=num_steps * batch)
    drawn = [curriculum.draw(step / num_steps, batch) for step in range(num_steps)]
    assert len(np.unique(drawn)) == num_steps * batch


def test_what_rounding_leaves_of_a_label_is_handed_to_the_last_steps() -> None:
    """Ten steps give the middle stage 3 draws in 10 in place of the 3.8 planned: `b` is left."""
    spec = stages_of(
        (0.31, {"a": 1, "c": 1}),
        (0.69, {"a": 1, "b": 1, "c": 1}),
        (1.0, {"a": 1, "c": 1}),
        sample="budget",
    )
    curriculum = order(spec, table_of(LEVELS, repeat=5), num_draws=100)
    drawn = np.array([curriculum.draw(step / 10, 10) for step in range(10)])
    assert len(np.unique(drawn)) == 100
    assert "b" in {LEVELS[block % 20] for block in drawn[7:].ravel()}


def test_the_plan_shows_asked_and_balanced_weights() -> None:
    spec = stages_of((0.5, {"a": 3, "b": 1, "c": 1}), (1.0, {"a": 1, "b": 1, "c": 3}))
    loose, strict = (
        order(spec.model_copy(update={"sample": sample}), table_of(LEVELS, 5), num_draws=100).plan
        for sample in ("all", "budget")
    )
    for plan in (loose, strict):
        assert json.loads(json.dumps(plan, allow_nan=False)) == plan
        assert plan["stages"][0]["asked"] == {"a": 0.6, "b": 0.2, "c": 0.2}
    assert loose["stages"][0]["weights"] == loose["stages"][0]["asked"]
    assert strict["stages"][0]["weights"]["a"] > 0.6
    assert list(strict["epochs_of_label"].values()) == pytest.approx([1, 1, 1], abs=1e-6)
    assert loose["sentence"] == (
        "mixture by level, until 50%: a 60%, b 20%, c 20%; until 100%: c 60%, a 20%, b 20%; "
        "100 draws from 100 blocks, 1 epochs"
    )


# Controls


def test_reversed_runs_the_schedule_backwards() -> None:
    stages = (Stage(until=0.25, weights={"a": 1}), Stage(until=1.0, weights={"b": 2}))
    assert mirrored(stages) == (
        Stage(until=0.75, weights={"b": 2}),
        Stage(until=1.0, weights={"a": 1}),
    )
    assert mirrored(mirrored(stages)) == stages


def test_borders_and_their_mirrors_are_exact() -> None:
    stages = ((0.7, {"a": 1.0}), (1.0, {"b": 1.0}))
    progresses = [step / 10 for step in range(10)]
    method, control = (
        "".join("".join(levels_drawn(curriculum, progress, 1)) for progress in progresses)
        for curriculum in (
            order(stages_of(*stages, control=control), table_of(LEVELS))
            for control in (None, "reversed")
        )
    )
    assert method == "aaaaaaabbb"
    assert control == "bbbaaaaaaa"


def test_shuffled_deals_labels_out_as_often_as_before() -> None:
    table = table_of(LEVELS, repeat=20)
    spec = stages_of((1.0, {"c": 1}), control="shuffled")
    drawn = order(spec, table).draw(0.0, 80)
    assert len(np.unique(drawn)) == 80, "as many blocks are called c as before"
    true_levels = Counter(LEVELS[block % 20] for block in drawn.tolist())
    assert true_levels["a"] > true_levels["c"], "and they are of all levels"


# What cannot be meant


def test_an_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"data\.stages\.0\.weights.*one of a, b, c; got d"):
        stages_of((1.0, {"a": 1, "d": 1})).check(table_of(LEVELS))
    with pytest.raises(SpecError, match=r"data\.by: .*expected one of level; got source"):
        stages_of((1.0, {"a": 1}), by="source").check(table_of(LEVELS))
    codes = np.zeros(2, np.uint8)
    unlabelled = BlockTable(np.arange(2, dtype=np.uint32), labels={"level": ([""], codes)})
    with pytest.raises(
        SpecError, match=r"no block has this level.*expected blocks with labels; got a"
    ):
        stages_of((1.0, {"a": 1})).check(unlabelled)


def test_a_sample_with_labels_that_no_stage_asks_for_is_refused() -> None:
    spec = stages_of((1.0, {"a": 1, "b": 1}), sample="budget")
    with pytest.raises(SpecError, match=r"in no stage.*got c\. Give it a weight"):
        order(spec, table_of(LEVELS))


def test_a_label_the_sample_happens_to_miss_is_no_error() -> None:
    table = table_of("a" * 99 + "b")
    spec = stages_of((0.5, {"a": 1, "b": 1}), (1.0, {"a": 1}), sample="budget")
    curriculum = order(spec, table, num_draws=3)
    assert "b" not in curriculum.plan["num_blocks_of_label"]
    assert len(curriculum.draw(0.0, 3)) == 3


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([(0.5, {"a": 1.0})], "end at 1; got 0.5"),
        ([(0.5, {"a": 1.0}), (0.5, {"a": 1.0}), (1.0, {"a": 1.0})], "rise.*got 0.5, 0.5, 1"),
        ([(1.0, {"a": 0.0})], "greater than 0"),
        ([(1.0, {"a": float("inf")})], "finite"),
        ([(1.0, {})], "at least 1 item"),
        ([], "at least 1 item"),
    ],
)
def test_stages_that_cannot_be_meant_are_named(stages: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        stages_of(*stages)
