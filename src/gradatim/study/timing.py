"""How fast networks train here: each is timed in the processes, on the devices and beside as many
others as its runs will have.

A few steps of the real loop's own, and forward passes as evaluation makes them, over random tokens.
What is too large for that is estimated from the machine's rate of matrix products.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gradatim.compute import (
    Shape,
    forward_flops,
    memory_bytes,
    num_matmul_parameters,
    num_parameters,
)
from gradatim.files import write_json
from gradatim.model.generate import generate
from gradatim.record.spec import RunSpec
from gradatim.study.execute import (
    ONE_THREAD_PARAMETERS,
    Job,
    JobEvent,
    machine_slots,
    run_locally,
)
from gradatim.study.single import open_evaluator, open_store
from gradatim.train.checkpoint import Checkpoint, write_checkpoint
from gradatim.train.device import flushed_denormals, own_device
from gradatim.train.layout import open_layout
from gradatim.train.state import State
from gradatim.train.stepper import Stepper

ASSUMED_MATMUL_SHARE = 0.6
"""Share of the matrix-product rate assumed for networks too large to be timed."""

ASSUMED_OPENING_SECONDS = 0.5
"""For a process to begin and end its work, where that was not timed."""

ASSUMED_DISK_BYTES = 5e8
"""Written to disk in a second."""

EVALUATED_BLOCKS = 16
PACE = "pace.json"
PARTS = ("step_seconds", "token_seconds", "sampled_token_seconds", "checkpoint_seconds")
_LEAST_SECONDS = 0.4
_LEAST_TIMES = 3
_PROMPT_TOKENS = 16


@dataclass(frozen=True)
class Pace:
    """How fast one network goes, in one of the processes that run side by side.

    Attributes:
        step_seconds: of one optimizer step on a whole batch.
        token_seconds: of one token in a forward pass over held-out text.
        sampled_token_seconds: of one token of a text that the network writes.
        checkpoint_seconds: to write one checkpoint.
        opening_seconds: from the start of a run's process to its first step, and from the last.
        reason: why it was estimated and not timed; None where it was timed.
    """

    step_seconds: float
    token_seconds: float
    sampled_token_seconds: float
    checkpoint_seconds: float
    opening_seconds: float
    reason: str | None = None


def paces(runs: Sequence[RunSpec], num_processes: int | None = None) -> dict[Shape, Pace]:
    """The pace of every network among these runs.

    Args:
        runs: one for every shape; a store that lies at its path is opened as a run opens it.
        num_processes: that will run side by side.
    """
    slots, _num_threads = machine_slots(num_processes)
    timed = [run for run in runs if _can_be_timed(run.shape, run.batch_blocks)]
    found: dict[Shape, Pace] = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(run, Path(folder) / f"{place}-{slot}")
            for place, run in enumerate(timed)
            for slot in range(slots)
        ]
        clock = _JobClock()
        run_locally(jobs, clock, num_processes=slots, train=time_run)
        for place, run in enumerate(timed):
            found[run.shape] = clock.pace_of(jobs[place * slots : (place + 1) * slots], run)
    for run in runs:
        if run.shape not in found:
            found[run.shape] = _estimated(run, "too large to be timed")
    return found


class _JobClock:
    """Notes how long the jobs' processes lived, and what failed."""

    def __init__(self) -> None:
        self._began: dict[Path, float] = {}
        self._lived: dict[Path, float] = {}
        self._failed: dict[Path, str] = {}

    def __call__(self, event: JobEvent) -> None:
        now, folder = time.perf_counter(), event.job.folder
        if event.kind == "started":
            self._began[folder] = now
        elif event.kind == "finished":
            self._lived[folder] = now - self._began[folder]
        elif event.kind == "failed":
            self._failed[folder] = event.reason.strip().splitlines()[-1]

    def pace_of(self, jobs: Sequence[Job], run: RunSpec) -> Pace:
        """The mean over the processes that timed one network; estimated where none could."""
        told = []
        for job in jobs:
            if job.folder in self._lived:
                pace = Pace(**json.loads((job.folder / PACE).read_text(encoding="utf-8")))
                # The process's whole life, less what it spent on timing.
                told.append((pace, self._lived[job.folder] - pace.opening_seconds))
        if not told:
            return _estimated(run, next(iter(self._failed.values()), "its process ended"))
        rates = np.mean([[getattr(pace, name) for name in PARTS] for pace, _ in told], axis=0)
        step, token, sampled, written = rates.tolist()
        return Pace(step, token, sampled, written, min(seconds for _, seconds in told))


