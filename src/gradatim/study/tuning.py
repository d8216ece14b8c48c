"""Every arm's own best rate and weight decay, searched on short runs.

Which arm is ahead may flip with the rate, so an arm that is compared at one shared rate alone may
win because that rate suits it. Every arm, baseline and controls too, is therefore searched for at
every rung over the same grid: a short run each, on a share of the budget and a seed that is none of
the study's, and the least final held-out loss wins. It is measured on the held-out text of the
study, for all arms alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.compute import default_peak_rate
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec, run_id
from gradatim.record.tuning import Choice, Setting, Trial

Cell = tuple[str | None, str, str]  # schedule, rung and arm

Rates = Annotated[tuple[Annotated[float, Field(gt=0, le=1e3)], ...], Field(max_length=100)]
Decays = Annotated[tuple[Annotated[float, Field(ge=0, le=1e6)], ...], Field(max_length=100)]


class TuneSpec(BaseModel):
    """A search for every arm's own best settings at every rung.

    Args:
        rate: peaks to try; none keeps the study's.
        weight_decay: values to try; none keeps the study's.
        budget_fraction: share of a run's budget that each trial may spend. The default is ours.
        seed: of the trials; by default the one after the study's last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: Rates = ()
    weight_decay: Decays = ()
    budget_fraction: float = Field(default=0.25, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _something_to_choose_from(self) -> TuneSpec:
        for name, values in (("rate", self.rate), ("weight_decay", self.weight_decay)):
            if len(set(values)) < len(values) or len(values) == 1:
                shown = ", ".join(f"{value:g}" for value in values)
                raise ValueError(f"{name}: give two values or more, each once; got {shown}")
        if not self.rate and not self.weight_decay:
            raise ValueError("give a rate or a weight_decay to search over, two values or more")
        return self

    @property
    def num_trials(self) -> int:
        """Runs in the search for one arm at one rung."""
        return max(1, len(self.rate)) * max(1, len(self.weight_decay))

    def trial_seed(self, seeds: Sequence[int]) -> int:
        """The seed of all trials, beside the study's."""
        return max(seeds) + 1 if self.seed is None else self.seed


def shared_settings(run: RunSpec) -> tuple[float, float]:
    """Peak rate and weight decay of a run."""
    return run.recipe.rate.peak or default_peak_rate(run.shape), run.optimizer.weight_decay


def search(tune: TuneSpec, runs: Sequence[RunSpec]) -> dict[Cell, list[RunSpec]]:
    """The trials of every arm at every rung, in the order of the grid.

    Args:
        tune: what is searched.
        runs: of the study.
    """
    seeds = [run.seed for run in runs]
    found: dict[Cell, list[RunSpec]] = {}
    for run in runs:
        cell = _cell(run)
        if cell in found or run.operation.budget_multiple != 1:
            continue
        peak, decay = shared_settings(run)
        grid = {*itertools.product(tune.rate or [peak], tune.weight_decay or [decay])}
        grid.add((peak, decay))  # or an arm's best could be worse than what it has anyway
        found[cell] = [
            _trial(run, rate, weight_decay, tune, seed=tune.trial_seed(seeds))
            for rate, weight_decay in sorted(grid)
        ]
    return found


def _cell(run: RunSpec) -> Cell:
    return (run.operation.schedule, run.rung, run.arm)


def _with_settings(run: RunSpec, rate: float, weight_decay: float) -> RunSpec:
    rates = run.recipe.rate.model_copy(update={"peak": rate})
    recipe = run.recipe.model_copy(update={"rate": rates})
    optimizer = run.optimizer.model_copy(update={"weight_decay": weight_decay})
    return run.model_copy(update={"recipe": recipe, "optimizer": optimizer})


def _trial(run: RunSpec, rate: float, weight_decay: float, tune: TuneSpec, *, seed: int) -> RunSpec:
    named = f"{run.arm} at rate {rate:g}, weight decay {weight_decay:g}"
    only_end = {"num_points": 1, "num_tasks": 0, "num_samples": 0}
    return _with_settings(run, rate, weight_decay).model_copy(
        update={
            "seed": seed,
            "budget_flops": run.budget_flops * tune.budget_fraction,
            "evaluation": run.evaluation.model_copy(update=only_end),
            "operation": run.operation.model_copy(update={"arm": named}),
        }
    )


def choices(
    searched: Mapping[Cell, Sequence[RunSpec]],
    records: Mapping[str, Record],
    runs: Sequence[RunSpec],
) -> list[Choice]:
    """The best of every grid that was searched whole.

    Args:
        searched: the trials (`search`).
        records: of trials that have ended, by run id; one that stopped at a loss which is not
            finite has ended.
        runs: of the study.
    """
    shared = {_cell(run): shared_settings(run) for run in runs}
    found = []
    for cell, trials in searched.items():
        ended = [records.get(run_id(trial)) for trial in trials]
        told = [
            Trial(
                rate=rate,
                weight_decay=weight_decay,
                bits_per_byte=(record.finish or {}).get("final_bits_per_byte"),
            )
            for trial, record in zip(trials, ended, strict=True)
            if record is not None
            for rate, weight_decay in [shared_settings(trial)]
        ]
        known = [trial for trial in told if trial.bits_per_byte is not None]
        if len(told) < len(trials) or not known:
            continue
        best = min(known, key=lambda trial: trial.bits_per_byte or 0.0)
        rate, weight_decay = shared[cell]
        schedule, rung, arm = cell
        found.append(
            Choice(
                arm=arm,
                rung=rung,
                schedule=schedule,
                rate=best.rate,
                weight_decay=best.weight_decay,
                at_edge=_at_edge(best, told),
                is_shared=math.isclose(best.rate, rate)
                and math.isclose(best.weight_decay, weight_decay),
                flops=math.fsum(_spent(record) for record in ended if record is not None),
                trials=tuple(told),
            )
        )
    return found


def _at_edge(best: Trial, trials: Sequence[Trial]) -> tuple[Setting, ...]:
    names: tuple[Setting, ...] = ("rate", "weight_decay")
    found = []
    for name in names:
        values = {getattr(trial, name) for trial in trials}
        if len(values) > 1 and getattr(best, name) in (min(values), max(values)):
            found.append(name)
    return tuple(found)


def _spent(record: Record) -> float:
    last = record.finish or record.events("not_finite")[-1]
    return float(last["flops"])


def tuned_runs(runs: Sequence[RunSpec], found: Sequence[Choice]) -> list[RunSpec]:
    """The study's runs once more under the best settings of their arm, where these differ."""
    best = {(each.schedule, each.rung, each.arm): each for each in found if not each.is_shared}
    tuned = []
    for run in runs:
        choice = best.get(_cell(run))
        if choice is None or run.operation.budget_multiple != 1:
            continue
        more = {"is_tuned": True, "tuning_flops": choice.flops}
        operation = run.operation.model_copy(update=more)
        again = _with_settings(run, choice.rate, choice.weight_decay)
        tuned.append(again.model_copy(update={"operation": operation}))
    return tuned
