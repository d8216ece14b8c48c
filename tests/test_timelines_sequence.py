"""Fixed orders: what each shape draws, written by hand; every block once; exact resuming."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gradatim.errors import MismatchError
from gradatim.timelines.data.check import multiset_hash
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.order import Order
from gradatim.train.run import train
from ordered_blocks import SHAPES, cut, drawn_by, table_of, whole
from tiny_runs import TinyStore, tiny_spec

SMALL: dict[str, dict[str, Any]] = {
    "folds": {"num_folds": 3},
    "zigzag": {"num_folds": 3},
    "interleaved": {"num_levels": 3, "num_segments": 2},
    "grouped": {"group_blocks": 4},
}
EVERY: list[dict[str, Any]] = [
    *({"shape": shape, **SMALL.get(shape, {})} for shape in SHAPES),
    {"shape": "descending", "window_blocks": 8, "control": "pass_through"},
    {"shape": "saw", "control": "reversed", "until": 0.4},
    {"shape": "str", "epochs": "swept", "control": "shuffled"},
    {"shape": "zigzag", "num_folds": 4, "until": 0.6, "even_ending_fraction": 0.25},
    {"shape": "grouped", "group_blocks": 4, "by": "level"},
    {"shape": "grouped", "group_blocks": 4, "control": "shuffled", "epochs": "swept"},
]


# Twelve blocks, by hand


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"shape": "ascending"}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ({"shape": "descending"}, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"control": "reversed"}, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"shape": "descending", "control": "reversed"}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ({"shape": "folds", "num_folds": 3}, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
        ({"shape": "folds", "num_folds": 5}, [0, 5, 10, 1, 6, 11, 2, 7, 3, 8, 4, 9]),
        (
            {"shape": "folds", "num_folds": 3, "control": "reversed"},
            [11, 8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0],
        ),
        ({"shape": "zigzag", "num_folds": 3}, [0, 3, 6, 9, 10, 7, 4, 1, 2, 5, 8, 11]),
        (
            {"shape": "zigzag", "num_folds": 3, "control": "reversed"},
            [11, 8, 5, 2, 1, 4, 7, 10, 9, 6, 3, 0],
        ),
        (
            {"shape": "str", "transition_fraction": 0.25},
            [0, 1, 2, 3, 6, 4, 7, 5, 8, 9, 10, 11],
        ),
        (
            {"shape": "saw", "transition_fraction": 1 / 6},
            [0, 1, 2, 4, 5, 3, 6, 8, 9, 7, 10, 11],
        ),
        (  # transitions that overlap: the second begins where the first ends
            {"shape": "saw", "transition_fraction": 0.25},
            [0, 1, 3, 5, 6, 4, 2, 7, 9, 10, 8, 11],
        ),
    ],
    ids=str,
)
def test_a_shape_draws_what_is_written_here(spec: dict[str, Any], expected: list[int]) -> None:
    assert drawn_by(**spec) == expected


def test_windows_are_shuffled_inside_and_stay_where_they_are() -> None:
    drawn = drawn_by(100, shape="folds", num_folds=2, window_blocks=10)
    sorted_windows = [sorted(window) for window in cut(drawn, 10)]
    assert sorted_windows == cut([*range(0, 100, 2), *range(1, 100, 2)], 10)
    assert sum(window != sorted(window) for window in cut(drawn, 10)) == 10


def test_a_segment_goes_through_every_level_from_the_easiest() -> None:
    drawn = drawn_by(12, shape="interleaved", num_levels=3, num_segments=2)
    assert [block // 4 for block in drawn] == [0, 0, 1, 1, 2, 2] * 2
    assert drawn != sorted(drawn)
    assert sorted(drawn[:2] + drawn[6:8]) == [0, 1, 2, 3]
    many = drawn_by(400, shape="interleaved", num_levels=2, num_segments=2)
    assert 35 < len({*many[:100]} & {*range(100)}) < 65  # half of the level's easier half
    assert many[:100] != sorted(many[:100])
    hardest_first = drawn_by(
        12, shape="interleaved", num_levels=3, num_segments=2, control="reversed"
    )
    assert [block // 4 for block in hardest_first] == [2, 2, 1, 1, 0, 0] * 2


def test_groups_are_neighbours_without_a_direction() -> None:
    drawn = drawn_by(400, shape="grouped", group_blocks=4)
    groups = cut(drawn, 4)
    assert all(group == list(range(group[0], group[0] + 4)) for group in groups)
    assert sorted(group[0] for group in groups) == list(range(0, 400, 4))
    falls = sum(a[0] > b[0] for a, b in pairwise(groups))
    assert 35 < falls < 65  # of 99 borders, half by chance


def test_what_fills_no_group_comes_last_and_is_of_no_particular_difficulty() -> None:
    lasts = []
    for seed in range(300):
        drawn = whole(Order(shape="grouped", group_blocks=4), table_of(18), seed=seed)
        assert all(group[-1] - group[0] == len(group) - 1 for group in cut(drawn, 4)[:4])
        lasts.append(drawn[16])
        assert drawn[17] == drawn[16] + 1
    counts = Counter(lasts)
    assert sorted(counts) == [0, 4, 8, 12, 16]
    assert max(counts.values()) < 95  # 60 by chance


def test_groups_of_a_label_are_of_one_label_but_for_the_borders() -> None:
    drawn = drawn_by(300, shape="grouped", group_blocks=10, by="level")
    labels = [{block % 3 for block in group} for group in cut(drawn, 10)]
    assert all(len(group) == 1 for group in labels)
    uneven = drawn_by(310, shape="grouped", group_blocks=10, by="level")
    assert sum(len({block % 3 for block in group}) > 1 for group in cut(uneven, 10)) <= 2


def test_the_pass_through_control_keeps_the_stretches_and_not_their_order() -> None:
    control = drawn_by(400, control="pass_through", group_blocks=8)
    assert all(stretch == list(range(stretch[0], stretch[0] + 8)) for stretch in cut(control, 8))
    assert control != sorted(control)
    windows = drawn_by(400, window_blocks=20, control="pass_through", group_blocks=8)
    assert all(max(window) - min(window) == 19 for window in cut(windows, 20))
    folds = drawn_by(400, shape="folds", num_folds=5, control="pass_through", group_blocks=8)
    assert all(np.diff(stretch).tolist() == [5] * 7 for stretch in cut(folds, 8))


def test_groups_of_a_random_difficulty_have_nothing_in_common() -> None:
    drawn = drawn_by(400, shape="grouped", group_blocks=8, control="shuffled")
    spans = [max(group) - min(group) for group in cut(drawn, 8)]
    assert float(np.mean(spans)) > 250  # 400 * 7 / 9 by chance


# Unknown difficulty, several epochs, a random rest


@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "grouped"])
@pytest.mark.parametrize("control", [None, "reversed"])
def test_unknown_difficulty_comes_last_in_either_direction(shape: Any, control: Any) -> None:
    drawn = drawn_by(40, num_unknown=10, shape=shape, control=control)
    assert sorted(drawn[30:]) == list(range(30, 40))
    assert drawn[30:] != list(range(30, 40))
    assert drawn[:30] == drawn_by(30, shape=shape, control=control) or shape == "interleaved"


def test_unknown_difficulty_groups_with_its_own() -> None:
    drawn = drawn_by(400, num_unknown=100, shape="grouped", group_blocks=10)
    unknown = [sum(block >= 300 for block in group) for group in cut(drawn, 10)]
    assert sorted(set(unknown)) == [0, 10]
    assert unknown != sorted(unknown)


def test_a_short_run_orders_a_sample_from_easy_to_hard() -> None:
    for sample in ("all", "budget"):
        drawn = whole(Order(sample=sample), table_of(1000), num_draws=50)
        assert drawn == sorted(set(drawn))
        assert drawn[0] < 100
        assert drawn[-1] > 900


def test_epochs_are_ordered_anew_or_swept_over_once() -> None:
    repeated = whole(Order(), table_of(10), num_draws=25)
    assert [repeated[:10], repeated[10:20]] == [list(range(10))] * 2
    assert repeated[20:] == sorted(set(repeated[20:]))
    swept = whole(Order(epochs="swept"), table_of(10), num_draws=25)
    assert swept == sorted(repeated)
    groups = whole(Order(shape="grouped", group_blocks=2), table_of(10), num_draws=20)
    assert groups[:10] != groups[10:]
    assert sorted(groups[:10]) == sorted(groups[10:]) == list(range(10))


def test_epochs_stay_epochs_beside_an_even_ending() -> None:
    spec = Order(even_ending_fraction=0.2, sample="budget")
    drawn = whole(spec, table_of(50), num_draws=150)
    assert Counter(drawn) == Counter(list(range(50)) * 3)
    falls = sum(a >= b for a, b in pairwise(drawn[:120]))
    assert falls == 2  # three passes


def test_copies_of_a_block_in_a_sweep_of_random_difficulty_come_together() -> None:
    spec = Order(epochs="swept", control="shuffled")
    drawn = whole(spec, table_of(40), num_draws=120)
    assert all(len(set(copies)) == 1 for copies in cut(drawn, 3))
    assert drawn != sorted(drawn)


def test_from_a_progress_on_what_is_left_is_random() -> None:
    drawn = drawn_by(100, until=0.3)
    assert drawn[:30] == list(range(30))
    assert sorted(drawn[30:]) == list(range(30, 100))
    assert sum(a > b for a, b in pairwise(drawn[30:])) > 20


def test_the_turn_is_at_the_progress_and_not_at_the_draw() -> None:
    """Steps may cost unlike amounts; progress says so, a count of draws does not."""
    curriculum = make_curriculum(Order(until=0.5), table_of(100), num_draws=100, seed=0)
    drawn = [curriculum.draw(progress, 10).tolist() for progress in (0.0, 0.49, 0.5, 0.9)]
    assert drawn[:2] == [list(range(10)), list(range(10, 20))]
    assert drawn[2] != sorted(drawn[2])


# Every block once, whatever the shape; resuming


@settings(max_examples=80, deadline=None)
@given(
    spec=st.sampled_from(EVERY),
    num_blocks=st.integers(12, 70),
    num_draws=st.integers(2, 150),
    num_unknown=st.integers(0, 2),
    seed=st.integers(0, 3),
)
def test_with_a_budget_sample_all_arms_draw_the_same_multiset(
    spec: dict[str, Any], num_blocks: int, num_draws: int, num_unknown: int, seed: int
) -> None:
    table = table_of(num_blocks, num_unknown=0 if num_draws < num_blocks else num_unknown)
    drawn = whole(Order(**spec, sample="budget"), table, num_draws, seed)
    uniform = TypeAdapter(DataTimeline).validate_python({"kind": "uniform", "sample": "budget"})
    curriculum = make_curriculum(uniform, table, num_draws=num_draws, seed=seed)
    assert multiset_hash(drawn) == multiset_hash(curriculum.draw(0.0, num_draws))


@settings(max_examples=60, deadline=None)
@given(
    spec=st.sampled_from(EVERY),
    sample=st.sampled_from(["all", "budget"]),
    stops=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_restored_twice_at_any_step_the_order_goes_on_identically(
    spec: dict[str, Any], sample: Any, stops: tuple[int, int]
) -> None:
    data, table = Order(**spec, sample=sample), table_of(90, num_unknown=7)

    def fresh() -> Any:
        return make_curriculum(data, table, num_draws=30 * 7, seed=3)

    undisturbed = fresh()
    expected = [undisturbed.draw(step / 30, 7) for step in range(30)]
    curriculum, drawn = fresh(), []
    for step in range(30):
        for _ in range(stops.count(step)):
            state, curriculum = curriculum.state(), fresh()
            curriculum.draw(1.0, 11)  # a restore must overwrite whatever was there
            curriculum.restore(state)
        drawn.append(curriculum.draw(step / 30, 7))
    assert np.array_equal(np.array(drawn), np.array(expected))


def test_a_state_of_other_blocks_is_refused() -> None:
    state = make_curriculum(Order(), table_of(50), num_draws=100, seed=0).state()
    other = make_curriculum(Order(shape="descending"), table_of(50), num_draws=100, seed=0)
    with pytest.raises(MismatchError, match=r"belongs to other blocks.*Resume with the block"):
        other.restore(state)


def test_past_its_end_a_sequence_begins_again() -> None:
    curriculum = make_curriculum(Order(), table_of(4), num_draws=4, seed=0)
    assert curriculum.draw(1.0, 10).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    late = make_curriculum(Order(until=0.5), table_of(4), num_draws=4, seed=0)
    late.draw(0.4, 5)
    assert late.draw(0.6, 3).tolist() == [1, 2, 3]


# A million blocks, and a run


def test_a_million_blocks_are_ordered_in_seconds() -> None:
    num_blocks = 1_000_000
    ids = np.arange(num_blocks, dtype=np.uint32)
    ages = (ids * 0.6180339887498949 % 1).astype(np.float32)
    table = BlockTable(ids, {"reading_age": ages})
    tracemalloc.start()
    began = time.perf_counter()
    spec = Order(shape="saw", window_blocks=1000)
    curriculum = make_curriculum(spec, table, num_draws=num_blocks, seed=0)
    took_s = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took_s < 10
    assert peak < 120 * num_blocks
    assert len(curriculum.state()) == 3
    began = time.perf_counter()
    for step in range(100):
        curriculum.draw(step / 1000, 1024)
    assert (time.perf_counter() - began) / 100 < 0.005


@pytest.mark.parametrize("shape", ["zigzag", "grouped"])
def test_a_run_draws_its_order_and_the_record_proves_it(tmp_path: Path, shape: str) -> None:
    data = {"kind": "order", "shape": shape, "until": 0.5, "sample": "budget"}
    record = train(tiny_spec(6, data), tmp_path, TinyStore())  # type: ignore[arg-type]
    assert record.finish is not None
    assert record.finish["matches_plan"] is True
