"""The compute ratio between finished runs, and what a study can see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradatim.law.compare import compare
from gradatim.law.interval import Variance
from gradatim.law.power import effect_seen, power_of, seeds_needed, sight, standard_error
from gradatim.law.ratio import RungLosses, lagrange_weights, ratio_of
from synthetic_records import make_record, make_study, run_spec

MULTIPLES = (0.5, 1.0, 2.0)


def law(multiple: float, exponent: float = 0.2) -> float:
    return 1 + float(multiple**-exponent)


def rung(ratio: float, *, sd: float = 0.001, seeds: int = 3, shift: float = 0.0) -> RungLosses:
    """An arm whose loss is the baseline's at 1 / ratio of the budget."""
    baseline = {m: {seed: law(m) + shift for seed in range(seeds)} for m in MULTIPLES}
    arm = {seed: law(1 / ratio) + shift for seed in range(seeds)}
    return RungLosses(arm, baseline, Variance(sd**2, 6))


@pytest.mark.parametrize("ratio", [0.6, 0.8, 1.0, 1.25, 1.7])
def test_a_known_ratio_is_read_between_finished_runs(ratio: float) -> None:
    found = ratio_of([rung(ratio), rung(ratio, shift=0.4)])
    assert found is not None
    assert found.ratio == pytest.approx(ratio, rel=0.003)
    assert found.low is not None
    assert found.high is not None
    assert found.low < ratio < found.high
    assert found.reach == pytest.approx((0.5, 2.0))


def test_the_interval_by_hand_where_the_curve_is_a_line() -> None:
    """Two budgets: at a ratio of 1 the standard error is that of a difference of two means."""
    slope, sd = 0.1, 0.002
    losses = {1.0: 2.0, 2.0: 2.0 - slope * math.log(2)}
    baseline = {m: dict.fromkeys(range(4), loss) for m, loss in losses.items()}
    arm = dict.fromkeys(range(4), 2.0 - slope * 0.25)
    found = ratio_of([RungLosses(arm, baseline, Variance(sd**2, 9))])
    assert found is not None
    assert found.ratio == pytest.approx(math.exp(-0.25), rel=1e-6)
    assert found.low is not None
    place = -math.log(found.low)
    far = place / math.log(2)
    half = stats.t.ppf(0.975, 9) * sd * math.sqrt((1 + far**2 + (1 - far) ** 2) / 4)
    assert slope * (place - 0.25) == pytest.approx(half, rel=1e-3)


def test_two_rungs_alike_halve_the_variance_of_the_ratio() -> None:
    """Near a ratio of 1 the interval is as wide as the standard error."""
    one, two = (ratio_of([rung(1.0, sd=1e-5)] * count) for count in (1, 2))
    assert one is not None
    assert two is not None
    assert one.low is not None
    assert two.low is not None
    narrower = math.sqrt(2) * stats.t.ppf(0.975, 6) / stats.t.ppf(0.975, 12)
    assert math.log(one.low) / math.log(two.low) == pytest.approx(narrower, rel=0.01)


def test_of_a_measure_where_more_is_better_the_ratio_is_read_the_right_way() -> None:
    """Accuracy rises with compute; the arm is halfway to the baseline at twice the budget."""
    records = []
    for seed in range(3):
        for arm, multiple, right in (
            ("uniform", 0.5, 0.4),
            ("uniform", 1.0, 0.5),
            ("uniform", 2.0, 0.6),
            ("ceiling", 1.0, 0.55),
        ):
            operation = {"arm": arm, "budget_multiple": multiple}
            flops = multiple * run_spec(arm).budget_flops
            spec = run_spec(arm, "20k", seed, operation=operation, budget_flops=flops)
            shown = right + seed / 100 + (arm == "ceiling") * (seed % 2) / 1000
            records.append(make_record(spec, [2.0], accuracies=[shown]))
    comparison = compare(records, measure="accuracy", name="held_out/b")
    (ratio,) = comparison.ratios
    assert ratio.ratio == pytest.approx(2**-0.5, rel=0.01)
    assert comparison.noise[0].degrees_of_freedom == (4 - 1) * (3 - 1)  # other budgets count too


def test_the_interval_leaves_out_one_exactly_when_the_difference_is_resolved() -> None:
    for gap in np.linspace(-0.004, 0.004, 41):
        seeds = range(3)
        baseline = {m: dict.fromkeys(seeds, law(m)) for m in MULTIPLES}
        arm = dict.fromkeys(seeds, 2.0 + float(gap))
        found = ratio_of([RungLosses(arm, baseline, Variance(1e-6, 6))])
        half = stats.t.ppf(0.975, 6) * 1e-3 * math.sqrt(2 / 3)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert (found.low <= 1 <= found.high) == (abs(gap) <= half)


