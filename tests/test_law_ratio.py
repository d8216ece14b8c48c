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


def rung(ratio: float, *, seeds: int = 3, noise: float = 0.0, seed: int = 0) -> RungLosses:
    """An arm whose loss is the baseline's at 1 / ratio of the budget."""
    random = np.random.default_rng(seed)
    baseline = {m: {s: law(m) + random.normal(0, noise) for s in range(seeds)} for m in MULTIPLES}
    return RungLosses(law(1 / ratio) - law(1.0), baseline)


KNOWN = Variance(1e-6, 6)


@pytest.mark.parametrize("ratio", [0.6, 0.8, 1.0, 1.25, 1.7])
def test_a_known_ratio_is_read_between_finished_runs(ratio: float) -> None:
    found = ratio_of([rung(ratio), rung(ratio)], KNOWN)
    assert found is not None
    assert found.ratio == pytest.approx(ratio, rel=0.003)
    assert found.low is not None
    assert found.high is not None
    assert found.low < ratio < found.high
    assert found.reach == pytest.approx((0.5, 2.0))


def test_the_interval_by_hand_where_the_curve_is_a_line() -> None:
    """Two budgets: what the gain to the second scatters by, and the difference, add up."""
    slope = 0.1
    gains = np.array([0.9, 1.0, 1.1, 1.0]) * slope * math.log(2)
    baseline = {1.0: dict.fromkeys(range(4), 2.0), 2.0: dict(enumerate(2.0 - gains))}
    of_gap = Variance(1e-6, 9)
    found = ratio_of([RungLosses(-slope * 0.25, baseline)], of_gap)
    assert found is not None
    assert found.ratio == pytest.approx(math.exp(-0.25), rel=1e-6)
    assert found.low is not None
    place = -math.log(found.low)
    of_gain = Variance(float(gains.var(ddof=1)) / 4 * (place / math.log(2)) ** 2, 3)
    both = Variance.of_sum([of_gap, of_gain])
    half = stats.t.ppf(0.975, both.degrees_of_freedom) * math.sqrt(both.value)
    assert slope * (place - 0.25) == pytest.approx(half, rel=0.01)


def test_two_rungs_alike_halve_the_variance_of_what_the_baseline_gains() -> None:
    one = rung(0.8, noise=0.01)
    widths = []
    for rungs in ([one], [one, one]):
        found = ratio_of(rungs, Variance(1e-12, 1e6))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        widths.append(math.log(found.high / found.low))
    factor = stats.t.ppf(0.975, 2) / stats.t.ppf(0.975, 4) * math.sqrt(2)
    assert widths[0] / widths[1] == pytest.approx(factor, rel=0.1)


def test_the_interval_leaves_out_one_exactly_when_the_difference_is_resolved() -> None:
    of_gap = Variance(1e-6 * 2 / 3, 6)
    half = stats.t.ppf(0.975, 6) * math.sqrt(of_gap.value)
    for gap in np.linspace(-0.004, 0.004, 41):
        found = ratio_of([RungLosses(float(gap), rung(1.0, noise=0.001).baseline)], of_gap)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert (found.low <= 1 <= found.high) == (abs(gap) <= half)


def test_what_is_beyond_the_budgets_is_open() -> None:
    better, worse = (ratio_of([rung(ratio)], KNOWN) for ratio in (0.3, 3.0))
    assert better is not None
    assert (better.ratio, better.low, better.high) == (None, None, 0.5)
    assert worse is not None
    assert (worse.ratio, worse.low, worse.high) == (None, pytest.approx(2.0), None)
    for unknown in (ratio_of([rung(0.8)], Variance(0.0, 0)), ratio_of([rung(0.8, seeds=1)], KNOWN)):
        assert unknown is not None
        assert (unknown.low, unknown.high) == (None, None)


def test_without_a_second_budget_or_a_common_seed_there_is_none() -> None:
    one = rung(0.8).baseline
    assert ratio_of([RungLosses(-0.1, {1.0: one[1.0]})], KNOWN) is None
    assert ratio_of([RungLosses(-0.1, one | {2.0: {7: 2.0}})], KNOWN) is None


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
    assert comparison.noise[0].degrees_of_freedom == 2  # other budgets may be noisier
