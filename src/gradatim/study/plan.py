"""What a study will cost, before anything is spent.

Parameters, FLOPs, tokens and memory follow from the shapes. Time is measured (`timing`): steps and
forward passes of each network as its runs will make them, from which training, evaluation,
checkpoints and the start of a process add up.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from gradatim.blocks.inputs import total_bytes_of
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import TRAIN, Store
from gradatim.clock import TRAIN as TRAIN_ACCOUNT
from gradatim.clock import Clock, Stretch
from gradatim.compute import Shape, memory_bytes, num_matmul_parameters, num_parameters
from gradatim.evaluate.evaluator import TASK_POINTS, Evaluator
from gradatim.record.spec import RunSpec
from gradatim.study.check import named_arm
from gradatim.study.execute import ONE_THREAD_PARAMETERS, machine_slots
from gradatim.study.passes import ALIKE, most_passes, passes_by_label, passes_of, repetition_remarks
from gradatim.study.spec import StudySpec
from gradatim.study.timing import Pace, paces
from gradatim.study.tuning import search

SAMPLE_TOKENS = 60
"""As long as `evaluate.samples` writes."""

BUILD_BYTES_PER_SECOND = 0.5e6
"""Of text, on two cores: the demo's store took 5 to 8 seconds for 3 MB."""

BYTES_PER_TOKEN = 4.0
"""About, where no store is there to tell."""

TASK_TOKENS = 285
TASK_GROUPS = 12
"""Tokens of one task of the graded world with all its choices; its levels times splits."""

MANY_PASSES = 4.0
"""Beyond so many, repeated text teaches less and less (Muennighoff et al., arXiv 2305.16264)."""

WEIGHT_BYTES = 4
"""Of one weight of an average."""

FRAMEWORK_BYTES = 300 * 2**20
"""What a process holds before it has a network."""


@dataclass(frozen=True)
class PlannedRun:
    """One rung under one arm: the cost of a single seed.

    Attributes:
        budget_multiple: other than 1 for the baseline's runs on another budget than the arms'.
        schedule: of the rate, where the study has several.
        is_search: whether they are the trials of a search for the arm's best settings; `num_seeds`
            is how many.
        num_parameters: all of them, tied embeddings once.
        num_matmul_parameters: those in matrix products, the N of the laws.
        flops: charged by the end: the budget without the part of a step it leaves.
        tokens: what the budget trains on, whole steps only.
        num_steps: optimizer steps.
        memory_bytes: estimated peak of weights, gradients, optimizer and activations.
        passes: draws over the blocks of the training text; None where nobody can say yet.
        passes_by_label: the same for every level, source and band, where the store is built; of
            controls and of arms that draw by their losses nothing.
        most_passes: of an arm that draws by its losses, the part that it could read most often,
            and how often at most.
        seconds: expected on this machine, from the start of its process to its end.
        evaluation_seconds: the part of them that is spent on evaluation.
    """

    rung: str
    arm: str
    budget_multiple: float
    num_seeds: int
    num_parameters: int
    num_matmul_parameters: int
    flops: float
    tokens: int
    num_steps: int
    memory_bytes: int
    passes: float | None
    passes_by_label: dict[str, float]
    most_passes: tuple[str, float] | None
    seconds: float
    evaluation_seconds: float
    schedule: str | None = None
    is_search: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """Every run of a study with its cost, and the sum.

    Attributes:
        build_seconds: to build its store, where it is not there yet.
        remarks: sentences a reader should see below the table.
    """

    name: str
    runs: tuple[PlannedRun, ...]
    num_processes: int
    build_seconds: float
    remarks: tuple[str, ...]

    @property
    def num_runs(self) -> int:
        """Runs in the study, seeds counted."""
        return sum(run.num_seeds for run in self.runs)

    @property
    def flops(self) -> float:
        """FLOPs of all runs."""
        return sum(run.flops * run.num_seeds for run in self.runs)

    @property
    def seconds(self) -> float:
        """Expected wall-clock time on this machine with its processes side by side."""
        return self.build_seconds + _elapsed_seconds(self.runs, self.num_processes)

    @property
    def evaluation_share(self) -> float:
        """Share of the runs' time that evaluation takes."""
        whole = sum(run.seconds * run.num_seeds for run in self.runs)
        return sum(run.evaluation_seconds * run.num_seeds for run in self.runs) / whole

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        whole = {"num_runs": self.num_runs, "flops": self.flops, "seconds": self.seconds}
        return whole | {"evaluation_share": self.evaluation_share} | asdict(self)


