"""Power laws of loss over size and compute, with intervals and a plain account of what is weak.

Sources: Hoffmann et al. 2022 (arXiv 2203.15556), third approach; Besiroglu et al. 2024
(arXiv 2404.10102), whose data and constants the tests reproduce. How a law is fitted: `powers`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from gradatim.compute import num_matmul_parameters
from gradatim.errors import FitError
from gradatim.law.interval import Result, t_factor
from gradatim.law.powers import EXPONENT_BOUNDS, Floats, SumOfPowers
from gradatim.record import tables
from gradatim.record.naming import cell_name
from gradatim.record.read import Record

MIN_DISTINCT_FOR_OFFSET = 4
SAME_SIZE_RATIO = 1.05  # runs of one rung may be charged a step more or less
Variable = Literal["parameters", "compute"]
VARIABLES: dict[Variable, str] = {
    "parameters": "N counts the weights that enter matrix products, the head included",
    "compute": "C counts the FLOPs charged by the end of the run, head and attention included",
}

Intervals = dict[str, tuple[float, float]]


class PowerLawFit(Result):
    """L(x) = offset + coefficient * x^-exponent (E, A, alpha), in the units of the given loss.

    Attributes:
        has_offset: False where too few distinct x were given to tell an offset; it is 0 then.
        intervals: 95 % percentile bootstrap by name; empty without bootstrap.
        num_distinct: sizes, those within 5 % counted once.
        rmse_log: root mean square of log L_fitted - log L.
        draws: bootstrap fits as (offset, coefficient, exponent).
        warnings: what a reader must know before trusting the numbers.
    """

    offset: float
    coefficient: float
    exponent: float
    has_offset: bool
    intervals: Intervals
    delta: float
    num_points: int
    num_distinct: int
    rmse_log: float
    x: tuple[float, ...]
    loss: tuple[float, ...]
    draws: tuple[tuple[float, float, float], ...]
    warnings: tuple[str, ...]

    def predict(self, x: ArrayLike) -> Floats:
        """Loss at x, same shape."""
        return self.offset + self.coefficient * np.asarray(x, dtype=np.float64) ** -self.exponent

    def band(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """95 % bootstrap band of the law (not of single runs) at x, low and high, same shape.

        Raises:
            FitError: the law was fitted without bootstrap.
        """
        if not self.draws:
            raise FitError("the law has no band", got="a fit without bootstrap")
        x = np.asarray(x, dtype=np.float64)
        offset, coefficient, exponent = np.array(self.draws).T[:, :, None]
        low, high = np.quantile(offset + coefficient * x.ravel() ** -exponent, (0.025, 0.975), 0)
        return low.reshape(x.shape), high.reshape(x.shape)


class ChinchillaFit(Result):
    """L(N, D) = offset + parameter_coefficient N^-parameter_exponent + the same of tokens D.

    In the paper's letters E, A, alpha, B, beta. `compute_exponent` is a = beta / (alpha + beta):
    the best N grows as C^a. `intervals` by name, empty without bootstrap.
    """

    offset: float
    parameter_coefficient: float
    parameter_exponent: float
    token_coefficient: float
    token_exponent: float
    compute_exponent: float
    intervals: Intervals
    num_points: int
    rmse_log: float


class LawFit(Result):
    """One law of one arm. `law` is None where none can be fitted, and `reason` says why.

    Attributes:
        variable: what x is; `convention` says how it is counted.
        schedule: of the rate, where the study has several.
    """

    arm: str
    variable: Variable
    convention: str
    measure: str
    name: str
    law: PowerLawFit | None
    reason: str | None = None
    schedule: str | None = None

    def __str__(self) -> str:
        """One line for people: the law, its exponent's interval, what it rests on."""
        symbol = "N" if self.variable == "parameters" else "C"
        arm = cell_name(self.arm, self.schedule)
        if self.law is None:
            return f"{arm}: no L({symbol}): {self.reason}"
        law = self.law
        offset = f"{law.offset:.4g} + " if law.has_offset else ""
        interval = ""
        if "exponent" in law.intervals:
            interval = f" (exponent {exponent_interval(law)}, 95 %)"
        warnings = "".join(f"; {warning}" for warning in law.warnings)
        return (
            f"{arm}: L({symbol}) = {offset}{law.coefficient:.4g} "
            f"{symbol}^-{law.exponent:.4f}{interval}, {law.num_points} runs of "
            f"{law.num_distinct} sizes{warnings}"
        )


