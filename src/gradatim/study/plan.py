"""What a study will cost, before anything is spent.

Parameters, FLOPs, tokens and memory follow from the shapes. Time is measured: a few training steps
of each network on random tokens, in this process with one thread, as the runs will have; networks
too large for that are estimated from the machine's matrix-product rate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gradatim.blocks.store import Store
from gradatim.clock import TRAIN, Stretch, lay_out
from gradatim.compute import (
    Shape,
    memory_bytes,
    num_matmul_parameters,
    num_parameters,
    training_flops,
)
from gradatim.model.network import Network
from gradatim.recipe import scoring_costs
from gradatim.study.execute import ONE_THREAD_PARAMETERS, machine_slots
from gradatim.study.spec import StudySpec
from gradatim.train.identity import store_reference

ASSUMED_MATMUL_SHARE = 0.6
"""Share of the matrix-product rate assumed for networks too large to be timed."""


@dataclass(frozen=True)
class PlannedRun:
    """One rung under one arm: the cost of a single seed.

    Attributes:
        budget_multiple: other than 1 for the baseline's runs on another budget than the arms'.
        num_parameters: all of them, tied embeddings once.
        num_matmul_parameters: those in matrix products, the N of the laws.
        flops: charged by the end: the budget without the part of a step it leaves.
        tokens: what the budget trains on, whole steps only.
        num_steps: optimizer steps.
        memory_bytes: estimated peak of weights, gradients, optimizer and activations.
        seconds: expected on this machine, evaluation left out.
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
    seconds: float


@dataclass(frozen=True)
class StudyPlan:
    """Every run of a study with its cost, and the sum."""

    name: str
    runs: tuple[PlannedRun, ...]
    num_processes: int

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
        narrow = [run for run in self.runs if not _is_wide(run)]
        wide = [run for run in self.runs if _is_wide(run)]
        longest = max((run.seconds for run in narrow), default=0.0)
        together = sum(run.seconds * run.num_seeds for run in narrow) / self.num_processes
        return max(longest, together) + sum(run.seconds * run.num_seeds for run in wide)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        whole = {"num_runs": self.num_runs, "flops": self.flops, "seconds": self.seconds}
        return whole | asdict(self)


def plan(
    spec: StudySpec, *, vocab_size: int, block_tokens: int, store: Store | None = None
) -> StudyPlan:
    """Cost every run of a study; trains nothing.

    Args:
        spec: the study.
        vocab_size: of its store's tokenizer.
        block_tokens: tokens in one block of its store.
        store: where it is built already; what arms pay for scores beside it is taken off.

    Raises:
        SpecError: a budget that does not pay for a step.
        StoreError: an arm uses scores that are not beside the store.
    """
    shapes = spec.shapes(vocab_size=vocab_size, context_tokens=block_tokens)
    num_processes, _num_threads = machine_slots()
    seconds_of: dict[Shape, float] = {}
    planned = []
    for rung, shape in shapes.items():
        for arm, planned_arm, multiple in spec.cells():
            recipe = planned_arm.recipe
            clock = lay_out(
                recipe,
                shape,
                budget_flops=spec.budget_flops(shape) * multiple,
                batch_blocks=spec.batch_blocks,
                costs=scoring_costs(
                    store_reference(store, recipe).scores if store else (), spec.scoring
                ),
            )
            for stretch in clock.stretches:
                if stretch.shape not in seconds_of:
                    seconds_of[stretch.shape] = step_seconds(stretch.shape, spec.batch_blocks)
            planned.append(
                PlannedRun(
                    rung=rung,
                    arm=arm,
                    budget_multiple=multiple,
                    num_seeds=len(spec.seeds),
                    num_parameters=num_parameters(shape),
                    num_matmul_parameters=num_matmul_parameters(shape),
                    flops=float(clock.budget_flops),
                    tokens=clock.num_steps * clock.tokens_per_step,
                    num_steps=clock.num_steps,
                    memory_bytes=max(
                        _memory_bytes(stretch.shape, spec) for stretch in clock.stretches
                    ),
                    seconds=sum(
                        stretch.num_steps * seconds_of[stretch.shape] * _relative_cost(stretch)
                        for stretch in clock.stretches
                    ),
                )
            )
    return StudyPlan(spec.name, tuple(planned), num_processes)


def _memory_bytes(shape: Shape, spec: StudySpec) -> int:
    micro_batch = spec.micro_batch_blocks or spec.batch_blocks
    return sum(memory_bytes(shape, batch_blocks=micro_batch).values())


def _relative_cost(stretch: Stretch) -> float:
    """FLOPs of a step over those of its training: more than 1 where a teacher speaks."""
    return stretch.step_flops / stretch.flops_of_step[TRAIN]


def step_seconds(shape: Shape, batch_blocks: int) -> float:
    """Expected seconds of one training step with the threads a run of this size gets."""
    before = torch.get_num_threads()
    is_wide = num_matmul_parameters(shape) > ONE_THREAD_PARAMETERS
    torch.set_num_threads(torch.get_num_threads() if is_wide else 1)
    try:
        if is_wide:
            step_flops = training_flops(shape, batch_blocks * shape.context_tokens)
            return step_flops / (matmul_flops_per_second() * ASSUMED_MATMUL_SHARE)
        return _measured_step_seconds(shape, batch_blocks)
    finally:
        torch.set_num_threads(before)


def _measured_step_seconds(shape: Shape, batch_blocks: int, *, num_timed: int = 3) -> float:
    network = Network(shape)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(
        shape.vocab_size, (batch_blocks, shape.context_tokens), generator=generator
    )
    seconds: list[float] = []
    for _ in range(1 + num_timed):
        started = time.perf_counter()
        loss, _block_losses = network.training_losses(tokens_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def matmul_flops_per_second(size: int = 1024, *, num_timed: int = 4) -> float:
    """Rate of a square float32 matrix product with the threads torch has now."""
    left, right = torch.ones(size, size), torch.ones(size, size)
    seconds: list[float] = []
    for _ in range(1 + num_timed):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(seconds[1:])


def _is_wide(run: PlannedRun) -> bool:
    return run.num_matmul_parameters > ONE_THREAD_PARAMETERS


def as_rows(plan: StudyPlan) -> Sequence[tuple[str, ...]]:
    """The plan as text cells, one row a rung and arm, for a table on the terminal."""
    return [
        (
            run.rung,
            run.arm if run.budget_multiple == 1 else f"{run.arm} x{run.budget_multiple:g}",
            str(run.num_seeds),
            f"{run.num_parameters:,}",
            f"{run.flops:.3g}",
            f"{run.tokens:,}",
            f"{run.num_steps:,}",
            f"{run.memory_bytes / 2**20:,.0f}",
            f"{run.seconds:,.0f}",
        )
        for run in plan.runs
    ]


COLUMNS = ("rung", "arm", "seeds", "parameters", "FLOPs", "tokens", "steps", "MiB", "seconds")
