"""Laws: known exponents come back inside their intervals, and weak fits say that they are weak."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gradatim.compute import num_matmul_parameters
from gradatim.errors import FitError
from gradatim.law.fit import (
    LawFit,
    PowerLawFit,
    exponent_interval,
    fit,
    fit_chinchilla,
    fit_power_law,
    laws_to_json,
)
from gradatim.law.powers import EXPONENT_BOUNDS, Floats, SumOfPowers
from synthetic_records import decaying, make_record, run_spec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def observed(
    num_sizes: int = 6,
    num_seeds: int = 3,
    *,
    offset: float = 1.2,
    exponent: float = 0.25,
    noise: float = 0.005,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    x = np.repeat(np.geomspace(2e4, 5e6, num_sizes), num_seeds)
    scatter = noise * np.random.default_rng(seed).standard_normal(x.size)
    return x, (offset + 8 * x**-exponent) * np.exp(scatter)


def test_a_law_without_noise_is_found_exactly() -> None:
    law = fit_power_law(*observed(noise=0), num_bootstrap=0)
    assert law.offset == pytest.approx(1.2, rel=1e-4)
    assert law.coefficient == pytest.approx(8, rel=1e-3)
    assert law.exponent == pytest.approx(0.25, rel=1e-4)
    assert law.rmse_log < 1e-6
    assert law.predict(1e8) == pytest.approx(1.2 + 8e-2, rel=1e-4)
    assert law.warnings == ()


@pytest.mark.parametrize(("offset", "exponent"), [(1.2, 0.25), (0.8, 0.5), (0.3, 0.15)])
def test_known_constants_lie_inside_their_intervals(offset: float, exponent: float) -> None:
    law = fit_power_law(*observed(offset=offset, exponent=exponent, seed=4), seed=1)
    for name, truth in (("offset", offset), ("exponent", exponent), ("coefficient", 8.0)):
        low, high = law.intervals[name]
        assert low <= truth <= high, name


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(24):
        law = fit_power_law(*observed(5, 3, seed=seed), num_bootstrap=40, seed=seed)
        low, high = law.intervals["exponent"]
        covered += low <= 0.25 <= high
    assert covered >= 20


def test_one_wild_point_hardly_moves_the_law() -> None:
    x, loss = observed(noise=0.001)
    loss[4] *= 1.5
    assert fit_power_law(x, loss, num_bootstrap=0).exponent == pytest.approx(0.25, abs=0.02)


def test_three_sizes_are_fitted_without_an_offset_and_say_so() -> None:
    law = fit_power_law(*observed(3, 3), num_bootstrap=20)
    assert (law.offset, law.has_offset, law.num_distinct) == (0.0, False, 3)
    assert "offset" not in law.intervals
    assert any("only 3 sizes: an offset cannot be told" in text for text in law.warnings)


def test_a_law_through_as_many_points_as_constants_says_so() -> None:
    law = fit_power_law([1e4, 1e6], [2.0, 1.0], num_bootstrap=5)
    assert law.exponent == pytest.approx(np.log(2) / np.log(100))
    assert any("as many constants as points" in text for text in law.warnings)


def test_a_steep_law_stops_at_the_bound_and_says_so() -> None:
    x = np.geomspace(1, 20, 6)
    law = fit_power_law(x, 1 + x**-6.0, num_bootstrap=0)
    assert any("at the bound" in text for text in law.warnings)


def test_a_law_without_floor_says_so() -> None:
    x = np.geomspace(1e4, 1e7, 6)
    law = fit_power_law(x, 30 * x**-0.2, num_bootstrap=0)
    assert law.exponent == pytest.approx(0.2, abs=0.002)
    assert any("do not show a floor" in text for text in law.warnings)


def test_an_interval_wider_than_a_decade_is_pointed_out() -> None:
    x = np.repeat([1e5, 2e5, 4e5, 8e5], 2)
    loss = 2 - 0.01 * np.arange(8) // 2 + 0.02 * np.array([1, -1, -1, 1, 1, -1, -1, 1])
    law = fit_power_law(x, loss, num_bootstrap=50)
    assert any("spans more than a decade" in text for text in law.warnings)
    assert any("less than a decade" in text for text in law.warnings)


def test_runs_of_one_rung_charged_a_step_more_are_still_one_size() -> None:
    x = np.array([1.00e12, 1.01e12, 0.99e12])
    with pytest.raises(FitError, match=r"no law from one size; expected at least 2 .*; got 1"):
        fit_power_law(x, [2.0, 2.0, 2.1])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_no_law_can_have_are_refused(wrong: float) -> None:
    with pytest.raises(FitError, match="loss must be positive and finite; got"):
        fit_power_law([1.0, 2.0], [1.0, wrong])
    with pytest.raises(FitError, match="x must be positive and finite"):
        fit_power_law([1.0, wrong], [1.0, 1.0])
    with pytest.raises(FitError, match="a point lacks a number; expected equal lengths; got 2, 1"):
        fit_power_law([1.0, 2.0], [1.0])


@given(st.floats(0.1, 10), st.floats(1e-6, 1e6))
@settings(max_examples=6, deadline=None)
def test_units_of_loss_and_size_do_not_change_the_exponent(unit: float, size_unit: float) -> None:
    x, loss = observed(noise=0.001)
    before = fit_power_law(x, loss, num_bootstrap=0)
    after = fit_power_law(x * size_unit, loss * unit, num_bootstrap=0)
    assert after.exponent == pytest.approx(before.exponent, rel=1e-3)
    assert after.offset == pytest.approx(before.offset * unit, rel=1e-3)


def test_the_same_seed_gives_the_same_law() -> None:
    first, second, other = (fit_power_law(*observed(), num_bootstrap=10, seed=s) for s in (3, 3, 4))
    assert first == second
    assert first.draws != other.draws
    assert first.exponent == other.exponent


def test_the_band_holds_the_law_and_widens_beyond_the_data() -> None:
    law = fit_power_law(*observed(), num_bootstrap=100)
    x = np.array([2e4, 5e6, 5e9])
    low, high = law.band(x)
    assert (low <= law.predict(x)).all()
    assert (law.predict(x) <= high).all()
    assert high[2] - low[2] > 2 * (high[1] - low[1])
    with pytest.raises(FitError, match="has no band"):
        fit_power_law(*observed(), num_bootstrap=0).band(x)


def test_the_gradient_is_the_derivative_of_the_objective() -> None:
    x, loss = observed(noise=0.02)
    powers = SumOfPowers(np.log([x, x[::-1]]), np.log(loss), 1e-3)
    theta = np.array([0.1, 2.0, 0.2, 1.0, 0.3])
    _, gradient = powers.objective(theta)
    for axis in range(5):
        shift = 1e-6 * np.eye(5)[axis]
        numeric = (powers.objective(theta + shift)[0] - powers.objective(theta - shift)[0]) / 2e-6
        assert gradient[axis] == pytest.approx(numeric, rel=1e-5)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_chinchilla_as_replicated_by_epoch() -> None:
    """Besiroglu et al. 2024 (arXiv 2404.10102), the five highest losses left out."""
    with (DATA / "scaling" / "chinchilla_points.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["loss"]))[:-5]
    parameters, tokens, loss = (
        [float(row[name]) for row in rows] for name in ("params", "tokens", "loss")
    )
    found = fit_chinchilla(parameters, tokens, loss, num_bootstrap=40)
    assert found.num_points == 240
    assert found.offset == pytest.approx(1.8172, rel=0.001)
    assert found.parameter_exponent == pytest.approx(0.3478, rel=0.01)
    assert found.token_exponent == pytest.approx(0.3658, rel=0.01)
    assert found.parameter_coefficient == pytest.approx(482.01, rel=0.05)
    assert found.token_coefficient == pytest.approx(2085.43, rel=0.05)
    assert found.compute_exponent == pytest.approx(0.513, abs=0.002)
    low, high = found.intervals["parameter_exponent"]
    assert 0.30 < low < 0.3478 < high < 0.39


def test_chinchilla_constants_come_back_without_noise() -> None:
    sizes, tokens = (
        grid.ravel() for grid in np.meshgrid(np.geomspace(1e5, 1e8, 5), [1e7, 1e8, 1e9])
    )
    loss = 1.7 + 400 / sizes**0.34 + 410 / tokens**0.28
    found = fit_chinchilla(sizes, tokens, loss)
    assert found.offset == pytest.approx(1.7, rel=1e-3)
    assert found.parameter_exponent == pytest.approx(0.34, rel=1e-3)
    assert found.token_exponent == pytest.approx(0.28, rel=1e-3)
    assert found.intervals == {}
    with pytest.raises(FitError, match="too few points for five constants"):
        fit_chinchilla(sizes[:5], tokens[:5], loss[:5])


RUNGS = ("20k", "50k", "100k", "200k", "1m")


def ladder_records(arm: str, exponent: float) -> list:
    records = []
    for rung in RUNGS:
        for seed in range(2):
            spec = run_spec(arm, rung, seed)
            loss = 1 + 9 * num_matmul_parameters(spec.shape) ** -exponent + 0.0005 * (seed - 0.5)
            records.append(make_record(spec, decaying(loss)))
    return records


def test_every_arm_gets_its_law_over_parameters_and_over_compute() -> None:
    records = ladder_records("uniform", 0.2) + ladder_records("ceiling", 0.3)
    laws = fit(records, num_bootstrap=20)
    found = {(law.arm, law.variable): law for law in laws}
    assert len(found) == 4
    for arm, exponent in (("uniform", 0.2), ("ceiling", 0.3)):
        law = found[arm, "parameters"].law
        assert isinstance(law, PowerLawFit)
        assert law.exponent == pytest.approx(exponent, abs=0.03)
        assert law.num_points == 10
        assert "head included" in found[arm, "parameters"].convention
        over_compute = found[arm, "compute"].law
        assert over_compute is not None
        assert over_compute.x[-1] == 1e9 * 128
    assert TypeAdapter(list[LawFit]).validate_json(laws_to_json(laws)) == laws


def test_a_law_that_cannot_be_fitted_says_why() -> None:
    same_budget = [
        make_record(run_spec("uniform", rung, budget_flops=1e12), decaying(2.0 - place / 10))
        for place, rung in enumerate(RUNGS)
    ]
    laws = {law.variable: law for law in fit(same_budget, num_bootstrap=0)}
    assert laws["parameters"].law is None
    assert "no law of size from runs of equal FLOPs" in (laws["parameters"].reason or "")
    assert laws["compute"].law is None
    assert laws["compute"].reason is not None
    assert "no law from one size" in laws["compute"].reason
    assert str(laws["compute"]) == f"uniform: no L(C): {laws['compute'].reason}"


def test_an_exponent_at_the_bound_of_the_search_is_no_evidence() -> None:
    sizes = np.repeat(np.geomspace(1e4, 1e6, 3), 2)
    law = fit_power_law(sizes, 2 + 0.02 * np.tile([1, -1], 3), num_bootstrap=60)
    assert law.intervals["exponent"][0] == pytest.approx(EXPONENT_BOUNDS[0])
    assert exponent_interval(law).startswith("below 0.0")
    assert any("not evidence" in warning for warning in law.warnings)


def test_a_law_says_itself_in_one_line() -> None:
    (law, *_) = [
        law
        for law in fit(ladder_records("ceiling", 0.3), num_bootstrap=20)
        if law.variable == "parameters"
    ]
    assert re.match(
        r"ceiling: L\(N\) = [0-9.e-]+ \+ [0-9.]+ N\^-0\.[23]\d* "
        r"\(exponent 0\.\d+ to 0\.\d+, 95 %\), 10 runs of 5 sizes",
        str(law),
    ), str(law)


def test_unfinished_runs_and_infinite_losses_are_left_out_of_laws() -> None:
    records = ladder_records("uniform", 0.2)
    records.append(make_record(run_spec("uniform", "1m", 9), decaying(50.0), is_finished=False))
    records.append(make_record(run_spec("uniform", "1m", 8), [3.0, None]))
    law = fit(records, num_bootstrap=0)[0].law
    assert law is not None
    assert law.num_points == 10