def exponent_interval(law: PowerLawFit) -> str:
    """The 95 % interval of the exponent in words; an end at the bound of the search is open."""
    if "exponent" not in law.intervals:
        return ""
    low, high = law.intervals["exponent"]
    is_low_open, is_high_open = (_is_at_bound(end) for end in (low, high))
    if is_low_open and is_high_open:
        return "not bounded by the data"
    if is_low_open:
        return f"below {high:.3f}, no lower end found"
    return f"above {low:.3f}, no upper end found" if is_high_open else f"{low:.3f} to {high:.3f}"


def _is_at_bound(exponent: float) -> bool:
    return min(abs(math.log(exponent / bound)) for bound in EXPONENT_BOUNDS) < 1e-3


def fit(
    records: Iterable[Record],
    *,
    measure: str = "bits_per_byte",
    name: str = "all",
    num_bootstrap: int = 200,
    seed: int = 0,
) -> list[LawFit]:
    """Loss at the run's end over parameters, L(N), and over charged FLOPs, L(C), for every arm.

    Every run is a point; schedules of the rate have laws of their own. Unfinished runs and values
    that are not finite are left out.
    """
    points: dict[tuple[str, str | None], list[tuple[float, float, float]]] = {}
    for record in records:
        operation = record.spec.operation
        if operation.budget_multiple != 1 or operation.is_tuned:
            continue
        table = tables.evaluations(record, record.outcome)
        finals = table.filter(measure=measure, name=name).sort("step")["value"]
        if record.finish is not None and len(finals) and finals[-1] is not None:
            size = float(num_matmul_parameters(record.spec.shape))
            point = (size, float(record.finish["flops"]), float(finals[-1]))
            points.setdefault((record.spec.arm, operation.schedule), []).append(point)
    laws = []
    for (arm, schedule), found in points.items():
        sizes, flops, losses = np.array(sorted(found)).T
        for variable, x in zip(VARIABLES, (sizes, flops), strict=True):
            law, reason = None, None
            try:
                if variable == "parameters":
                    _require_budgets(sizes, flops)
                with threadpool_limits(1):  # so small a search gains nothing by threads, and waits
                    law = fit_power_law(x, losses, num_bootstrap=num_bootstrap, seed=seed)
            except FitError as error:
                reason = str(error)
            place = {"arm": arm, "schedule": schedule, "measure": measure, "name": name}
            about = {"variable": variable, "convention": VARIABLES[variable]}
            laws.append(LawFit.model_validate(place | about | {"law": law, "reason": reason}))
    return laws


def _require_budgets(sizes: Floats, flops: Floats) -> None:
    """Refuse L(N) over runs that all spent the same: the larger ones then read fewer tokens.

    Raises:
        FitError: naming what to do.
    """
    if len(set(sizes)) > 1 and flops.max() <= SAME_SIZE_RATIO * flops.min():
        raise FitError(
            "no law of size from runs of equal FLOPs, in which a larger network reads fewer tokens",
            expected="a budget in tokens, or in tokens a parameter",
            got=f"{flops.max():.3g} FLOPs at every size",
        )


def laws_to_json(laws: Sequence[LawFit]) -> str:
    """Laws with the data they were fitted on, intervals and diagnostics."""
    return TypeAdapter(list[LawFit]).dump_json(list(laws), indent=1).decode()


