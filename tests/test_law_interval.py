"""Pooled paired intervals: the textbook's numbers, and the coverage they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradatim.law.interval import (
    estimates,
    holm,
    overall_scale,
    pooled_sd,
    smallest_detectable,
    t_factor,
)


def test_one_group_gives_the_textbook_t_interval() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.2])
    by_group, overall = estimates({"20k": values})
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    expected_p = stats.ttest_1samp(values, 0).pvalue
    assert overall == by_group["20k"]
    assert (overall.low, overall.high) == pytest.approx((low, high))
    assert overall.p_value == pytest.approx(expected_p)
    assert overall.degrees_of_freedom == 3


def test_deviation_is_pooled_over_rungs_by_hand() -> None:
    groups = {"20k": np.array([1.0, 3.0]), "50k": np.array([0.0, 1.0, 2.0])}
    sd, degrees_of_freedom = pooled_sd(list(groups.values()))
    assert degrees_of_freedom == 3
    assert sd == pytest.approx(math.sqrt((2 + 2) / 3))
    by_group, overall = estimates(groups)
    assert overall.mean == pytest.approx(1.5)
    assert overall.standard_error == pytest.approx(sd * math.sqrt(1 / 2 + 1 / 3) / 2)
    assert by_group["50k"].high == pytest.approx(1 + 3.182446305 * sd / math.sqrt(3))
    assert overall.num_pairs == 5


def test_one_pair_a_rung_gives_means_without_intervals() -> None:
    by_group, overall = estimates({"20k": np.array([0.1]), "50k": np.array([0.3])})
    assert overall.mean == pytest.approx(0.2)
    assert (overall.low, overall.p_value, by_group["20k"].high) == (None, None, None)
    assert not overall.excludes_zero


def test_pairs_that_are_all_the_same_leave_no_doubt() -> None:
    _, none = estimates({"20k": np.zeros(3)})
    _, some = estimates({"20k": np.full(3, 0.5)})
    assert (none.p_value, none.excludes_zero) == (1.0, False)
    assert (some.p_value, some.excludes_zero) == (0.0, True)


@given(st.floats(-10, 10), st.floats(0.01, 100))
def test_intervals_move_and_stretch_with_the_values(shift: float, scale: float) -> None:
    values = {"a": np.array([0.1, 0.2, 0.4]), "b": np.array([-0.2, 0.3])}
    _, before = estimates(values)
    _, after = estimates({rung: shift + scale * group for rung, group in values.items()})
    assert before.low is not None
    assert before.high is not None
    assert after.low == pytest.approx(shift + scale * before.low, abs=1e-9)
    assert after.high == pytest.approx(shift + scale * before.high, abs=1e-9)


@pytest.mark.parametrize(("num_rungs", "num_seeds"), [(3, 2), (3, 3), (1, 2)])
def test_intervals_cover_the_truth_19_times_in_20(num_rungs: int, num_seeds: int) -> None:
    generator = np.random.default_rng(11)
    num_studies, covered = 2000, 0
    truth = np.linspace(-0.01, 0.03, num_rungs)
    for _ in range(num_studies):
        noise = generator.normal(0, 0.005, (num_rungs, num_seeds))
        groups = {str(rung): truth[rung] + noise[rung] for rung in range(num_rungs)}
        _, overall = estimates(groups)
        assert overall.low is not None
        assert overall.high is not None
        covered += overall.low <= truth.mean() <= overall.high
    assert covered / num_studies == pytest.approx(0.95, abs=0.015)


def test_noise_alone_passes_the_smallest_detectable_difference_1_time_in_20() -> None:
    generator = np.random.default_rng(5)
    num_studies, num_seeds, passed = 2000, 3, 0
    for _ in range(num_studies):
        first, second = generator.normal(0, 1, (2, num_seeds))
        sd, degrees_of_freedom = pooled_sd([first])
        limit = smallest_detectable(sd, degrees_of_freedom, overall_scale([num_seeds]))
        assert limit is not None
        passed += abs(first.mean() - second.mean()) > limit
    assert passed / num_studies == pytest.approx(0.05, abs=0.015)


def test_smallest_detectable_difference_by_hand() -> None:
    assert smallest_detectable(0.01, 6, overall_scale([3, 3, 3])) == pytest.approx(
        2.446911851 * math.sqrt(2) * 0.01 / 3
    )
    assert smallest_detectable(None, 0, 1.0) is None
    assert t_factor(1) == pytest.approx(12.7062047)


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