def plan(
    spec: StudySpec, *, vocab_size: int, block_tokens: int, store: Store | None = None
) -> StudyPlan:
    """Cost every run of a study; trains nothing that stays.

    Args:
        spec: the study.
        vocab_size: of its store's tokenizer.
        block_tokens: tokens in one block of its store.
        store: where it is built already; what arms pay for scores beside it is taken off.

    Raises:
        SpecError: a budget that does not pay for a step.
        StoreError: an arm uses scores that are not beside the store.
    """
    if store is not None:
        runs = spec.runs(store)
    else:
        runs = spec.runs_before_store(vocab_size=vocab_size, context_tokens=block_tokens)
    all_runs, runs = runs, [run for run in runs if run.seed == spec.seeds[0]]
    clocks = [_clock(run) for run in runs]
    shapes: dict[Shape, RunSpec] = {}
    for run, clock in zip(runs, clocks, strict=True):
        for stretch in clock.stretches:
            shapes.setdefault(stretch.shape, run.model_copy(update={"shape": stretch.shape}))
    pace_of = paces(list(shapes.values()))
    tokens_at = _evaluation_tokens(spec, block_tokens, store)
    num_blocks = _training_blocks(spec, block_tokens, store)
    planned = tuple(
        _planned(run, clock, pace_of, tokens_at, num_blocks, len(spec.seeds), store)
        for run, clock in zip(runs, clocks, strict=True)
    )
    if spec.tune is not None:
        for (_, _, arm), trials in search(spec.tune, all_runs).items():
            run, num_trials = trials[0], len(trials)
            cost = _planned(run, _clock(run), pace_of, tokens_at, num_blocks, num_trials, store)
            planned = (*planned, replace(cost, arm=arm, is_search=True))
    slots, _num_threads = machine_slots()
    built = 0.0 if spec.store is None or store is not None else _build_seconds(spec.store)
    remarks = [*_pace_remarks(pace_of), *_memory_remarks(planned, slots)]
    remarks += [*_passes_remarks(planned), *_search_remarks(planned)]
    return StudyPlan(spec.name, planned, slots, built, tuple(remarks))


def _clock(run: RunSpec) -> Clock:
    with named_arm(run.arm, run.operation.control, run.rung):
        return run.clock()


def _planned(
    run: RunSpec,
    clock: Clock,
    pace_of: dict[Shape, Pace],
    tokens_at: Callable[[float], int],
    num_blocks: float | None,
    num_seeds: int,
    store: Store | None,
) -> PlannedRun:
    last = pace_of[clock.stretches[-1].shape]
    waiting = map(float, clock.waiting_points(run.evaluation.num_points))
    points = [*clock.evaluation_points(run.evaluation.num_points).values(), *waiting]
    num_evaluated = len(run.recipe.rate.evaluated)
    evaluation = num_evaluated * sum(map(tokens_at, points)) * last.token_seconds
    evaluation += (
        num_evaluated * run.evaluation.num_samples * SAMPLE_TOKENS * last.sampled_token_seconds
    )
    training = sum(
        stretch.num_steps * pace_of[stretch.shape].step_seconds * _relative_cost(stretch, run)
        for stretch in clock.stretches
    )
    checkpoints = len(clock.checkpoint_steps(run.operation.checkpoint_every_fraction))
    checkpoints += len(run.operation.keep_checkpoints_at)
    seconds = last.opening_seconds + training + evaluation
    is_asked = store is not None and run.operation.control is None
    return PlannedRun(
        rung=run.rung,
        arm=run.arm,
        budget_multiple=run.operation.budget_multiple,
        num_seeds=num_seeds,
        num_parameters=num_parameters(run.shape),
        num_matmul_parameters=num_matmul_parameters(run.shape),
        flops=float(clock.budget_flops),
        tokens=clock.tokens(clock.num_steps),
        num_steps=clock.num_steps,
        memory_bytes=max(_memory_bytes(stretch, run) for stretch in clock.stretches),
        passes=passes_of(run, store, num_blocks),
        passes_by_label=passes_by_label(run, store) if store and is_asked else {},
        most_passes=most_passes(run, store) if store and is_asked else None,
        seconds=seconds + checkpoints * last.checkpoint_seconds,
        evaluation_seconds=evaluation,
        schedule=run.operation.schedule,
    )