def fit_power_law(
    x: ArrayLike,
    loss: ArrayLike,
    *,
    delta: float = 1e-3,
    num_bootstrap: int = 200,
    seed: int = 0,
) -> PowerLawFit:
    """Fit L(x) = E + A x^-alpha.

    The bootstrap keeps every x and resamples the residuals, pooled over all points. With a handful
    of sizes and two or three seeds each, resampling points would lose whole sizes, and resampling
    seeds within a size sees hardly any spread. For few points the residuals are widened: by
    sqrt(n / df), df = n - number of constants, and by Student's t quantile over the normal's (the
    small-sample correction of Hesterberg 2015, arXiv 1411.5279, applied to residuals).

    Args:
        x: positive, [points]; the seeds of one rung repeat its x.
        loss: positive, [points].
        delta: where Huber turns from square to absolute, in log loss.
        num_bootstrap: 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        FitError: fewer than two distinct x, or numbers that are not positive and finite.
    """
    x, loss = _points(x=x, loss=loss)
    num_distinct = 1 + int((np.diff(np.sort(np.log(x))) > math.log(SAME_SIZE_RATIO)).sum())
    if num_distinct < 2:
        raise FitError(
            "no law from one size",
            expected="at least 2 values of x more than 5 % apart",
            got=f"{num_distinct}",
        )
    has_offset = num_distinct >= MIN_DISTINCT_FOR_OFFSET
    centre = float(np.log(x).mean())  # at the centre, coefficient and exponent hardly trade off
    powers = SumOfPowers(np.log(x)[None] - centre, np.log(loss), delta, has_offset)
    theta = powers.solve(_starts(loss))
    residuals = powers.residuals(theta)
    degrees_of_freedom = max(1, len(x) - 2 - has_offset)
    widened = residuals * math.sqrt(len(x) / degrees_of_freedom)
    widened *= t_factor(degrees_of_freedom) / t_factor(math.inf)
    fitted = powers.log_loss_P + residuals
    generator = np.random.default_rng(seed)
    resamples = (fitted - generator.choice(widened, len(x)) for _ in range(num_bootstrap))
    refits = (replace(powers, log_loss_P=y).descend(theta) for y in resamples)
    draws = [_constants(refitted, centre) for _, refitted in refits]
    names = ("offset", "coefficient", "exponent") if has_offset else ("", "coefficient", "exponent")
    intervals = _intervals(names, draws)
    offset, coefficient, exponent = _constants(theta, centre)
    return PowerLawFit(
        offset=offset,
        coefficient=coefficient,
        exponent=exponent,
        has_offset=has_offset,
        intervals=intervals,
        delta=delta,
        num_points=len(x),
        num_distinct=num_distinct,
        rmse_log=_root_mean_square(residuals),
        x=tuple(x),
        loss=tuple(loss),
        draws=tuple(draws),
        warnings=tuple(_warnings(x, loss, (offset, exponent), intervals, num_distinct)),
    )


def _starts(loss: Floats) -> Floats:
    """Starts [starts, 3] for x centred in the logarithm: there the coefficient is L - E."""
    offsets = loss.min() * np.array([0.05, 0.3, 0.6, 0.8, 0.9, 0.97])
    exponents = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    middle = float(np.median(loss))
    return np.array(
        [
            (math.log(offset), math.log(middle - offset) + shift, exponent)
            for offset, exponent, shift in itertools.product(offsets, exponents, (-0.3, 0.0, 0.3))
        ]
    )


def _constants(theta: Floats, centre: float) -> tuple[float, float, float]:
    """(E, A, alpha) for x as given."""
    offset, at_centre, exponent = (float(value) for value in theta)
    return math.exp(offset), math.exp(at_centre + exponent * centre), exponent


