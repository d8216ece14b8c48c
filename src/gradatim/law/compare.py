"""Arms against the baseline and against their own controls, at equal compute, paired by seed.

Everything is read from records, which say what is a control of what. Intervals are per comparison.
Only the headline corrects for having looked at several methods (Holm's procedure over the methods
against the baseline); bands, levels, sources, tasks and single rungs are description, not claims.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradatim.errors import FitError
from gradatim.law.comparison import (
    HIGHER_IS_BETTER,
    Arm,
    Comparison,
    ComputeRatio,
    Difference,
    FinalScore,
    Noise,
    RungDifference,
    RungRatio,
    Verdict,
)
from gradatim.law.curve import Curve, log_compute_ratio
from gradatim.law.interval import (
    CONFIDENCE,
    Estimate,
    Values,
    estimates,
    holm,
    overall_scale,
    pooled_sd,
    smallest_detectable,
)
from gradatim.law.results import (
    Measured,
    Result,
    Run,
    absent_runs,
    arms_of,
    changed_conditions,
    read_results,
    require_comparable,
    rungs_by_size,
    same_blocks,
)
from gradatim.law.wording import findings, headline
from gradatim.record.read import Record

__all__ = ["Comparison", "compare"]


def compare(
    records: Iterable[Record],
    *,
    baseline: str = "uniform",
    measure: str = "bits_per_byte",
    name: str = "all",
) -> Comparison:
    """Compare every arm with the baseline, and every method with its own controls.

    Differences are paired by seed; their standard deviation is pooled over rungs (degrees of
    freedom: the sum over rungs of pairs - 1), since two or three seeds at one rung cannot give
    one. The noise floor is the scatter of the replicated baseline, pooled likewise. Runs that are
    missing or unfinished are listed, and the pairs that are there are used.

    Args:
        records: of one study; unfinished ones are listed as missing.
        baseline: the arm everything is compared with.
        measure: of the headline and of the compute ratio.
        name: which of the measure's values, such as `all` or `band/1`.

    Raises:
        FitError: no finished run of the baseline, or none that measured what is asked for.
        MismatchError: runs differ in more than arm, seed and recipe, or in the compute charged.
        RecordError: a run was not evaluated at its end.
    """
    results, unfinished = read_results(list(records))
    known = sorted({arm for arm, _, _ in results})
    if baseline not in known:
        raise FitError(
            f"no finished run of the baseline {baseline!r}",
            got=f"finished runs of {', '.join(known) or 'no arm'}",
        )
    if not any((measure, name) in result.finals for result in results.values()):
        names = sorted({" ".join(measured) for r in results.values() for measured in r.finals})
        raise FitError(
            f"no run measured {measure} {name}", got=f"{', '.join(names[:12]) or 'nothing'}"
        )
    require_comparable(results)
    rungs = rungs_by_size(results)
    arms, doubts = arms_of(results, baseline)
    study = _Study(results, rungs, baseline)
    pairs = _pairs(arms, baseline)
    differences = [
        study.difference(*pair, measured) for measured in study.measured for pair in pairs
    ]
    ratios = [study.ratio(*pair, (measure, name)) for pair in pairs]
    comparison = Comparison(
        baseline=baseline,
        measure=measure,
        name=name,
        arms=arms,
        rungs=rungs,
        finals=tuple(study.finals()),
        differences=tuple(_corrected(differences, arms, baseline, (measure, name))),
        ratios=tuple(ratio for ratio in ratios if ratio is not None),
        noise=tuple(study.noise(measured) for measured in study.measured),
        same_blocks=tuple(same_blocks(results, rungs)),
        missing=(
            *absent_runs(results, unfinished, rungs, (measure, name)),
            *doubts,
        ),
        conditions=tuple(changed_conditions(results)),
    )
    comparison = comparison.model_copy(update={"headline": headline(comparison)})
    return comparison.model_copy(update={"findings": tuple(findings(comparison))})


def _pairs(arms: Sequence[Arm], baseline: str) -> list[tuple[str, str]]:
    against_baseline = [(arm.name, baseline) for arm in arms if arm.name != baseline]
    against_controls = [(arm.method, arm.name) for arm in arms if arm.method is not None]
    return against_baseline + against_controls


@dataclass(frozen=True)
class _Study:
    """The finished runs, and the one machinery that every comparison of them uses."""

    results: Mapping[Run, Result]
    rungs: Sequence[str]
    baseline: str

    @property
    def measured(self) -> list[Measured]:
        """Everything any run measured, in the order of first appearance."""
        return list(dict.fromkeys(m for result in self.results.values() for m in result.finals))

    def _values(self, arm: str, rung: str, measured: Measured) -> dict[int, float]:
        """Final values by seed."""
        return {
            seed: result.finals[measured]
            for (its_arm, its_rung, seed), result in self.results.items()
            if (its_arm, its_rung) == (arm, rung) and measured in result.finals
        }

    def _chance(self, measured: Measured) -> float | None:
        chances = (result.chances.get(measured) for result in self.results.values())
        return next((chance for chance in chances if chance is not None), None)

    def finals(self) -> Iterator[FinalScore]:
        for measured in self.measured:
            chance = self._chance(measured)
            for arm, rung in dict.fromkeys(run[:2] for run in self.results):
                values = self._values(arm, rung, measured)
                if values:
                    yield FinalScore(
                        arm=arm,
                        rung=rung,
                        measure=measured[0],
                        name=measured[1],
                        chance=chance,
                        seeds=tuple(values),
                        values=tuple(values.values()),
                        mean=math.fsum(values.values()) / len(values),
                    )

    def _scatter(self, measured: Measured) -> tuple[float | None, int, list[int]]:
        """The baseline's pooled deviation, its degrees of freedom, and its seeds at each rung."""
        groups = [self._values(self.baseline, rung, measured) for rung in self.rungs]
        filled = [np.array(list(group.values())) for group in groups if group]
        return *pooled_sd(filled), [len(group) for group in filled]

    def noise(self, measured: Measured) -> Noise:
        sd, degrees_of_freedom, counts = self._scatter(measured)
        scale = overall_scale(counts) if counts else 1.0
        return Noise(
            measure=measured[0],
            name=measured[1],
            sd=sd,
            degrees_of_freedom=degrees_of_freedom,
            smallest_detectable=smallest_detectable(sd, degrees_of_freedom, scale),
        )

    def difference(self, arm: str, reference: str, measured: Measured) -> Difference:
        by_rung: dict[str, dict[int, float]] = {}
        for rung in self.rungs:
            mine = self._values(arm, rung, measured)
            theirs = self._values(reference, rung, measured)
            if shared := [seed for seed in mine if seed in theirs]:
                by_rung[rung] = {seed: mine[seed] - theirs[seed] for seed in shared}
        rungs, overall, smallest = self._judged(by_rung, measured)
        return Difference(
            arm=arm,
            reference=reference,
            measure=measured[0],
            name=measured[1],
            chance=self._chance(measured),
            rungs=tuple(rungs),
            overall=overall,
            smallest_detectable=smallest,
            verdict=_verdict(overall, smallest, measured),
        )

    def _judged(
        self, by_rung: Mapping[str, Mapping[int, float]], measured: Measured
    ) -> tuple[list[RungDifference], Estimate | None, float | None]:
        """Paired differences by rung and seed, with the rungs' and the overall estimate."""
        if not by_rung:
            return [], None, None
        by_group, overall = estimates(_arrays(by_rung))
        sd, degrees_of_freedom, _ = self._scatter(measured)
        rungs = []
        for rung, by_seed in by_rung.items():
            scale = overall_scale([len(by_seed)])
            smallest = smallest_detectable(sd, degrees_of_freedom, scale)
            rungs.append(
                RungDifference(
                    rung=rung,
                    seeds=tuple(by_seed),
                    by_seed=tuple(by_seed.values()),
                    estimate=by_group[rung],
                    smallest_detectable=smallest,
                    verdict=_verdict(by_group[rung], smallest, measured),
                )
            )
        scale = overall_scale([len(by_seed) for by_seed in by_rung.values()])
        return rungs, overall, smallest_detectable(sd, degrees_of_freedom, scale)

    def ratio(self, arm: str, reference: str, measured: Measured) -> ComputeRatio | None:
        by_rung: dict[str, dict[int, float]] = {}
        for (its_arm, rung, seed), result in self.results.items():
            other = self.results.get((reference, rung, seed))
            if its_arm == arm and other is not None:
                curves = [_as_loss(r.curves.get(measured), measured) for r in (result, other)]
                if curves[0] is not None and curves[1] is not None:
                    by_rung.setdefault(rung, {})[seed] = log_compute_ratio(curves[0], curves[1])
        if not by_rung:
            return None
        by_group, overall = estimates(_arrays(by_rung))
        rungs = tuple(
            RungRatio(
                rung=rung,
                seeds=tuple(by_rung[rung]),
                by_seed=tuple(math.exp(value) for value in by_rung[rung].values()),
                **_as_ratio(by_group[rung]),
            )
            for rung in self.rungs
            if rung in by_rung
        )
        verdict: Verdict = "not resolved" if overall.low is not None else "cannot be judged"
        if overall.excludes_zero:
            verdict = "better" if overall.mean < 0 else "worse"
        return ComputeRatio(
            arm=arm,
            reference=reference,
            rungs=rungs,
            **_as_ratio(overall),
            verdict=verdict,
        )