# In the process of a job


def time_run(spec: RunSpec, folder: Path, **_listeners: Callable[..., object] | None) -> None:
    """Time a run's network and leave the pace in the folder; trains nothing that stays.

    It tells no progress, and is not asked to stop: it is over in seconds.

    Its `opening_seconds` are what the timing itself took, which the run will not.
    """
    is_built = bool(spec.store.path)
    store = open_store(spec) if is_built else None
    if is_built:
        open_evaluator(spec)  # as a run does at its start
    random = np.random.default_rng(0)
    size = (spec.batch_blocks, spec.shape.context_tokens)
    with flushed_denormals(), open_layout(spec.device) as layout:
        state = State(spec.shape, key="timing", optimizer=spec.optimizer, device=layout.device)
        stepper = Stepper(state, spec, layout)

        def step() -> None:
            if store is None:
                tokens = random.integers(spec.shape.vocab_size, size=size)
            else:
                tokens = store.read(random.integers(store.num_blocks, size=size[0], dtype="u4"))
            losses = stepper.gradients(tokens, 0.5, batch_blocks=spec.batch_blocks)
            stepper.update(1e-9).item()
            losses()

        began = time.perf_counter()
        step_seconds = _seconds_of(step)
        tokens = torch.from_numpy(
            random.integers(spec.shape.vocab_size, size=(EVALUATED_BLOCKS, size[1]))
        ).to(layout.device)
        with torch.no_grad(), state.network_with("weights") as network:
            network.eval()
            forward = _seconds_of(lambda: network.token_losses(tokens).double().sum().item())
            sampled = _seconds_of(lambda: generate(network, [0] * _PROMPT_TOKENS, num_tokens=4))
        checkpoint = Checkpoint(0, state.groups(), {}, {}, {}, {}, {})
        written = _seconds_of(lambda: write_checkpoint(folder, checkpoint, num_kept=1))
    spent = time.perf_counter() - began
    pace = Pace(step_seconds, forward / tokens.numel(), sampled / 4, written, spent)
    write_json(folder / PACE, asdict(pace))


def _seconds_of(work: Callable[[], object]) -> float:
    """The median of a few times after the first."""
    work()
    seconds: list[float] = []
    while len(seconds) < _LEAST_TIMES or sum(seconds) < _LEAST_SECONDS:
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


# Estimated


def _can_be_timed(shape: Shape, batch_blocks: int) -> bool:
    if torch.cuda.is_available():
        free_bytes, _total_bytes = torch.cuda.mem_get_info()
        return sum(memory_bytes(shape, batch_blocks=batch_blocks).values()) < 0.7 * free_bytes
    return num_matmul_parameters(shape) <= ONE_THREAD_PARAMETERS


def _estimated(run: RunSpec, reason: str) -> Pace:
    rate = matmul_flops_per_second(own_device()) * ASSUMED_MATMUL_SHARE
    shape = run.shape
    token_seconds = sum(forward_flops(shape, 1).values()) / rate
    step_seconds = 3 * token_seconds * run.batch_blocks * shape.context_tokens
    sampled_seconds = token_seconds * _PROMPT_TOKENS
    checkpoint_seconds = 12 * num_parameters(shape) / ASSUMED_DISK_BYTES
    return Pace(
        step_seconds,
        token_seconds,
        sampled_seconds,
        checkpoint_seconds,
        ASSUMED_OPENING_SECONDS,
        reason,
    )


def matmul_flops_per_second(device: torch.device, size: int = 1024) -> float:
    """Rate of a square float32 matrix product with the threads torch has now."""
    left, right = (torch.ones(size, size, device=device) for _ in range(2))
    seconds = _seconds_of(lambda: torch.mm(left, right)[0, 0].item())
    return 2.0 * size**3 / seconds