def _warnings(
    x: Floats,
    loss: Floats,
    constants: tuple[float, float],
    intervals: Intervals,
    num_distinct: int,
) -> Iterator[str]:
    offset, exponent = constants
    if num_distinct < MIN_DISTINCT_FOR_OFFSET:
        yield (
            f"only {num_distinct} sizes: an offset cannot be told, so none was fitted (E = 0) and "
            "the exponent is too small if the loss has a floor"
        )
    elif offset < 0.01 * loss.min():
        yield "the offset came out at zero: the data do not show a floor of the loss"
    if len(x) <= 2 + (num_distinct >= MIN_DISTINCT_FOR_OFFSET):
        yield "as many constants as points: the fit is exact and its intervals mean nothing"
    if _is_at_bound(exponent):
        yield f"the exponent is at the bound of what is searched ({exponent:g})"
    if x.max() / x.min() < 10:
        yield f"the sizes span a factor of {x.max() / x.min():.2g}, less than a decade"
    for name, (low, high) in intervals.items():
        if name == "exponent" and (_is_at_bound(low) or _is_at_bound(high)):
            yield (
                "an end of the exponent's interval is the bound of what is searched "
                f"({EXPONENT_BOUNDS[0]:g} to {EXPONENT_BOUNDS[1]:g}), not evidence"
            )
        elif high > 10 * max(low, 0.0):
            yield f"the interval of the {name} spans more than a decade: {low:.3g} to {high:.3g}"


def fit_chinchilla(
    parameters: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    delta: float = 1e-3,
    num_bootstrap: int = 0,
    seed: int = 0,
) -> ChinchillaFit:
    """Fit L(N, D) = E + A / N^alpha + B / D^beta, all arrays [points], positive.

    The grid of starts is the paper's; the bootstrap resamples points and starts at the optimum, as
    arXiv 2404.10102 does.

    Raises:
        FitError: fewer than six points, or numbers that are not positive and finite.
    """
    parameters, tokens, loss = _points(parameters=parameters, tokens=tokens, loss=loss)
    if len(loss) < 6:
        raise FitError("too few points for five constants", expected="6", got=f"{len(loss)}")
    powers = SumOfPowers(np.log([parameters, tokens]), np.log(loss), delta)
    exponents, coefficients = (0, 0.5, 1, 1.5, 2), range(0, 30, 5)
    power = list(itertools.product(coefficients, exponents))
    starts = itertools.product((-1, -0.5, 0, 0.5, 1), power, power)
    theta = powers.solve(np.array([(e, *first, *second) for e, first, second in starts]))
    generator = np.random.default_rng(seed)
    choices = (generator.integers(len(loss), size=len(loss)) for _ in range(num_bootstrap))
    draws = [_chinchilla_constants(powers.chosen(rows).descend(theta)[1]) for rows in choices]
    constants = _chinchilla_constants(theta)
    names = list(ChinchillaFit.model_fields)[: len(constants)]
    return ChinchillaFit(
        **dict(zip(names, constants, strict=True)),
        intervals=_intervals(names, draws),
        num_points=len(loss),
        rmse_log=_root_mean_square(powers.residuals(theta)),
    )


def _chinchilla_constants(theta: Floats) -> tuple[float, ...]:
    e, a, alpha, b, beta = (float(value) for value in theta)
    return math.exp(e), math.exp(a), alpha, math.exp(b), beta, beta / (alpha + beta)


def _points(**values: ArrayLike) -> list[Floats]:
    """The arrays as [points]: positive, finite and of one length."""
    arrays = {what: np.asarray(them, dtype=np.float64).ravel() for what, them in values.items()}
    for what, array in arrays.items():
        wrong = array[~(np.isfinite(array) & (array > 0))]
        if wrong.size:
            raise FitError(f"{what} must be positive and finite", got=f"{wrong[0]}")
    lengths = [len(array) for array in arrays.values()]
    if len(set(lengths)) > 1:
        got = ", ".join(map(str, lengths))
        raise FitError("a point lacks a number", expected="equal lengths", got=got)
    return list(arrays.values())


def _intervals(names: Sequence[str], draws: Sequence[tuple[float, ...]]) -> Intervals:
    if not draws:
        return {}
    ends = np.quantile(np.array(draws), (0.025, 0.975), axis=0).T
    return {name: (float(a), float(b)) for name, (a, b) in zip(names, ends, strict=True) if name}


def _root_mean_square(residuals: Floats) -> float:
    return float(np.sqrt((residuals**2).mean()))