def _arrays(by_rung: Mapping[str, Mapping[int, float]]) -> dict[str, Values]:
    return {rung: np.array(list(by_seed.values())) for rung, by_seed in by_rung.items()}


def _as_ratio(logarithm: Estimate) -> dict[str, Any]:
    ends = {"ratio": logarithm.mean, "low": logarithm.low, "high": logarithm.high}
    return {name: None if end is None else math.exp(end) for name, end in ends.items()}


def _as_loss(curve: Curve | None, measured: Measured) -> Curve | None:
    if curve is None or measured[0] not in HIGHER_IS_BETTER:
        return curve
    return replace(curve, loss=-curve.loss)


def _verdict(estimate: Estimate | None, smallest: float | None, measured: Measured) -> Verdict:
    if estimate is None or estimate.low is None or smallest is None:
        return "cannot be judged"
    if not estimate.excludes_zero or abs(estimate.mean) < smallest:
        return "not resolved"
    is_better = (estimate.mean > 0) == (measured[0] in HIGHER_IS_BETTER)
    return "better" if is_better else "worse"


def _corrected(
    differences: Sequence[Difference], arms: Sequence[Arm], baseline: str, measured: Measured
) -> Iterator[Difference]:
    """The headline differences of the methods with Holm's p-values; the others as they are."""
    methods = {arm.name for arm in arms if arm.name != baseline and arm.control is None}
    family = {
        d.arm: d.overall.p_value
        for d in differences
        if d.arm in methods
        and (d.reference, d.measure, d.name) == (baseline, *measured)
        and d.overall is not None
        and d.overall.p_value is not None
    }
    adjusted = holm(family)
    for d in differences:
        if (d.reference, d.measure, d.name) != (baseline, *measured) or d.arm not in adjusted:
            yield d
            continue
        update: dict[str, object] = {"adjusted_p_value": adjusted[d.arm]}
        if adjusted[d.arm] > 1 - CONFIDENCE and d.verdict in ("better", "worse"):
            update["verdict"] = "not resolved"
        yield d.model_copy(update=update)
