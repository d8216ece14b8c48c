"""The rising ceiling: what it admits, what its controls admit, and how its ramp is found."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from gradatim.errors import SpecError
from gradatim.timelines.data.ceiling import Ceiling, ceiling_order
from gradatim.timelines.data.check import used_fraction
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.pacing import (
    PacingShape,
    ShareScale,
    YearsScale,
    competence,
    linear_share_survival,
    ramp_for,
    survival_of,
)
from gradatim.timelines.data.pool import PoolOrder

SHAPES: tuple[PacingShape, ...] = (
    "linear",
    "root",
    "quadratic",
    "inverse_quadratic",
    "step",
)
AGES = hnp.arrays(
    np.float64,
    st.integers(1, 80),
    elements=st.one_of(st.integers(5, 12).map(float), st.floats(3, 30), st.just(math.nan)),
).filter(lambda ages: bool(np.isfinite(ages).any()))


def opened(curriculum: PoolOrder, progress: float) -> Any:
    """The blocks that the plan opens at this progress."""
    return curriculum._pool.ranked_ids[: curriculum._admitted(progress)]


def order(ages: Any, num_draws: int = 100, seed: int = 0, **settings_of_spec: Any) -> PoolOrder:
    ids = np.arange(len(ages), dtype=np.uint32)
    table = BlockTable(ids, {"reading_age": np.asarray(ages, dtype=np.float64)})
    return ceiling_order(Ceiling(**settings_of_spec), table, num_draws=num_draws, seed=seed)


# Pacing


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ("linear", [0.1, 0.325, 0.55, 0.775, 1.0]),
        ("root", [0.1, 0.507445, 0.710634, 0.867468, 1.0]),
        ("quadratic", [0.1, 0.237336, 0.433114, 0.687335, 1.0]),
        ("inverse_quadratic", [0.1, 0.412665, 0.666886, 0.862664, 1.0]),
        ("step", [0.1, 0.1, 0.1, 0.1, 1.0]),
    ],
)
def test_pacing_follows_a_table_worked_out_by_hand(
    shape: PacingShape, factors: list[float]
) -> None:
    found = [competence(shape, u, 0.1) for u in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx(factors, abs=1e-6)


@pytest.mark.parametrize(
    ("power", "factors"),
    [
        (0.5, [0.1, 0.237336, 0.433114, 0.687335, 1.0]),  # quadratic
        (1.0, [0.1, 0.325, 0.55, 0.775, 1.0]),  # linear
        (2.0, [0.1, 0.507445, 0.710634, 0.867468, 1.0]),
        (3.0, [0.1, 0.630590, 0.793965, 0.908661, 1.0]),  # cube roots of .25075, .5005, .75025
        (10.0, [0.1, 0.870551, 0.933033, 0.971642, 1.0]),
    ],
)
def test_a_root_of_any_power_follows_a_table_worked_out_by_hand(
    power: float, factors: list[float]
) -> None:
    found = [competence("root", u, 0.1, power) for u in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx(factors, abs=1e-6)


def test_rounding_takes_no_pacing_above_one() -> None:
    start = math.nextafter(1.0, 0.0)
    assert all(competence(shape, 0.99, start) <= 1.0 for shape in SHAPES)


def test_inverse_quadratic_is_quadratic_turned_about() -> None:
    for u in (0.1, 0.5, 0.8):
        assert competence("inverse_quadratic", u, 0.0) == pytest.approx(1 - (1 - u) ** 2)


@pytest.mark.parametrize(
    ("pacing", "num_open"),  # at u = 0, 0.1, ... 1, from a start of one group in ten
    [
        ("linear", [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("quadratic", [1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 10]),
        ("inverse_quadratic", [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10]),
        ("step", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10]),
    ],
)
def test_ten_groups_open_as_the_table_says(pacing: Any, num_open: list[int]) -> None:
    scale = ShareScale(pacing, 0.1, np.arange(205.0), num_blocks=205, num_groups=10)
    found = [scale.num_admitted(tenth / 10) for tenth in range(11)]
    assert found == [count * 205 // 10 for count in num_open]


def test_groups_open_one_after_the_other_in_a_run() -> None:
    curriculum = order(np.arange(40.0), ramp=0.9, scale="share", num_groups=10, sample="budget",
                       num_draws=40)  # fmt: skip
    assert {len(opened(curriculum, step / 40)) for step in range(40)} == set(range(4, 41, 4))
    assert "rises (linear, by 10 groups) until 90.0% of the run" in curriculum.plan["sentence"]


@settings(deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.floats(0, 1),
    st.lists(st.floats(0, 1.5)),
    st.floats(0.1, 20),
)
def test_pacing_never_falls_and_ends_at_one(
    shape: PacingShape, start: float, positions: list[float], power: float
) -> None:
    shares = [competence(shape, u, start, power) for u in sorted(positions)]
    assert all(b >= a - 1e-12 for a, b in pairwise(shares))
    assert all(start - 1e-12 <= share <= 1 for share in shares)
    assert competence(shape, 1.0, start, power) == 1.0


def test_the_admitted_share_of_ten_blocks_is_as_counted_by_hand() -> None:
    ages = np.array([5.0, 6, 7, 8, 9, 10, 11, 12, 13, 99])
    years = YearsScale("linear", 0.2, ages, num_blocks=10)
    assert (years.start, years.top) == (6.0, 99.0)
    share = ShareScale("linear", 0.2, ages, num_blocks=10)
    positions = [0.0, 0.05, 0.5, 0.99, 1.0]
    assert [share.num_admitted(u) for u in positions] == [2, 2, 6, 9, 10]
    assert [share.ceiling(u) for u in positions] == [6.0, 6.0, 10.0, 13.0, None]
    assert [years.num_admitted(u) for u in positions] == [2, 6, 9, 9, 10]
    assert years.ceiling(0.5) == 6 + 93 / 2


def test_a_few_absurd_ages_do_not_set_the_slope() -> None:
    ages = np.sort(np.append(np.linspace(5, 18, 995), [200.0] * 5))
    scale = YearsScale("linear", 0.1, ages, num_blocks=1000)
    assert scale.top < 18
    assert scale.num_admitted(1.0) == 1000


@given(
    st.lists(st.integers(0, 9).map(lambda step: 8 + step / 2**20), min_size=1, max_size=40),
    st.floats(0.01, 1),
    st.lists(st.floats(0, 1), max_size=8),
)
def test_single_precision_admits_as_double_does(
    ages: list[float], start: float, positions: list[float]
) -> None:
    """Of ages that are next to each other in single precision, with the ceiling in between."""
    single, double = (
        YearsScale("linear", start, np.sort(np.array(ages, dtype)), num_blocks=len(ages))
        for dtype in (np.float32, np.float64)
    )
    for position in positions:
        ceiling = double.ceiling(position)
        assert single.ceiling(position) == ceiling
        num_below = len(ages) if ceiling is None else sum(age <= ceiling for age in ages)
        assert single.num_admitted(position) == double.num_admitted(position) == num_below


# What may be drawn


@settings(max_examples=100, deadline=None)
@given(
    ages=AGES,
    shape=st.sampled_from(SHAPES),
    scale=st.sampled_from(["years", "share"]),
    draws=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), max_size=12),
)
def test_nothing_above_the_ceiling_is_drawn(
    ages: np.ndarray[Any, Any], shape: str, scale: str, draws: list[tuple[float, int]]
) -> None:
    curriculum = order(ages, pacing=shape, scale=scale, ramp=0.7)
    num_known = np.isfinite(ages).sum()
    for progress, num_blocks in sorted(draws):
        drawn = ages[curriculum.draw(progress, num_blocks)]
        if progress < 0.7:
            allowed = opened(curriculum, progress)
            assert set(drawn[np.isfinite(drawn)]) <= set(ages[allowed])
            if len(allowed) <= num_known:
                assert np.isfinite(drawn).all(), "unknown difficulty is admitted last"
            below = np.sort(np.where(np.isfinite(ages), ages, np.inf))[: len(allowed)]
            assert (drawn[np.isfinite(drawn)] <= below.max()).all()


@settings(max_examples=80, deadline=None)
@given(
    ages=AGES,
    shape=st.sampled_from(SHAPES),
    scale=st.sampled_from(["years", "share"]),
    positions=st.lists(st.floats(0, 1)),
)
def test_controls_open_exactly_as_many_blocks_and_the_share_never_falls(
    ages: np.ndarray[Any, Any], shape: str, scale: str, positions: list[float]
) -> None:
    arms = [
        order(ages, pacing=shape, scale=scale, control=control)
        for control in (None, "shuffled", "reversed")
    ]
    before = 1
    for progress in sorted(positions):
        counts = {len(opened(arm, progress)) for arm in arms}
        assert len(counts) == 1
        assert before <= min(counts) <= len(ages)
        before = min(counts)
    assert len(opened(arms[0], 1.0)) == len(ages)
    assert {arm.plan["ramp"] for arm in arms} == {arms[0].plan["ramp"]}


def test_the_method_opens_the_easiest_and_reversed_the_hardest() -> None:
    ages = np.array([9.0, 5, np.nan, 7, 20, 6])
    opened = {
        control: ages[order(ages, start_fraction=0.5, control=control).starting_ids].tolist()
        for control in (None, "reversed")
    }
    assert opened == {None: [5, 6, 7], "reversed": [20, 9, 7]}


def test_shuffled_opens_blocks_as_hard_as_all() -> None:
    ages = np.random.default_rng(0).normal(12, 3, 4000)
    opened = ages[order(ages, start_fraction=0.25, control="shuffled").starting_ids]
    assert abs(opened.mean() - ages.mean()) < 0.3
    assert set(opened) != set(ages[order(ages, seed=1, control="shuffled").starting_ids])


def test_equally_hard_blocks_are_opened_in_random_order() -> None:
    curriculum = order([8.0] * 100, scale="share", start_fraction=0.3)
    assert curriculum.starting_ids.tolist() != list(range(30))
    assert len(curriculum.starting_ids) == 30


# How the ramp is found


def brute_force_survival(scale: ShareScale | YearsScale, z: float, num_steps: int) -> float:
    survival = 1.0
    for step in range(num_steps):
        u = (step + 0.5) / num_steps
        survival *= 1 - z / num_steps / (scale.num_admitted(u) / scale.num_blocks - z * u)
    return survival


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("scale_of", "num_groups"), [(ShareScale, None), (ShareScale, 10), (YearsScale, None)]
)
def test_survival_agrees_with_a_walk_in_small_steps(
    shape: PacingShape, scale_of: Any, num_groups: int | None
) -> None:
    ages = np.sort(np.random.default_rng(1).gamma(6, 2, 20_000))
    scale = scale_of(shape, 0.1, ages, num_blocks=len(ages), num_groups=num_groups)
    for z in (0.01, 0.05, 0.09):
        expected = brute_force_survival(scale, z, 20_000)
        assert survival_of(scale)(z) == pytest.approx(expected, abs=2e-4)


def test_the_closed_form_is_smooth_where_its_fraction_is_zero_by_zero() -> None:
    around = [linear_share_survival(0.3, 0.7 + step) for step in (-1e-9, 0.0, 1e-9)]
    assert around == pytest.approx([math.exp(-0.7 / 0.3)] * 3, abs=1e-7)
    z = 0.2
    closed_form = (0.3 / (1 - z)) ** (z / (1 - 0.3 - z))
    assert linear_share_survival(0.3, z) == pytest.approx(closed_form)
    assert linear_share_survival(0.3, 1.0) == 0.0


@pytest.mark.parametrize("wished", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("epochs", [1.0, 3.0])
def test_a_step_has_the_ramp_that_arithmetic_gives(wished: float, epochs: float) -> None:
    scale = ShareScale("step", 0.25, np.arange(1000.0), num_blocks=1000)
    ramp = ramp_for(wished, epochs=epochs, survival=survival_of(scale))
    assert ramp.fraction == pytest.approx(wished * 0.25 / epochs, abs=1e-8)
    assert ramp.easiest_used_fraction == pytest.approx(wished, abs=1e-7)
    assert not ramp.is_capped


def test_survival_is_zero_where_the_pool_runs_dry() -> None:
    for shape in SHAPES:
        scale = YearsScale(shape, 0.1, np.linspace(5, 18, 1000), num_blocks=1000)
        assert survival_of(scale)(0.0) == 1.0
        assert survival_of(scale)(1.0) == 0.0


@pytest.mark.parametrize("pacing", SHAPES)
@pytest.mark.parametrize("scale", ["years", "share"])
@pytest.mark.parametrize(("epochs", "wished"), [(0.5, 0.1), (2.0, 0.3)])
def test_the_easiest_blocks_are_used_as_much_as_was_asked(
    pacing: str, scale: str, epochs: float, wished: float
) -> None:
    ages = np.random.default_rng(2).gamma(6, 2, 4000)
    num_draws, batch, used = int(epochs * len(ages)), 4, []
    for seed in range(6):
        curriculum = order(
            ages,
            num_draws=num_draws,
            seed=seed,
            pacing=pacing,
            scale=scale,
            easiest_used_fraction=wished,
        )
        starts = np.arange(0, num_draws, batch) / num_draws
        drawn = [
            curriculum.draw(progress, batch)
            for progress in starts[starts < curriculum.plan["ramp"]].tolist()
        ]
        used.append(used_fraction(drawn, curriculum.starting_ids))
    # six runs of 400 starting blocks: a standard error of at most 0.01
    assert np.mean(used) == pytest.approx(wished, abs=0.03)
    assert curriculum.plan["easiest_used_expected"] == pytest.approx(wished, abs=1e-6)


def test_a_use_that_cannot_be_reached_caps_the_ramp_and_says_so() -> None:
    plan = order(np.linspace(5, 18, 10_000), num_draws=50).plan
    assert (plan["ramp"], plan["is_ramp_capped"]) == (1.0, True)
    assert plan["easiest_used_expected"] < 0.05
    assert "(the 10% asked for need a longer run)" in plan["sentence"]


# The plan


def test_the_plan_is_json() -> None:
    plan = order(np.linspace(5, 18, 500), num_draws=1000, ramp=0.5).plan
    assert json.loads(json.dumps(plan, allow_nan=False)) == plan
    assert plan["start_ceiling"] == pytest.approx(5 + 13 * 49 / 499)
    assert plan["easiest_used_asked"] is None
    assert 0.9 < plan["easiest_used_expected"] <= 1


def test_a_plan_reads_as_a_sentence() -> None:
    plan = order(np.linspace(5, 18, 1000), num_draws=1000, pacing="step").plan
    assert plan["sentence"] == (
        "the ceiling of reading_age starts at 6.3 years (10% of blocks), stays until 1.0% of the "
        "run and is then gone, by when 10% of the starting blocks are expected to have been drawn; "
        "1,000 draws from 1,000 blocks, 1 epochs"
    )


# What cannot be meant


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ramp": 0.5, "easiest_used_fraction": 0.1}, "either ramp or easiest_used.*got both"),
        ({"easiest_used_fraction": None}, "either ramp or easiest_used_fraction; got neither"),
        ({"ramp": 0.0}, "greater than 0"),
        ({"start_fraction": 1.5}, "less than or equal to 1"),
        ({"pacing": "cubic"}, "'linear', 'root', 'quadratic', 'inverse_quadratic' or 'step'"),
        ({"power": 3}, "only pacing root has a power; got pacing linear"),
        ({"num_groups": 10}, "give scale share, not years"),
    ],
)
def test_a_ceiling_that_cannot_be_meant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Ceiling(**wrong)


def test_a_given_ramp_needs_no_solving() -> None:
    assert Ceiling(ramp=0.5).easiest_used_fraction is None
    assert Ceiling.model_validate(Ceiling(ramp=0.5).model_dump()) == Ceiling(ramp=0.5)


def test_an_unknown_metric_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"data\.metric.*expected one of reading_age; got lexile"):
        order([5.0, 6.0], metric="lexile")
    with pytest.raises(SpecError, match="no block has a value of this metric"):
        order([math.nan, math.nan])