def _memory_bytes(stretch: Stretch, run: RunSpec) -> int:
    shape, micro_batch = stretch.shape, run.micro_batch_blocks or stretch.batch_blocks
    averages = sum(each.num_vectors for each in run.recipe.rate.averages)
    trained = sum(memory_bytes(shape, batch_blocks=micro_batch).values())
    return trained + averages * num_parameters(shape) * WEIGHT_BYTES


def _relative_cost(stretch: Stretch, run: RunSpec) -> float:
    """FLOPs of a step over those of training on the run's batch: other than 1 where a teacher
    speaks or the batch is another.
    """
    batch_factor = stretch.batch_blocks / run.batch_blocks
    return batch_factor * stretch.step_flops / stretch.flops_of_step[TRAIN_ACCOUNT]


def _evaluation_tokens(
    spec: StudySpec, block_tokens: int, store: Store | None
) -> Callable[[float], int]:
    """Tokens that an evaluation at a progress sends through the network."""
    wanted = spec.evaluation
    if store is not None:
        return Evaluator(store, **wanted.model_dump(exclude={"num_points"})).num_tokens
    is_graded = spec.store is not None and spec.store.spectrum is not None
    held_out_tokens = wanted.num_blocks * block_tokens
    if is_graded:
        held_out_tokens += wanted.num_blocks // 2 * block_tokens  # out of distribution
    task_tokens = wanted.num_tasks * TASK_GROUPS * TASK_TOKENS if is_graded else 0
    return lambda point: held_out_tokens + (task_tokens if point in TASK_POINTS else 0)


def _training_blocks(spec: StudySpec, block_tokens: int, store: Store | None) -> float | None:
    if store is not None:
        return len(store.ids(TRAIN))
    assert spec.store is not None
    num_bytes = total_bytes_of(spec.store) * (1 - spec.store.held_out_fraction)
    return num_bytes / BYTES_PER_TOKEN / block_tokens or None


def _build_seconds(store: StoreSpec) -> float:
    return total_bytes_of(store) / BUILD_BYTES_PER_SECOND


def _elapsed_seconds(runs: Sequence[PlannedRun], num_processes: int) -> float:
    """As `run_locally` does it: wide networks one by one, then the others, most FLOPs first."""
    each = [run for run in runs for _ in range(run.num_seeds)]
    wide = [run for run in each if _is_wide(run)]
    free_at = [0.0] * num_processes
    for run in sorted((r for r in each if not _is_wide(r)), key=lambda run: -run.flops):
        heapq.heapreplace(free_at, free_at[0] + run.seconds)
    return sum(run.seconds for run in wide) + max(free_at)


def _is_wide(run: PlannedRun) -> bool:
    return not torch.cuda.is_available() and run.num_matmul_parameters > ONE_THREAD_PARAMETERS


# Remarks


def _pace_remarks(pace_of: dict[Shape, Pace]) -> list[str]:
    estimated = {pace.reason for pace in pace_of.values() if pace.reason}
    return [f"The time of some networks is estimated, not measured: {why}." for why in estimated]


