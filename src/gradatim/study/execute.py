"""Running many runs on one machine: a process a run, forked from a server that knows torch.

Small networks run best with one thread a process and one process a core; large ones with all
cores in one process. A run that fails, or is killed, stops nobody else.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import torch

from gradatim.compute import num_matmul_parameters
from gradatim.errors import GradatimError
from gradatim.record.spec import RunSpec, run_id
from gradatim.study.single import run
from gradatim.train.device import limit_threads, own_device

ONE_THREAD_PARAMETERS = 12e6
"""Above this many parameters a run gets all cores to itself."""


@dataclass(frozen=True)
class Job:
    """A run and the folder it leaves its record in."""

    spec: RunSpec
    folder: Path

    @property
    def id(self) -> str:
        """The run's id, a hash of its specification."""
        return run_id(self.spec)

    def __str__(self) -> str:
        return f"{self.spec.arm}, rung {self.spec.rung}, seed {self.spec.seed}"


@dataclass(frozen=True)
class JobEvent:
    """What became of a job just now.

    Attributes:
        kind: `started`, `progress`, `finished` or `failed`.
        progress: compute charged over budget, 0 to 1.
        loss_nats: of the last batch, where there was one.
        reason: why it failed.
    """

    kind: Literal["started", "progress", "finished", "failed"]
    job: Job
    progress: float = 0.0
    loss_nats: float | None = None
    reason: str = ""


def run_locally(
    jobs: Sequence[Job],
    on_event: Callable[[JobEvent], None],
    *,
    num_processes: int | None = None,
) -> None:
    """Run every job, longest first, as many at a time as the machine has cores or GPUs.

    Args:
        jobs: what to run; finished ones return at once, killed ones go on.
        on_event: told of every start, progress, end and failure.
        num_processes: at once; by default one a GPU where there are any, else one a core.

    Raises:
        KeyboardInterrupt: after the running processes were ended; their checkpoints stay.
    """
    slots, threads = machine_slots(num_processes)
    ordered = sorted(jobs, key=lambda job: -job.spec.budget_flops)
    wide = [job for job in ordered if _wants_all_cores(job)]
    narrow = [job for job in ordered if not _wants_all_cores(job)]
    _Pool(1, slots * threads, on_event).run(wide)
    _Pool(slots, threads, on_event).run(narrow)


def machine_slots(num_processes: int | None = None) -> tuple[int, int]:
    """Processes at a time and threads a process on this machine."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    num_cores = num_cores or os.cpu_count() or 1
    slots = num_processes or torch.cuda.device_count() or num_cores
    return slots, max(1, num_cores // slots)


def _wants_all_cores(job: Job) -> bool:
    has_gpu = torch.cuda.is_available()
    return not has_gpu and num_matmul_parameters(job.spec.shape) > ONE_THREAD_PARAMETERS


class _Pool:
    """A fixed number of slots, each holding one process and one job at a time."""

    def __init__(
        self, num_slots: int, num_threads: int, on_event: Callable[[JobEvent], None]
    ) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
        if "forkserver" in methods:
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(["gradatim.study.single"])
        self._num_slots = num_slots
        self._num_threads = num_threads
        self._on_event = on_event
        self._running: dict[Connection, tuple[Job, BaseProcess, int]] = {}

    def run(self, jobs: Sequence[Job]) -> None:
        waiting = list(jobs)
        free_slots = list(range(self._num_slots))
        try:
            while waiting or self._running:
                while waiting and free_slots:
                    self._start(waiting.pop(0), free_slots.pop())
                for ready in connection.wait(list(self._running)):
                    assert isinstance(ready, Connection)
                    self._receive(ready, free_slots)
        finally:
            for _job, process, _slot in self._running.values():
                process.terminate()
            for _job, process, _slot in self._running.values():
                process.join()

    def _start(self, job: Job, slot: int) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(job, slot, self._num_threads, theirs), daemon=True
        )
        process.start()
        theirs.close()
        self._running[ours] = (job, process, slot)
        self._on_event(JobEvent("started", job))

    def _receive(self, ready: Connection, free_slots: list[int]) -> None:
        job, process, slot = self._running[ready]
        try:
            event: JobEvent = ready.recv()
        except EOFError:
            process.join()
            reason = f"the process ended without a word (exit code {process.exitcode})"
            event = JobEvent("failed", job, reason=reason)
        if event.kind in ("finished", "failed"):
            del self._running[ready]
            process.join()
            ready.close()
            free_slots.append(slot)
        self._on_event(event)


def _work(job: Job, slot: int, num_threads: int, parent: Connection) -> None:
    if torch.cuda.is_available():
        own_device(slot % torch.cuda.device_count())
    limit_threads(num_threads)
    try:
        run(
            job.spec,
            job.folder,
            on_progress=lambda progress, loss: parent.send(
                JobEvent("progress", job, progress, loss)
            ),
        )
    except GradatimError as error:
        parent.send(JobEvent("failed", job, reason=str(error)))
    except Exception:
        parent.send(JobEvent("failed", job, reason=traceback.format_exc()))
    else:
        parent.send(JobEvent("finished", job, progress=1.0))
