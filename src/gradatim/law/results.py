"""Finished runs as the comparison needs them, and the proof that they may be compared.

Runs may be compared when they agree in all but arm, seed and recipe, were charged the same FLOPs
to within one step, and were evaluated at their end. A control is believed by its recipe, not by
its name alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gradatim.compute import num_matmul_parameters
from gradatim.errors import MismatchError, RecordError
from gradatim.files import hash_json
from gradatim.law.comparison import Arm, SameBlocks
from gradatim.law.text import Blocks
from gradatim.record import naming
from gradatim.record.naming import cell_name
from gradatim.record.read import RAW_WEIGHTS, Record
from gradatim.record.spec import RunSpec

Measured = tuple[str, str]  # measure and name, such as ("bits_per_byte", "band/1")
Run = tuple[str, str, int]  # arm, rung, seed
Place = tuple[float, str, int]  # multiple of the budget, rung, seed

BALANCED = "balanced"
"""Beside the slices of a kind, their plain mean: `balanced/level`, else by source, else by band."""

_STEP_TOLERANCE = 1.001  # one step, and the rounding of a sum of steps
_KINDS = ("level", "source", "band")


@dataclass(frozen=True)
class Result:
    """One finished run, at its end. Values that are not finite are left out.

    Attributes:
        blocks: its held-out blocks one by one, where it kept them.
        fed: share of every slice in all that was drawn, and in the last quarter of it.
    """

    record: Record
    finish: Mapping[str, Any]
    finals: dict[Measured, float]
    chances: dict[Measured, float | None]
    blocks: Blocks | None
    fed: Mapping[str, Mapping[str, float]]

    @property
    def step_flops(self) -> float:
        """FLOPs of the dearest step, where the run says so; else the mean of all."""
        mean = float(self.finish["flops"]) / max(1, int(self.finish["step"]))
        return float(self.finish.get("largest_step_flops") or mean)


def describe(run: Run, multiple: float = 1.0, schedule: str | None = None) -> str:
    """A run in words."""
    arm, rung, seed = run
    return naming.describe(cell_name(arm, schedule), rung, seed, multiple)


def by_schedule(
    records: Sequence[Record], schedules: Sequence[str]
) -> dict[str | None, list[Record]]:
    """Records by the rate schedule of their runs; of no name where their study has one for all.

    Args:
        schedules: in their order; by default that of the records.

    Raises:
        MismatchError: some have a schedule and some have none.
    """
    found: dict[str | None, list[Record]] = {name: [] for name in schedules}
    for record in records:
        found.setdefault(record.spec.operation.schedule, []).append(record)
    if None in found and len(found) > 1:
        raise MismatchError(
            "a run that belongs to no schedule, beside runs that do",
            where=str(found[None][0].folder) if found[None] else "records",
            remedy="Compare the records of one study at a time",
        )
    return {name: them for name, them in found.items() if them} or {None: []}


def read_results(
    records: Sequence[Record], baseline: str, weights: str | None = None
) -> tuple[dict[Run, Result], dict[Place, Result], set[tuple[Run, float]]]:
    """Finished runs, by arm, rung and seed; the baseline's at other budgets; which are unfinished.

    The unfinished come with their multiple of the budget.

    Args:
        records: of one schedule.
        weights: whose evaluations are read, the raw ones or those of an average; by default those
            that each run hands out.

    Raises:
        MismatchError: two records of one run.
        RecordError: a run was not evaluated at its end, or never with these weights.
    """
    results: dict[Run, Result] = {}
    at_other_budgets: dict[Place, Result] = {}
    unfinished = set()
    first: dict[tuple[Run, float], Record] = {}
    for record in sorted(records, key=lambda r: (r.spec.arm, r.spec.rung, r.spec.seed)):
        multiple = record.spec.operation.budget_multiple
        if multiple != 1 and record.spec.arm != baseline:
            continue
        run = (record.spec.arm, record.spec.rung, record.spec.seed)
        if record.finish is None:
            unfinished.add((run, multiple))
            continue
        if (run, multiple) in first:
            raise MismatchError(
                f"a second record of {describe(run, multiple, record.spec.operation.schedule)}",
                where=str(record.folder),
                got=f"the first in {first[run, multiple].folder}",
                remedy="Compare the records of one study at a time",
            )
        first[run, multiple] = record
        result = _result(record, record.finish, weights or record.outcome)
        if multiple == 1:
            results[run] = result
        else:
            at_other_budgets[multiple, run[1], run[2]] = result
    return results, at_other_budgets, unfinished - first.keys()


def _result(record: Record, finish: Mapping[str, Any], weights: str) -> Result:
    evaluations = record.evaluations(weights)
    if not evaluations and weights != RAW_WEIGHTS:
        raise RecordError(
            f"no average of the weights {weights!r} was evaluated",
            where=str(record.folder),
            expected=f"an average called {weights} in every run that is compared",
            got=", ".join((RAW_WEIGHTS, *record.averages)),
            remedy="Compare weights that all runs have, or each run by what it hands out",
        )
    last_flops = max((event["flops"] for event in evaluations), default=None)
    step_flops = finish["flops"] / max(1, finish["step"])
    if last_flops is None or finish["flops"] - last_flops > _STEP_TOLERANCE * step_flops:
        raise RecordError(
            "the end of the run was not evaluated",
            where=str(record.folder),
            expected=f"an evaluation at {finish['flops']:.4g} FLOPs",
            got="none" if last_flops is None else f"the last at {last_flops:.4g}",
        )
    last = next(event for event in reversed(evaluations) if event["flops"] == last_flops)
    values: dict[Measured, float | None] = {
        ("bits_per_byte", name): value for name, value in last["bits_per_byte"].items()
    }
    values |= _balanced(last["bits_per_byte"])
    chances: dict[Measured, float | None] = {}
    for name, scores in (last.get("tasks") or {}).items():
        for measure in ("accuracy", "probability"):
            values[measure, name] = scores[measure]
            chances[measure, name] = scores["chance"]
    finals = {measured: value for measured, value in values.items() if value is not None}
    return Result(record, finish, finals, chances, Blocks.of(last), finish.get("fed") or {})


def _balanced(values: Mapping[str, float | None]) -> dict[Measured, float | None]:
    for kind in _KINDS:
        names = [name for name in values if name.startswith(f"{kind}/")]
        known = [value for name in names if (value := values[name]) is not None]
        if len(known) > 1:
            mean = math.fsum(known) / len(known) if len(known) == len(names) else None
            return {("bits_per_byte", f"{BALANCED}/{kind}"): mean}
    return {}


def rungs_by_size(results: Mapping[Run, Result]) -> tuple[str, ...]:
    """Names of the rungs, by parameters in matrix products, then by budget."""
    specs = {rung: result.record.spec for (_, rung, _), result in results.items()}
    sizes = {
        rung: (num_matmul_parameters(spec.shape), spec.budget_flops, rung)
        for rung, spec in specs.items()
    }
    return tuple(sorted(sizes, key=lambda rung: sizes[rung]))


def require_comparable(
    results: Mapping[Run, Result], at_other_budgets: Mapping[Place, Result], baseline: str
) -> None:
    """Refuse runs that differ in more than arm, seed and recipe, or in the compute charged.

    Raises:
        MismatchError: naming the two runs and what differs.
    """
    anyone = next(iter(results))
    first_of_rung: dict[str, Run] = {}
    first_of_arm: dict[tuple[str, str], Run] = {}
    for run, result in results.items():
        what = _named(run, result)
        among = (what, _named(anyone, results[anyone]))
        _require_same(result, results[anyone], among, ("store", "evaluation"))
        rung_mate = first_of_rung.setdefault(run[1], run)
        among = (what, _named(rung_mate, results[rung_mate]))
        _require_same(result, results[rung_mate], among, _fields_but("seed", "recipe"))
        twin = first_of_arm.setdefault(run[:2], run)
        among = (what, _named(twin, results[twin]))
        _require_same(result, results[twin], among, ("recipe",))
        charged_flops = float(results[rung_mate].finish["flops"])
        step_flops = max(result.step_flops, results[rung_mate].step_flops)
        if abs(result.finish["flops"] - charged_flops) > _STEP_TOLERANCE * step_flops:
            raise MismatchError(
                f"unequal compute: {what} against {_named(rung_mate, results[rung_mate])}",
                where=str(result.record.folder),
                expected=f"{charged_flops:.6g} FLOPs charged, to within one step",
                got=f"{result.finish['flops']:.6g}",
            )
    for (multiple, rung, seed), result in at_other_budgets.items():
        if (baseline, rung) in first_of_arm:
            twin = first_of_arm[baseline, rung]
            what = describe((baseline, rung, seed), multiple)
            among = (what, describe(twin))
            _require_same(result, results[twin], among, _fields_but("seed", "budget_flops"))
            expected = multiple * results[twin].record.spec.budget_flops
            if not math.isclose(result.record.spec.budget_flops, expected, rel_tol=1e-6):
                raise MismatchError(
                    f"another budget: {what}",
                    where=str(result.record.folder),
                    expected=f"{expected:.6g} FLOPs",
                    got=f"{result.record.spec.budget_flops:.6g}",
                )


def require_crossed(first: Mapping[Run, Result], other: Mapping[Run, Result]) -> None:
    """Refuse results under two schedules of which a rung, or an arm, differs in more than the rate.

    Raises:
        MismatchError: naming the two runs and what differs.
    """
    _require_mates(first, other, _fields_but("seed", "recipe"))


def require_tuned(shared: Mapping[Run, Result], tuned: Mapping[Run, Result]) -> None:
    """Refuse runs under an arm's own best settings that differ in more than rate and weight decay.

    Raises:
        MismatchError: naming the two runs and what differs.
    """
    _require_mates(shared, tuned, _fields_but("seed", "recipe", "optimizer"))


def _require_mates(
    first: Mapping[Run, Result], other: Mapping[Run, Result], fields_of_rung: tuple[str, ...]
) -> None:
    """Compare each of the others with one of the first at its rung, and with one of its arm."""
    at_rung = {run[1]: run for run in first}
    of_arm = {run[0]: run for run in first}
    for run, result in other.items():
        for fields, mate in (
            (fields_of_rung, at_rung.get(run[1])),
            (("recipe beside the rate",), of_arm.get(run[0])),
        ):
            if mate is not None:
                among = (_named(run, result), _named(mate, first[mate]))
                _require_same(result, first[mate], among, fields)


def _named(run: Run, result: Result) -> str:
    operation = result.record.spec.operation
    cell = cell_name(run[0], operation.schedule, is_tuned=operation.is_tuned)
    return naming.describe(cell, run[1], run[2])


@cache
def _fields_but(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in RunSpec.model_fields if name not in (*left_out, "operation"))


def _require_same(
    result: Result, other: Result, among: tuple[str, str], fields: tuple[str, ...]
) -> None:
    mine, theirs = result.record.spec, other.record.spec
    differing = [name for name in fields if _content(mine, name) != _content(theirs, name)]
    if differing:
        raise MismatchError(
            f"{among[0]} and {among[1]} differ in {', '.join(differing)}",
            where=str(result.record.folder),
            expected="runs of one study, which differ in arm, seed and recipe alone",
            remedy="Run them again as one study",
        )


def _content(spec: RunSpec, name: str) -> Any:
    if name == "recipe beside the rate":
        return spec.recipe.model_dump(exclude={"rate"})
    return spec.store.fingerprint if name == "store" else getattr(spec, name)


def arms_of(results: Mapping[Run, Result], baseline: str) -> tuple[tuple[Arm, ...], list[str]]:
    """Baseline, then every method with its controls; and a clause for every false control.

    A record says whether its arm is a control. It is believed where its recipe is the method's but
    for one timeline, whose `control` says the kind.
    """
    specs = {arm: result.record.spec for (arm, _, _), result in results.items()}
    arms, doubts = [], []
    for name, spec in specs.items():
        control = spec.operation.control
        beside_data = hash_json(spec.recipe.model_dump(mode="json", exclude={"data"}))
        arm = Arm(name=name, beside_data=beside_data)
        if control is None or control.of not in specs:
            arms.append(arm)
        elif specs[control.of].recipe.controls().get(control.kind) == spec.recipe:
            arms.append(arm.model_copy(update={"control": control.kind, "method": control.of}))
        else:
            arms.append(arm)
            doubts.append(
                f"{name} is no {control.kind} control of {control.of}: its recipe says otherwise, "
                "so it counts as a method of its own"
            )
    order = {"": 0, "shuffled": 1, "reversed": 2}
    arms.sort(key=lambda a: (a.name != baseline, a.method or a.name, order.get(a.control or "", 3)))
    return tuple(arms), doubts


def changed_conditions(results: Mapping[Run, Result]) -> list[str]:
    """A clause for every run that was resumed under other conditions than it began with."""
    return [
        f"{_named(run, result)} was resumed with {', '.join(changed)}, so its last bits are not "
        "those of an undisturbed run"
        for run, result in results.items()
        if (changed := result.record.changed_conditions())
    ]


def same_blocks(results: Mapping[Run, Result], rungs: Sequence[str]) -> Iterator[SameBlocks]:
    """Which arms saw the same multiset of blocks, by rung and seed, from the finish events."""
    hashes: dict[tuple[str, int], dict[str, list[str]]] = {}
    for (arm, rung, seed), result in results.items():
        multiset = result.finish.get("multiset_hash")
        if multiset is not None:
            hashes.setdefault((rung, seed), {}).setdefault(multiset, []).append(arm)
    for rung, seed in sorted(hashes, key=lambda key: (rungs.index(key[0]), key[1])):
        groups = tuple(tuple(arms) for arms in hashes[rung, seed].values())
        yield SameBlocks(rung=rung, seed=seed, groups=groups)


def absent_runs(
    results: Mapping[Run, Result],
    unfinished: set[tuple[Run, float]],
    rungs: Sequence[str],
    measured: Measured,
    known: Sequence[str],
    schedule: str | None = None,
) -> list[str]:
    """A clause for every run that arms x rungs x seeds lack, or that has no finite final value.

    Runs of which `known` says something already are left out.
    """
    arms = sorted({arm for arm, _, _ in results})
    seeds = sorted({seed for _, _, seed in results})
    expected = {(arm, rung, seed) for arm in arms for rung in rungs for seed in seeds}
    clauses = []
    for run, multiple in sorted({(run, 1.0) for run in expected} | unfinished):
        if any(
            re.match(rf"{re.escape(describe(run, multiple, schedule))}(?!\d|, \S+ times)", text)
            for text in known
        ):
            continue
        if (run, multiple) in unfinished:
            clauses.append(f"{describe(run, multiple, schedule)} is unfinished")
        elif run not in results:
            clauses.append(f"{describe(run, 1.0, schedule)} has no record")
        elif measured not in results[run].finals:
            named = describe(run, 1.0, schedule)
            clauses.append(f"{named} has no finite final {' '.join(measured)}")
    return clauses