def _memory_remarks(runs: Sequence[PlannedRun], num_processes: int) -> list[str]:
    """Those of the rungs that will not fit."""
    if torch.cuda.is_available():
        there, place = torch.cuda.get_device_properties(0).total_memory, "an accelerator here"
        side_by_side = max(1, num_processes // torch.cuda.device_count())
    else:
        there, place = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine"
        side_by_side = num_processes
    found = []
    for run in {run.rung: run for run in runs}.values():
        at_once = 1 if _is_wide(run) else side_by_side
        needed = at_once * (run.memory_bytes + FRAMEWORK_BYTES)
        if needed > 0.9 * there:
            many = (
                f"{at_once} runs of rung {run.rung} need"
                if at_once > 1
                else (f"A run of rung {run.rung} needs")
            )
            found.append(
                f"{many} about {needed / 2**30:.1f} GiB of memory; {place} has "
                f"{there / 2**30:.1f}. Set micro_batch_blocks lower, or run fewer at a time."
            )
    return found


def _search_remarks(runs: Sequence[PlannedRun]) -> list[str]:
    """What may come after a search, which nobody knows before."""
    if not any(run.is_search for run in runs):
        return []
    own = [run for run in runs if not run.is_search and run.budget_multiple == 1]
    num_runs = sum(run.num_seeds for run in own)
    spent = sum(run.num_seeds * run.flops for run in own)
    return [
        "Arms whose best settings turn out to be other than the study's are trained under these "
        f"too: at most {num_runs} runs and {spent:.3g} FLOPs more."
    ]


def _passes_remarks(runs: Sequence[PlannedRun]) -> list[str]:
    """How often text is read, and a warning where that is very often or unequal."""
    if any(run.passes is None for run in runs):
        return ["How often the training text is read can be told once the store is built."]
    first = runs[0].schedule  # all schedules read alike
    runs = [run for run in runs if run.schedule == first and not run.is_search]
    rungs = list(dict.fromkeys(run.rung for run in runs))
    found: dict[str, list[str]] = {}
    warned: list[str] = []
    for rung in rungs:
        text, most = _read_most([run for run in runs if run.rung == rung])
        found.setdefault(text, []).append(rung)
        if most > MANY_PASSES:
            warned.append(
                f"At rung {rung} some text is read {most:.2g} times. Beyond about {MANY_PASSES:g} "
                "passes repeated text teaches less and less (Muennighoff et al. 2023): a larger "
                "corpus or a smaller budget would ask the question better."
            )
    said = [
        f"Passes over the training text at {', '.join(rungs)}: {text}."
        for text, rungs in found.items()
    ]
    planned = [run for run in runs if run.budget_multiple == 1]
    passes = {(run.rung, run.arm): run.passes_by_label for run in planned}
    arms = list(dict.fromkeys(run.arm for run in planned if run.passes_by_label))
    unequal = repetition_remarks(passes, arms, rungs) if arms else ()
    return [*said, *_unknown_passes(planned), *warned, *unequal]


def _read_most(runs: Sequence[PlannedRun]) -> tuple[str, float]:
    """Passes at one rung in words, what each arm mixes unevenly at its ends; and the most."""
    most = max(run.passes or 0.0 for run in runs)
    text = f"{most:.2g}"
    for run in runs:
        kind = next(iter(run.passes_by_label), "").partition(" ")[0]
        own = {x: n for x, n in run.passes_by_label.items() if x.partition(" ")[0] == kind}
        told = sorted(own, key=own.__getitem__)
        if told and own[told[-1]] > ALIKE * own[told[0]]:
            ends = ", ".join(f"{label} {own[label]:.2g}" for label in (told[0], told[-1]))
            text += f"; {run.arm}: {ends}"
            most = max(most, own[told[-1]])
    return text, most


def _unknown_passes(runs: Sequence[PlannedRun]) -> Iterator[str]:
    """The arms of which nobody can say before, with their bound at the rung where it is highest."""
    bounds: dict[str, tuple[float, str, str]] = {}
    for run in runs:
        if run.most_passes is not None:
            label, most = run.most_passes
            bounds[run.arm] = max(bounds.get(run.arm, (0.0, "", "")), (most, label, run.rung))
    for arm, (most, label, rung) in bounds.items():
        yield (
            f"{arm} draws by its losses, so how often it reads each part is known once it has run: "
            f"at most {most:.2g} times ({label} at rung {rung}, were nothing else drawn)."
        )
