"""Selections: what is kept, for how long, and what a random choice of as many keeps."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.errors import SpecError
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.selection import Selection
from gradatim.train.run import train
from tiny_runs import TinyStore, tiny_spec

VALUES = [5.0, math.nan, 9, 1, 7, 3, 8, 2, 6, 4, math.inf, 10]  # blocks 0 to 11


def drawn_by(
    num_draws: int = 40, seed: int = 0, values: list[float] = VALUES, **asked: Any
) -> list[int]:
    table = BlockTable(np.arange(len(values), dtype=np.uint32), {"m": np.array(values)})
    spec = Selection(metric="m", **asked)
    curriculum = make_curriculum(spec, table, num_draws=num_draws, seed=seed)
    drawn = [curriculum.draw(draw / num_draws, 1) for draw in range(num_draws)]
    return [int(ids[0]) for ids in drawn]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"keep": 0.3}, {11, 2, 6}),  # 10, 9, 8 of ten known
        ({"keep": 0.3, "prefer": "lowest"}, {3, 7, 5}),  # 1, 2, 3
        ({"keep": 0.99}, {0, 2, 4, 5, 6, 7, 8, 9, 11}),  # nine of ten
        ({"window": (4, 6)}, {9, 0, 8}),
        ({"window": (-5, 1.5)}, {3}),
    ],
    ids=str,
)
def test_what_is_kept_is_what_is_written_here(asked: dict[str, Any], kept: set[int]) -> None:
    drawn = drawn_by(**asked)
    assert set(drawn) == kept
    counts = Counter(drawn).values()
    assert max(counts) - min(counts) <= 1
    for epoch in range(len(drawn) // len(kept)):
        assert set(drawn[epoch * len(kept) : (epoch + 1) * len(kept)]) == kept


def test_equal_values_at_the_border_are_kept_at_random() -> None:
    kept = [
        frozenset(drawn_by(seed=seed, values=[1, 2, 2, 2, 2, 3], keep=0.5)) for seed in range(9)
    ]
    assert all(5 in each and 0 not in each and len(each) == 3 for each in kept)
    assert len(set(kept)) > 2


@given(
    values=st.lists(
        st.one_of(st.integers(0, 6).map(float), st.just(math.nan)), min_size=2, max_size=40
    ),
    keep=st.floats(0.05, 0.95),
    prefer=st.sampled_from(["highest", "lowest"]),
    control=st.sampled_from([None, "random"]),
)
@settings(deadline=None)
def test_kept_is_the_better_part_and_never_the_unknown(
    values: list[float], keep: float, prefer: Any, control: Any
) -> None:
    known = [value for value in values if not math.isnan(value)]
    size = math.floor(keep * len(known) + 1e-9)
    if size == 0 or min(known) == max(known):
        return
    kept = set(drawn_by(values=values, num_draws=size, keep=keep, prefer=prefer, control=control))
    assert len(kept) == size
    found = sorted(values[block] for block in kept)
    if control is None:
        in_order = sorted(known, reverse=prefer == "highest")
        assert found == sorted(in_order[:size])
    assert not any(math.isnan(value) for value in found)


def test_the_control_keeps_as_many_at_random_all_run_long() -> None:
    choices = [frozenset(drawn_by(seed=seed, keep=0.3, control="random")) for seed in range(200)]
    assert all(len(choice) == 3 for choice in choices)
    counts = Counter(block for choice in choices for block in choice)
    assert set(counts) == {0, 2, 3, 4, 5, 6, 7, 8, 9, 11}  # none of unknown value
    assert min(counts.values()) > 35  # 60 by chance


def test_from_a_progress_on_everything_is_drawn_and_the_unread_first() -> None:
    drawn = drawn_by(num_draws=24, keep=0.3, until=0.25)
    assert set(drawn[:6]) == {11, 2, 6}
    assert sorted(drawn[6:15]) == [0, 1, 3, 4, 5, 7, 8, 9, 10]


@given(
    until=st.sampled_from([0.3, 1.0]),
    ending=st.sampled_from([None, 0.2]),
    stops=st.tuples(st.integers(0, 19), st.integers(0, 19)),
)
@settings(deadline=None, max_examples=30)
def test_restored_at_any_step_the_order_goes_on_identically(
    until: float, ending: float | None, stops: tuple[int, int]
) -> None:
    ids = np.arange(60, dtype=np.uint32)
    table = BlockTable(ids, {"m": (ids * 7 % 60).astype(float)})
    spec = Selection(metric="m", keep=0.4, until=until, even_ending_fraction=ending)

    def fresh() -> Any:
        return make_curriculum(spec, table, num_draws=100, seed=3)

    one, other = fresh(), fresh()
    for step in range(20):
        if step in stops:
            state, other = other.state(), fresh()
            other.draw(1.0, 11)
            other.restore(state)
        assert one.draw(step / 20, 5).tolist() == other.draw(step / 20, 5).tolist()


def test_a_selection_from_a_budget_sample_repeats_what_it_keeps() -> None:
    values = [float(value) for value in range(200)]
    drawn = drawn_by(num_draws=40, values=values, keep=0.25, sample="budget")
    assert sorted(Counter(drawn).values()) == [4] * 10
    everything = drawn_by(num_draws=40, values=values, keep=0.25, until=0.5, sample="budget")
    assert len(set(everything)) == 40 - 10  # 20 draws of ten kept ones, 20 of the thirty others
    assert set(drawn) <= set(everything)


def test_a_run_draws_its_selection_and_the_record_proves_it(tmp_path: Path) -> None:
    data = {"kind": "selection", "metric": "reading_age", "window": (6, 9), "until": 0.5}
    store = TinyStore()
    record = train(tiny_spec(6, data), tmp_path, store)  # type: ignore[arg-type]
    assert record.finish is not None
    assert record.finish["matches_plan"] is True
    ages = store.column("reading_age")[record.drawn_blocks().reshape(-1)[:12]]
    assert ages.min() >= 6
    assert ages.max() <= 9
    assert 0 < record.finish["consumed"]["when_full"]["starting_pool"] < 1


def test_a_plan_reads_as_a_sentence() -> None:
    def said(**asked: Any) -> str:
        table = BlockTable(np.arange(12, dtype=np.uint32), {"m": np.array(VALUES)})
        spec = Selection(metric="m", **asked)
        return str(make_curriculum(spec, table, num_draws=30, seed=0).plan["sentence"])

    assert said(keep=0.3) == (
        "only the 30% of blocks with the highest m (3, 10 epochs of them), none of 2 of unknown "
        "value; 30 draws from 3 blocks, 10 epochs"
    )
    assert said(window=(4, 6), until=0.5, control="random") == (
        "random control, as many blocks at random, of: only the blocks with m from 4 to 6 (3, 5 "
        "epochs of them), none of 2 of unknown value, until 50.0% of the run, and then everything; "
        "30 draws from 12 blocks, 2.5 epochs"
    )


def test_the_control_differs_in_nothing_else() -> None:
    spec = Selection(metric="m", keep=0.3)
    ((name, control),) = spec.controls().items()
    assert spec.model_dump() | {"control": name} == control.model_dump()
    assert control.controls() == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "either keep or window; got neither"),
        ({"keep": 0.5, "window": (1, 2)}, "either keep or window; got both"),
        ({"keep": 1.0}, "less than 1"),
        ({"window": (9, 6)}, "from low to high; got 9 to 6"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Selection(metric="m", **wrong)


@pytest.mark.parametrize(
    ("values", "asked", "message"),
    [
        (VALUES, {"keep": 0.05}, r"data\.keep: the selection by m leaves no block.*0\.05 of 10"),
        (VALUES, {"window": (20, 30)}, r"data\.window: .*values go from 1 to 10"),
        ([4.0, 4, 4], {"keep": 0.5}, "all blocks have the same value"),
        ([math.nan, math.nan], {"keep": 0.5}, "no block has a value"),
    ],
)
def test_a_selection_that_leaves_nothing_is_refused(
    values: list[float], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        drawn_by(values=values, **asked)


@pytest.mark.parametrize("more", [{}, {"even_ending_fraction": 0.2}], ids=str)
def test_a_control_repeats_its_blocks_as_often_where_the_sample_has_copies(
    more: dict[str, Any],
) -> None:
    """Twenty-five draws of ten blocks: each stands two or three times in the sample."""
    asked = {"keep": 0.5, "sample": "budget", "values": [float(k) for k in range(10)], **more}
    method = drawn_by(25, **asked)
    control = drawn_by(25, control="random", **asked)
    num_last = 5 if more else 0
    kept = [set(drawn[: 25 - num_last]) for drawn in (method, control)]
    assert len(kept[0]) == len(kept[1])
    assert max(Counter(method[: 25 - num_last]).values()) >= 4
