"""Variances of two-way tables, intervals and adjusted p-values: by hand, and against textbooks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradatim.law.claims import Claim, adjusted_p_values, holm
from gradatim.law.interval import (
    WILD,
    Variance,
    estimate,
    mean_estimate,
    residual_variance,
    t_factor,
    weighted,
    wildness,
)


def table(values: np.ndarray) -> list[dict[int, float]]:
    """Arms x seeds as the residual is asked for."""
    return [dict(enumerate(row.tolist())) for row in values]


def test_two_arms_give_the_paired_t_test_of_the_textbook() -> None:
    first, second = np.array([0.3, -0.1, 0.4, 0.2]), np.array([0.1, -0.2, 0.5, -0.1])
    variance = residual_variance(table(np.stack([first, second])))
    found = estimate((first - second).mean(), variance.times(2 / 4), num_pairs=4, text=None)
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == 3


def test_the_residual_of_a_table_by_hand() -> None:
    # Rows and columns have means 2, 4 and 1, 3, 5; what is left is a checkerboard of 1 and -1.
    values = np.array([[1.0, 1.0, 4.0], [1.0, 5.0, 6.0]])
    found = residual_variance(table(values))
    assert found.degrees_of_freedom == 2
    rest = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
    assert found.value == pytest.approx((rest**2).sum() / 2)


def test_a_missing_run_leaves_the_others_their_residual() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))
    whole = table(values)
    lacking = [dict(by_seed) for by_seed in whole]
    del lacking[3][2]
    assert residual_variance(lacking).degrees_of_freedom == 5
    alone, other = residual_variance(whole[:3]), residual_variance([*whole[:3], {0: 7.0}])
    assert other.value == pytest.approx(alone.value)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(0.1, 10))
def test_what_arms_and_seeds_do_is_no_noise(shifts: list[float], scale: float) -> None:
    values = np.random.default_rng(1).normal(size=(3, 3))
    moved = scale * (values + np.array(shifts) + np.array(shifts)[:, None])
    before, after = residual_variance(table(values)), residual_variance(table(moved))
    assert after.value == pytest.approx(scale**2 * before.value, rel=1e-6)


def test_seeds_that_all_say_the_same_tell_nothing_of_noise() -> None:
    same = np.outer([1.0, 0.7, 0.4], np.ones(3))
    for values in (same, np.zeros((3, 3)), same + 1e-13):
        variance = residual_variance(table(values))
        assert variance.degrees_of_freedom == 0
        found = estimate(-0.3, variance, num_pairs=3, text=None)
        assert (found.low, found.p_value, found.excludes_zero) == (None, None, False)
    assert residual_variance([{0: 1.0}]).degrees_of_freedom == 0


def test_variances_of_a_sum_by_hand() -> None:
    found = Variance.of_sum([Variance(4.0, 2), Variance(1.0, 4)])
    assert found.value == 5
    assert found.degrees_of_freedom == pytest.approx(25 / (16 / 2 + 1 / 4))
    equal = Variance.of_sum([Variance(2.0, 3)] * 3)
    assert equal.degrees_of_freedom == pytest.approx(9)
    assert Variance.of_sum([Variance(1.0, 3), Variance(1.0, 0)]).degrees_of_freedom == 0


def test_a_rung_without_replication_borrows_the_scatter_of_the_others() -> None:
    known, unknown = Variance(2.0, 3), Variance(0.0, 0)
    found = weighted([known, unknown, Variance(5.0, 6)], [1.0, 1.0, 1.0])
    assert found.value == pytest.approx(2 + 4 + 5)  # pooled (2 * 3 + 5 * 6) / 9
    weights = (1 + 3 / 9, 1 + 6 / 9)
    satterthwaite = found.value**2 / ((2 * weights[0]) ** 2 / 3 + (5 * weights[1]) ** 2 / 6)
    assert found.degrees_of_freedom == pytest.approx(satterthwaite - 0.75)
    assert weighted([unknown], [1.0]).degrees_of_freedom == 0


def test_what_is_borrowed_brings_no_degrees_of_freedom() -> None:
    """Two rungs, one of them with a single seed: all that is known comes of one rung."""
    for weight in (0.0, 1.0):
        found = weighted([Variance(2.0, 1), Variance(0.0, 0)], [weight, 2.0])
        assert found.value == pytest.approx(2 * (weight + 2))
        assert found.degrees_of_freedom == pytest.approx(1)
    random = np.random.default_rng(5)
    held = []
    for _ in range(1000):
        gaps = [random.normal(size=2).mean(), random.normal()]
        variance = Variance(float(random.normal(size=4).var(ddof=1)), 3)
        seeds = weighted([variance, Variance(0.0, 0)], [1 / 2 / 4, 1 / 4])
        found = estimate(sum(gaps) / 2, seeds, num_pairs=3, text=None)
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= 0 <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_text_widens_an_interval_and_says_by_how_much() -> None:
    seeds, text = Variance(3e-6, 9), Variance(1e-6, 90)
    alone, both = (estimate(0.01, seeds, num_pairs=9, text=part) for part in (None, text))
    assert both.standard_error == pytest.approx(0.002)
    assert both.text_share == pytest.approx(0.25)
    assert alone.standard_error is not None
    assert both.standard_error > alone.standard_error


def test_means_of_groups_pool_their_scatter() -> None:
    first, second = mean_estimate([np.array([1.0, 3.0]), np.array([0.0, 1.0, 2.0])])
    sd = math.sqrt((2 + 2) / 3)
    assert second.high == pytest.approx(1 + 3.182446305 * sd / math.sqrt(3))
    assert first.degrees_of_freedom == 3
    assert mean_estimate([np.array([0.5])])[0].low is None
    assert mean_estimate([np.array([0.5, 0.5])])[0].low is None


def test_the_factor_of_one_degree_of_freedom() -> None:
    assert t_factor(1) == pytest.approx(12.7062047)


def test_an_arm_six_times_as_noisy_is_found_and_calm_ones_are_not() -> None:
    random = np.random.default_rng(4)
    found, accused = 0, 0
    for _ in range(200):
        rungs = [random.normal(0, 1, (4, 4)) for _ in range(2)]
        tables = [table(rung) for rung in rungs]
        accused += any(wildness(place, tables) < WILD for place in range(4))
        for rung in rungs:
            rung[2] *= 6
        found += wildness(2, [table(rung) for rung in rungs]) < WILD
    assert found > 180
    assert accused < 16  # four arms, each at 1 %
    assert wildness(0, [table(random.normal(0, 1, (2, 5)))]) == 1
    assert wildness(0, [table(np.ones((4, 5)))]) == 1


# Many claims


def causes(controls: Mapping[str, Sequence[str]]) -> dict[Claim, list[Claim]]:
    """Of methods against `u`, the claims about their controls."""
    return {(m, "u"): [(m, control) for control in names] for m, names in controls.items()}


def test_one_method_keeps_the_whole_level_and_hands_it_to_its_controls() -> None:
    p_values = {("m", "u"): 0.04, ("m", "s"): 0.02, ("m", "r"): 0.045}
    adjusted = adjusted_p_values(p_values, causes({"m": ["s", "r"]}))
    assert adjusted == pytest.approx({("m", "u"): 0.04, ("m", "s"): 0.04, ("m", "r"): 0.045})


def test_controls_claim_nothing_of_a_method_that_is_not_resolved() -> None:
    adjusted = adjusted_p_values({("m", "u"): 0.06, ("m", "s"): 1e-9}, causes({"m": ["s"]}))
    assert adjusted == pytest.approx({("m", "u"): 0.06, ("m", "s"): 0.06})


def test_methods_without_controls_are_corrected_by_holm() -> None:
    p_values = {("a", "u"): 0.01, ("b", "u"): 0.04, ("c", "u"): 0.03}
    adjusted = adjusted_p_values(p_values, causes({"a": [], "b": [], "c": []}))
    by_holm = holm({claim[0]: p for claim, p in p_values.items()})
    assert {claim[0]: p for claim, p in adjusted.items()} == pytest.approx(by_holm)


def test_two_methods_with_two_controls_each_by_hand() -> None:
    p_values = {("m", "u"): 0.01, ("m", "s"): 0.02, ("m", "r"): 0.012}
    p_values |= {("o", "u"): 0.04, ("o", "s2"): 0.03, ("o", "r2"): 0.2}
    adjusted = adjusted_p_values(p_values, causes({"m": ["s", "r"], "o": ["s2", "r2"]}))
    expected = {
        ("m", "u"): 0.01 / 0.5,  # half of the level; a quarter each goes to its controls
        ("m", "r"): 0.012 / 0.25,  # an eighth each goes to its sibling and to the other method
        ("m", "s"): 0.02 / 0.375,  # all of it goes to the other method
        ("o", "u"): 0.02 / 0.375,  # 0.04 / 1 would be less than what was rejected before
        ("o", "s2"): 0.03 / 0.5,
        ("o", "r2"): 0.2,  # the whole level
    }
    assert adjusted == pytest.approx(expected)


def test_a_method_that_shares_no_seed_with_the_baseline_claims_nothing_of_its_controls() -> None:
    p_values = {("m", "s"): 1e-9, ("o", "u"): 0.01}
    adjusted = adjusted_p_values(p_values, causes({"m": ["s"], "o": []}))
    assert adjusted == pytest.approx({("m", "s"): 1.0, ("o", "u"): 0.01})


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_no_claim_is_easier_than_alone(values: list[float]) -> None:
    claims = [("m", "u"), ("m", "s"), ("m", "r"), ("o", "u"), ("o", "s2"), ("o", "r2")]
    p_values = dict(zip(claims, values, strict=True))
    adjusted = adjusted_p_values(p_values, causes({"m": ["s", "r"], "o": ["s2", "r2"]}))
    assert adjusted.keys() == p_values.keys()
    assert all(p_values[claim] <= adjusted[claim] <= 1 for claim in claims)


def test_any_of_many_claims_is_false_in_at_most_1_study_of_20() -> None:
    random = np.random.default_rng(3)
    claims = [("m", "u"), ("m", "s"), ("m", "r"), ("o", "u"), ("o", "s2")]
    controls = {"m": ["s", "r"], "o": ["s2"]}
    for true in (set(), {("m", "u")}, {("m", "u"), ("m", "s")}, {("o", "u")}):
        wrong = 0
        for _ in range(2000):
            p_values = dict(zip(claims, random.random(len(claims)), strict=True))
            p_values |= dict.fromkeys(true, 1e-6)
            adjusted = adjusted_p_values(p_values, causes(controls))
            wrong += any(p <= 0.05 for claim, p in adjusted.items() if claim not in true)
        assert wrong / 2000 <= 0.06


def test_a_cause_of_two_effects_waits_for_either_and_is_claimed_once() -> None:
    """A method under schedules a and b, and how its difference changes from one to the other."""
    effects, change = [("m", "u", "a"), ("m", "u", "b")], ("m", "u", "a", "b")
    of = {effect: [change] for effect in effects}
    p_values = {effects[0]: 0.02, effects[1]: 0.5, change: 0.03}
    adjusted = adjusted_p_values(p_values, of)
    # Half of the level each; the first hands its half to the change, which is tested at a half.
    assert adjusted == pytest.approx({effects[0]: 0.04, change: 0.06, effects[1]: 1.0})
    random, wrong = np.random.default_rng(5), 0
    for _ in range(2000):
        drawn = dict(zip(p_values, random.random(3), strict=True)) | {effects[0]: 1e-6}
        adjusted = adjusted_p_values(drawn, of)
        wrong += any(adjusted[claim] <= 0.05 for claim in (effects[1], change))
    assert wrong / 2000 <= 0.06


def test_holm_by_hand() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    ordered = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())
