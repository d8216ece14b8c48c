"""Arms against the baseline and against their own controls, at equal compute, paired by seed.

Everything is read from records, which say what is a control of what. What the answer claims
(methods against the baseline, methods against their controls, under every schedule) is corrected
together; slices and tasks are corrected among themselves; single rungs, and controls against the
baseline, are not claims and corrected for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gradatim.errors import FitError
from gradatim.law.claims import Claim, adjusted_p_values, causes_of, corrected, p_values_of
from gradatim.law.comparison import Arm, Comparison, Difference, Interaction
from gradatim.law.crossing import (
    crossing_sentences,
    effects_of,
    final_weights,
    interaction_claim,
    interactions,
    with_p_value,
)
from gradatim.law.paired import PairedRuns
from gradatim.law.power import effect_seen
from gradatim.law.results import (
    Measured,
    Run,
    absent_runs,
    arms_of,
    by_schedule,
    changed_conditions,
    read_results,
    require_comparable,
    require_crossed,
    rungs_by_size,
    same_blocks,
)
from gradatim.law.tuning import tuned_runs, tuning_sentences
from gradatim.law.wording import answer, findings
from gradatim.record.read import Record
from gradatim.record.tuning import Choice

__all__ = ["Comparison", "compare"]


def compare(
    records: Iterable[Record],
    *,
    baseline: str = "uniform",
    measure: str = "bits_per_byte",
    name: str = "all",
    missing: Sequence[str] = (),
    weights: str | None = None,
    schedules: Sequence[str] = (),
    choices: Sequence[Choice] = (),
) -> Comparison:
    """Compare every arm with the baseline, and every method with its own controls.

    Differences are paired by seed, with the scatter of all arms of a rung behind their intervals
    (`interval`). Runs that are missing or unfinished are listed, and the pairs that are there are
    used. Under several schedules of the rate, arms are compared under each, and how differences
    change with the schedule is compared too (`crossing`).

    Args:
        records: of one study; unfinished ones are listed as missing.
        baseline: the arm everything is compared with.
        measure: of the headline and of the compute ratio.
        name: which of the measure's values, such as `all` or `band/1`.
        missing: a sentence for every run that is known to be missing, and why; begins as
            `results.describe` does.
        weights: which weights are judged, `weights` or the name of an average; by default those
            that each run hands out at its end.
        schedules: of the rate, in their order; by default that of the records.
        choices: every arm's own best settings, where they were searched.

    Raises:
        FitError: no finished run of the baseline, or none that measured what is asked for.
        MismatchError: runs differ in more than arm, seed and recipe, or in the compute charged.
        RecordError: a run was not evaluated at its end, or has no such average of the weights.
    """
    every, main = list(records), (measure, name)
    records = [record for record in every if not record.spec.operation.is_tuned]
    parts = {
        schedule: _Part.of(of_schedule, schedule, baseline, main, weights)
        for schedule, of_schedule in by_schedule(records, schedules).items()
    }
    tuned = {schedule: _tuned(part, every, choices, weights) for schedule, part in parts.items()}
    first, *others = parts.values()
    for other in others:
        require_crossed(first.runs.results, other.runs.results)
    arms = dict.fromkeys(arm.name for part in parts.values() for arm in part.arms)
    crossed = interactions(
        {str(schedule): part.runs for schedule, part in parts.items()},
        [arm for arm in arms if arm != baseline],
        baseline,
        main,
    )
    adjusted = _adjusted(parts, crossed, baseline, main)
    tuned_adjusted = _adjusted(tuned, [], baseline, main)
    comparison, *rest = (
        part.comparison(adjusted, baseline, main, len(parts)).model_copy(
            update={
                "tuned": tuned[schedule].corrected(tuned_adjusted, baseline, main),
                "choices": tuple(each for each in choices if each.schedule == schedule),
            }
        )
        for schedule, part in parts.items()
    )
    absent = [
        clause
        for schedule, part in parts.items()
        for clause in (
            *absent_runs(
                part.runs.results, part.unfinished, part.runs.rungs, main, missing, schedule
            ),
            *part.doubts,
        )
    ]
    comparison = comparison.model_copy(
        update={
            "others": tuple(_worded(each) for each in rest),
            "interactions": tuple(
                with_p_value(each, adjusted.get(interaction_claim(each))) for each in crossed
            ),
            "averages": tuple(final_weights(records, comparison.rungs, list(arms))),
            "missing": (*missing, *dict.fromkeys(absent)),
        }
    )
    comparison = _worded(comparison)
    return comparison.model_copy(update={"crossing": tuple(crossing_sentences(comparison))})


def _tuned(
    part: _Part, records: Sequence[Record], choices: Sequence[Choice], weights: str | None
) -> _Part:
    """The same arms under their own best settings; no difference where none were searched."""
    own = [
        record
        for record in records
        if record.spec.operation.is_tuned and record.spec.operation.schedule == part.schedule
    ]
    results, _none, _unfinished = read_results(own, part.runs.baseline, weights)
    mine = [choice for choice in choices if choice.schedule == part.schedule]
    runs = tuned_runs(part.runs, results, mine)
    differences = (
        [
            runs.difference(d.arm, d.reference, (d.measure, d.name))
            for d in part.differences
            if (d.measure, d.name) == part.main
        ]
        if runs
        else []
    )
    return replace(part, differences=differences)


def _worded(comparison: Comparison) -> Comparison:
    comparison = comparison.model_copy(update={"robustness": tuple(tuning_sentences(comparison))})
    comparison = comparison.model_copy(update={"answer": tuple(answer(comparison))})
    return comparison.model_copy(update={"findings": tuple(findings(comparison))})


def _adjusted(
    parts: Mapping[str | None, _Part],
    crossed: Sequence[Interaction],
    baseline: str,
    main: Measured,
) -> dict[Claim, float]:
    """Corrected p-values of all that the answer claims, under all schedules."""
    causes: dict[Claim, list[Claim]] = {}
    p_values: dict[Claim, float] = {}
    for schedule, part in parts.items():
        causes |= causes_of(part.arms, baseline, schedule)
        p_values |= p_values_of(part.differences, main, schedule)
    for each in crossed:
        overall = each.difference.overall
        for effect in effects_of(each):
            if effect in causes and overall is not None and overall.p_value is not None:
                causes[effect].append(interaction_claim(each))
                p_values[interaction_claim(each)] = overall.p_value
    claims = {*causes, *(cause for found in causes.values() for cause in found)}
    claimed = {claim: p for claim, p in p_values.items() if claim in claims}
    return adjusted_p_values(claimed, causes)


@dataclass(frozen=True)
class _Part:
    """The runs under one schedule, and what they differ by, uncorrected."""

    schedule: str | None
    main: Measured
    runs: PairedRuns
    arms: Sequence[Arm]
    differences: Sequence[Difference]
    unfinished: set[tuple[Run, float]]
    doubts: Sequence[str]

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        schedule: str | None,
        baseline: str,
        main: Measured,
        weights: str | None,
    ) -> _Part:
        """Read and compare the records of one schedule; raises as `compare` does."""
        results, at_other_budgets, unfinished = read_results(records, baseline, weights)
        known = sorted({arm for arm, _, _ in results})
        if baseline not in known:
            raise FitError(
                f"no finished run of the baseline {baseline!r}"
                + (f" under {schedule}" if schedule else ""),
                got=f"finished runs of {', '.join(known) or 'no arm'}",
            )
        if not any(main in result.finals for result in results.values()):
            names = sorted({" ".join(measured) for r in results.values() for measured in r.finals})
            raise FitError(
                f"no run measured {' '.join(main)}", got=f"{', '.join(names[:12]) or 'nothing'}"
            )
        require_comparable(results, at_other_budgets, baseline)
        arms, doubts = arms_of(results, baseline)
        runs = PairedRuns(results, at_other_budgets, rungs_by_size(results), baseline)
        differences = [
            runs.difference(*pair, measured)
            for measured in runs.measured
            for pair in _pairs(arms, baseline)
        ]
        return cls(schedule, main, runs, arms, differences, unfinished, doubts)

    def corrected(
        self, adjusted: Mapping[Claim, float], baseline: str, main: Measured
    ) -> tuple[Difference, ...]:
        """The differences by corrected p-values."""
        return tuple(
            corrected(self.differences, adjusted, self.arms, baseline, main, self.schedule)
        )

    def comparison(
        self, adjusted: Mapping[Claim, float], baseline: str, main: Measured, num_schedules: int
    ) -> Comparison:
        """All that is known of these runs but words, and what is missing."""
        runs, arms, schedule = self.runs, self.arms, self.schedule
        differences = self.corrected(adjusted, baseline, main)
        ratios = [
            runs.ratio(d)
            for d in differences
            if (d.reference, d.measure, d.name) == (baseline, *main)
        ]
        return Comparison(
            baseline=baseline,
            measure=main[0],
            name=main[1],
            arms=tuple(arms),
            rungs=tuple(runs.rungs),
            finals=tuple(runs.finals()),
            differences=differences,
            ratios=tuple(ratio for ratio in ratios if ratio is not None),
            noise=tuple(runs.noise(main)),
            wild=runs.wild(main),
            effect_seen=_effect_seen(differences, arms, baseline, main, num_schedules),
            fed=tuple(runs.fed()),
            same_blocks=tuple(same_blocks(runs.results, runs.rungs)),
            missing=(),
            conditions=tuple(changed_conditions(runs.results)),
            schedule=schedule,
            num_schedules=num_schedules,
        )


def _pairs(arms: Sequence[Arm], baseline: str) -> list[tuple[str, str]]:
    against_baseline = [(arm.name, baseline) for arm in arms if arm.name != baseline]
    against_controls = [(arm.method, arm.name) for arm in arms if arm.method is not None]
    return against_baseline + against_controls


def _effect_seen(
    differences: Sequence[Difference],
    arms: Sequence[Arm],
    baseline: str,
    main: Measured,
    num_schedules: int,
) -> float | None:
    """With 80 % power, for the method that is known best; all methods share the level."""
    methods = {arm.name for arm in arms if arm.name != baseline and arm.control is None}
    found = [
        effect_seen(
            d.overall.standard_error,
            d.overall.degrees_of_freedom,
            num_methods=len(methods) * num_schedules,
        )
        for d in differences
        if d.arm in methods
        and (d.reference, d.measure, d.name) == (baseline, *main)
        and d.overall is not None
        and d.overall.standard_error is not None
    ]
    return min(found, default=None)
