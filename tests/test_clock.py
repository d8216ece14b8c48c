"""The clock against hand-written plans, and budgets met whatever a step costs."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.clock import Clock, Stretch, lay_out
from gradatim.compute import Shape, training_flops
from gradatim.errors import SpecError
from gradatim.recipe import Costs, Recipe
from gradatim.timelines.rate import Rate
from gradatim.timelines.rate.batch import BatchPieces, BatchSwitch, Piece
from tiny_runs import BATCH_BLOCKS, BLOCK_TOKENS, SHAPE, tiny_spec

STEP_FLOPS = training_flops(SHAPE, BATCH_BLOCKS * BLOCK_TOKENS)
NOTHING = Costs({}, {})


def recipe_of(
    shapes: list[tuple[str, Shape]],
    charges: list[tuple[str, dict[str, int]]],
    pieces: tuple[Piece, ...] = (),
) -> Any:
    """What `lay_out` reads of a recipe, borders written as decimals."""
    return SimpleNamespace(
        network=SimpleNamespace(shapes=lambda _: [(Fraction(p), shape) for p, shape in shapes]),
        objective=SimpleNamespace(charges=lambda _: [(Fraction(p), flops) for p, flops in charges]),
        rate=Rate(batch=BatchPieces(pieces=pieces)) if pieces else Rate(),
    )


def shape_of(num_layers: int) -> Shape:
    return SHAPE.model_copy(update={"num_layers": num_layers})


def test_ten_steps_written_out() -> None:
    clock = tiny_spec(10).clock()
    assert clock.num_steps == 10
    assert clock.num_draws == 40
    assert [clock.draws(step) for step in (0, 1, 10)] == [0, 4, 40]
    assert [clock.tokens(step) for step in (0, 1, 10)] == [0, 64, 640]
    assert [clock.steps_of(draws) for draws in (0, 3, 4, 7, 8, 40, 44)] == [0, 0, 1, 1, 2, 10, 10]
    assert clock.stretches == (Stretch(10, SHAPE, BATCH_BLOCKS, {"train": STEP_FLOPS}),)
    assert clock.budget_flops == 10 * STEP_FLOPS
    assert [clock.progress(step) for step in range(11)] == [step / 10 for step in range(11)]
    assert clock.evaluation_points(4) == {0: 0, 3: 0.25, 5: 0.5, 8: 0.75, 10: 1}
    assert clock.checkpoint_steps(0.3) == {4, 7, 10}
    assert clock.kept_steps([0.01, 0.3, 1]) == {1, 3, 10}
    assert all(clock.is_logged(step) for step in range(1, 11))


def test_a_run_that_grows_under_a_teacher_written_out() -> None:
    small, large = shape_of(1), shape_of(2)
    a, b = (training_flops(shape, BATCH_BLOCKS * BLOCK_TOKENS) for shape in (small, large))
    teacher = a // BATCH_BLOCKS  # so that a step of the small network with a teacher costs 2 a
    recipe = recipe_of([("0.5", small), ("1", large)], [("0.2", {"teacher": teacher}), ("1", {})])
    budget = 4 * (a + BATCH_BLOCKS * teacher) + 12 * a + 20 * b - 1  # one FLOP short of all that
    clock = lay_out(recipe, large, budget_flops=budget, batch_blocks=BATCH_BLOCKS, costs=NOTHING)
    # Borders fall on the first step that begins at 0.2 and at 0.5 of what the steps cost in all.
    total = clock.budget_flops
    first, second, third = clock.stretches
    assert [dict(s.flops_of_step) for s in clock.stretches] == [
        {"train": a, "teacher": BATCH_BLOCKS * teacher},
        {"train": a},
        {"train": b},
    ]
    assert (first.num_steps - 1) * 2 * a < 0.2 * total <= first.num_steps * 2 * a
    begun = first.num_steps * 2 * a + (second.num_steps - 1) * a
    assert begun < 0.5 * total <= begun + a
    assert budget - b < total <= budget
    assert third.num_steps * b + begun + a == total
    assert clock.accounts(clock.num_steps) == {
        "train": (first.num_steps + second.num_steps) * a + third.num_steps * b,
        "teacher": first.num_steps * BATCH_BLOCKS * teacher,
    }
    assert clock.stretch_of(first.num_steps).shape == small
    assert clock.stretch_of(first.num_steps + second.num_steps + 1).shape == large
    names, charged = clock.charged_flops()
    assert names == ("train", "teacher")
    assert charged.shape == (clock.num_steps + 1, 2)
    for step in range(clock.num_steps + 1):
        accounts = clock.accounts(step)
        assert charged[step].tolist() == [accounts.get(name, 0) for name in names]
        assert clock.progress(step) == charged[step].sum() / total
    ledger = clock.ledger()
    for step in range(1, clock.num_steps + 1):
        for account, flops in clock.stretch_of(step).flops_of_step.items():
            ledger.charge(account, flops)
        assert ledger.accounts() == clock.accounts(step)


def test_more_points_than_steps_give_one_evaluation_a_step() -> None:
    assert tiny_spec(2).clock().evaluation_points(4) == {0: 0, 1: 0.5, 2: 1}


@given(num_steps=st.integers(1, 5000), num_points=st.integers(1, 40))
def test_evaluations_come_first_at_or_after_their_points(num_steps: int, num_points: int) -> None:
    clock = tiny_spec(num_steps).clock()
    points = clock.evaluation_points(num_points)
    assert points[0] == 0
    assert points[num_steps] == 1
    for step, point in points.items():
        assert clock.progress(step) >= point
        assert step == 0 or clock.progress(step - 1) < point
    assert max(clock.checkpoint_steps(1 / num_points)) == num_steps
    assert sum(map(clock.is_logged, range(1, num_steps + 1))) <= 502
    assert clock.is_logged(1)
    assert clock.is_logged(num_steps)


def test_a_batch_that_switches_written_out() -> None:
    clock = tiny_spec(40, recipe=Recipe(rate=Rate(batch=BatchSwitch(factor=4)))).clock()
    assert [(s.num_steps, s.batch_blocks) for s in clock.stretches] == [(30, 4), (2, 16)]
    assert [clock.draws(step) for step in (29, 30, 31, 32)] == [116, 120, 136, 152]
    assert [clock.steps_of(draws) for draws in (119, 120, 135, 136, 152)] == [29, 30, 30, 31, 32]
    assert clock.num_draws == 152
    assert clock.smallest_batch == 4
    assert clock.tokens(31) == 136 * BLOCK_TOKENS
    assert clock.network_begun(32) == 0


@st.composite
def clocks(draw: st.DrawFn) -> tuple[Clock, float, int, list[Fraction]]:
    """Clocks of any growth and teacher, with budget, a bound on the dearest step, and borders."""
    hundredths = st.lists(st.integers(1, 99), max_size=3, unique=True).map(sorted)
    borders = [[Fraction(at, 100) for at in draw(hundredths)] + [Fraction(1)] for _ in range(2)]
    layers = sorted(draw(st.lists(st.integers(1, 9), min_size=4, max_size=4)))
    shapes = [(str(at), shape_of(n)) for at, n in zip(borders[0], layers, strict=False)]
    teachers = draw(st.lists(st.integers(0, 2 * STEP_FLOPS), min_size=4, max_size=4))
    charges = [
        (str(at), {"teacher": flops} if flops else {})
        for at, flops in zip(borders[1], teachers, strict=False)
    ]
    factors = draw(st.lists(st.sampled_from([0.25, 0.5, 1, 2]), min_size=4, max_size=4))
    ends = [Fraction(at, 100) for at in draw(hundredths)] + [Fraction(1)]
    pieces = tuple(
        Piece(until=float(at), factor=factor, to=draw(st.sampled_from([None, 1, 2])))
        for at, factor in zip(ends, factors, strict=False)
    )
    scoring = draw(st.sampled_from([0, 7 * STEP_FLOPS + 1]))
    budget = scoring + draw(st.floats(20, 3000)) * STEP_FLOPS
    clock = lay_out(
        recipe_of(shapes, charges, pieces),
        SHAPE,
        budget_flops=budget,
        batch_blocks=BATCH_BLOCKS,
        costs=Costs({"scoring": scoring} if scoring else {}, {}),
    )
    dearest = training_flops(shape_of(layers[-1]), 128) + 2 * BATCH_BLOCKS * max(teachers)
    sizes = [at for at, _ in BatchPieces(pieces=pieces).sizes(BATCH_BLOCKS)]
    return clock, budget, dearest, sorted({*borders[0], *borders[1], *sizes} - {Fraction(1)})


@given(clocks())
def test_any_budget_is_met_to_within_one_step(
    case: tuple[Clock, float, int, list[Fraction]],
) -> None:
    clock, budget, dearest, _ = case
    assert budget - dearest <= clock.budget_flops <= budget * (1 + 1e-12)
    assert sum(clock.accounts(clock.num_steps).values()) == clock.budget_flops
    assert clock.progress(clock.num_steps) == clock.timeline_progress(clock.num_steps) == 1
    steps = np.array([clock.progress(step) for step in range(clock.num_steps + 1)])
    assert np.all(np.diff(steps) > 0)
    draws = [clock.draws(step) for step in range(clock.num_steps + 1)]
    batches = [clock.stretch_of(step).batch_blocks for step in range(1, clock.num_steps + 1)]
    assert np.diff(draws).tolist() == batches
    assert [clock.steps_of(num) for num in draws[:50]] == list(range(len(draws)))[:50]


@given(clocks())
def test_every_border_falls_within_two_steps_of_its_progress(
    case: tuple[Clock, float, int, list[Fraction]],
) -> None:
    clock, _, dearest, borders = case
    changes = np.cumsum([stretch.num_steps for stretch in clock.stretches])[:-1].tolist()
    slack = 2 * dearest / (clock.budget_flops - clock.flops_before)
    for step in changes:
        at = clock.timeline_progress(step)
        assert any(border - slack <= at <= border + slack for border in borders), (at, borders)


def test_a_border_close_to_the_end_spends_no_more_than_there_is() -> None:
    small = training_flops(shape_of(1), BATCH_BLOCKS * BLOCK_TOKENS)
    clock = lay_out(
        recipe_of([("0.99", shape_of(1)), ("1", shape_of(2))], [("1", {})]),
        SHAPE,
        budget_flops=3.5 * small,
        batch_blocks=BATCH_BLOCKS,
        costs=NOTHING,
    )
    assert (clock.num_steps, clock.budget_flops) == (3, 3 * small)


def test_flops_beyond_every_float_stay_whole() -> None:
    shape = SHAPE.model_copy(update={"num_layers": 3, "width": 3 * 2**20, "mlp_width": 2**20 + 1})
    step = training_flops(shape, BATCH_BLOCKS * BLOCK_TOKENS)
    clock = lay_out(
        recipe_of([("1", shape)], [("1", {})]),
        shape,
        budget_flops=1000.5 * step,
        batch_blocks=BATCH_BLOCKS,
        costs=NOTHING,
    )
    assert step > 2**53
    assert clock.budget_flops == 1000 * step
    assert [clock.timeline_progress(step) for step in (300, 700)] == [0.3, 0.7]


def test_a_budget_below_one_step_is_refused_with_its_price() -> None:
    with pytest.raises(SpecError, match=r"budget_flops: the budget buys no .* at least .* got 1e"):
        tiny_spec(budget_flops=1e3).clock()