def test_what_is_beyond_the_budgets_is_open() -> None:
    better, worse = (ratio_of([rung(ratio)]) for ratio in (0.3, 3.0))
    assert better is not None
    assert (better.ratio, better.low) == (None, None)
    assert better.high is None or better.high < 0.6
    assert worse is not None
    assert (worse.ratio, worse.high) == (None, None)
    unknown = ratio_of([RungLosses(rung(0.8).arm, rung(0.8).baseline, Variance(0.0, 0))])
    assert unknown is not None
    assert (unknown.low, unknown.high) == (None, None)


def test_without_a_second_budget_or_a_common_seed_there_is_none() -> None:
    one = rung(0.8)
    assert ratio_of([RungLosses(one.arm, {1.0: one.arm}, one.variance)]) is None
    assert ratio_of([RungLosses({7: 2.0}, one.baseline, one.variance)]) is None


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_interpolation_is_exact_for_parabolas_and_sums_to_one(a: float, b: float, c: float) -> None:
    points, x = np.log([0.25, 0.5, 1.0, 2.0]), np.linspace(-1.3, 0.6, 9)
    weights = lagrange_weights(points, x)
    assert weights.sum(axis=1) == pytest.approx(np.ones(9))
    expected = a + b * x + c * x**2
    assert weights @ (a + b * points + c * points**2) == pytest.approx(expected, abs=1e-9)


# What can be seen


def test_the_effect_seen_has_the_power_it_promises() -> None:
    for degrees_of_freedom in (2.0, 5.5, 30.0):
        effect = effect_seen(0.01, degrees_of_freedom)
        assert power_of(effect, 0.01, degrees_of_freedom, 0.05) == pytest.approx(0.8, abs=1e-6)
    assert effect_seen(0.01, 1e6) == pytest.approx(0.028016, rel=1e-3)  # 1.96 + 0.84
    assert effect_seen(0.01, 9, num_methods=3) > effect_seen(0.01, 9)


def test_power_is_what_simulated_studies_find() -> None:
    random = np.random.default_rng(7)
    num_seeds, noise, effect, found = 4, 0.01, 0.016, 0
    for _ in range(2000):
        pairs = random.normal(effect, noise * math.sqrt(2), num_seeds)
        found += stats.ttest_1samp(pairs, 0).pvalue <= 0.05 and pairs.mean() > 0
    error, degrees_of_freedom = standard_error(noise, num_seeds=num_seeds, num_rungs=1, num_arms=2)
    assert degrees_of_freedom == 3
    expected = power_of(effect, error, degrees_of_freedom, 0.05)
    assert found / 2000 == pytest.approx(expected, abs=0.03)


def test_seeds_needed_are_the_fewest_that_see_the_effect() -> None:
    facts = {"num_rungs": 2, "num_arms": 4}
    needed = seeds_needed(0.01, 0.008, num_methods=1, **facts)
    assert needed is not None
    for seeds, is_enough in ((needed, True), (needed - 1, False)):
        error, degrees_of_freedom = standard_error(0.008, num_seeds=seeds, **facts)
        assert (effect_seen(error, degrees_of_freedom) <= 0.01) is is_enough
    assert seeds_needed(1e-5, 0.01, num_methods=1, **facts) is None


def test_a_plan_is_told_what_it_will_see() -> None:
    facts = {"num_rungs": 2, "num_arms": 4, "num_methods": 1}
    guessed = sight(num_seeds=3, **facts)
    assert guessed.noise_of == "a guess"
    said = list(sight(num_seeds=3, noise=0.011, wished=0.01, **facts).sentences())
    assert said[0].startswith(
        "With 3 seeds and runs that scatter by 0.011 bits per byte (as given), an effect of 0.019 "
    )
    assert said[1].startswith("To resolve 0.01 in 4 of 5 studies takes ")
    assert sight(num_seeds=1, **facts).effect_seen is None
    assert "nothing can be told" in next(sight(num_seeds=1, **facts).sentences())
    far = sight(num_seeds=3, wished=1e-6, **facts)
    assert "takes more than 100 seeds" in list(far.sentences())[1]


def test_a_pilot_lends_its_scatter() -> None:
    pilot = compare(make_study({"ceiling": 0.0}, jitter=0.002))
    known = [noise.sd for noise in pilot.noise if noise.sd is not None]
    found = sight(num_seeds=3, num_rungs=3, num_arms=2, num_methods=1, pilot=pilot)
    assert found.noise == pytest.approx(math.sqrt(np.mean(np.square(known))))
    assert found.noise_of == "as in the pilot"
