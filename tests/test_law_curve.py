"""Reading learning curves sideways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.law.curve import Curve, flops_to_reach, log_compute_ratio


def curve(*losses: float, flops: tuple[float, ...] | None = None) -> Curve:
    places = flops or tuple(10.0**k for k in range(1, len(losses) + 1))
    return Curve(np.array(places), np.array(losses))


LOSSES = st.lists(st.floats(0.5, 8), min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (4.0, 10.0),  # met at the first point: an upper bound
        (5.0, 10.0),
        (3.0, 100.0),
        (3.5, 10**1.5),  # half-way in log compute
        (2.25, 10**2.75),
        (2.0, 1000.0),
        (1.9, None),
    ],
)
def test_compute_to_reach_a_loss_by_hand(loss: float, expected: float | None) -> None:
    found = flops_to_reach(curve(4.0, 3.0, 2.0), loss)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_bump_in_the_curve_does_not_count() -> None:
    assert flops_to_reach(curve(4.0, 2.0, 3.0, 1.0), 2.5) == pytest.approx(10**1.75)
    assert flops_to_reach(curve(4.0, 2.2, 3.0, 1.0), 2.0) == pytest.approx(10 ** (3 + 1 / 6))


def test_the_better_arm_needs_the_share_after_which_it_was_where_the_other_ended() -> None:
    arm, reference = curve(4.0, 3.0, 2.0), curve(4.0, 3.2, 3.0)
    assert math.exp(log_compute_ratio(arm, reference)) == pytest.approx(0.1)
    assert math.exp(log_compute_ratio(reference, arm)) == pytest.approx(10)


@given(LOSSES)
def test_identical_curves_need_the_same_compute(losses: list[float]) -> None:
    assert log_compute_ratio(curve(*losses), curve(*losses)) == 0


@given(LOSSES, LOSSES)
def test_swapping_the_arms_changes_the_sign_alone(first: list[float], second: list[float]) -> None:
    forth = log_compute_ratio(curve(*first), curve(*second))
    assert forth == -log_compute_ratio(curve(*second), curve(*first))
    assert (forth <= 0) == (first[-1] <= second[-1]) or forth == 0


@given(LOSSES, LOSSES, st.floats(-3, 3))
def test_only_differences_of_loss_matter(
    first: list[float], second: list[float], shift: float
) -> None:
    moved = [Curve(c.flops, c.loss + shift) for c in (curve(*first), curve(*second))]
    before = log_compute_ratio(curve(*first), curve(*second))
    if abs(first[-1] - second[-1]) > 1e-6:
        assert log_compute_ratio(*moved) == pytest.approx(before, rel=1e-3, abs=1e-3)
