"""Running many runs on one machine: a process a run, forked from a server that knows torch.

Small networks run best with one thread a process and one process a core; large ones with all
cores in one process. A run that fails, or is killed, stops nobody else: each process has a pipe of
its own, in which it tells in short lines of JSON how far it is, and whatever breaks there is that
run's failure alone. A process whose study has ended, however it did, ends at once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import torch

from gradatim.compute import num_matmul_parameters
from gradatim.cores import num_usable_cores
from gradatim.errors import GradatimError, SpecError, StoppedError, from_os_error
from gradatim.record.spec import RunSpec, run_id
from gradatim.study.folder import ExpectedRun
from gradatim.study.single import run
from gradatim.train.device import limit_threads, own_device
from gradatim.train.stopping import asked_to_stop

ONE_THREAD_PARAMETERS = 12e6
"""Above this many parameters a run gets all cores to itself."""

PROGRESS_SECONDS = 0.25
"""A run tells of its progress no more often than this."""

_REASON_CHARACTERS = 2000
_PIPE_BYTES = 2**16
_END_SECONDS = 10

EventKind = Literal["started", "progress", "finished", "failed", "stopped"]
_ENDS: tuple[EventKind, ...] = ("finished", "failed", "stopped")
OnEvent = Callable[["JobEvent"], None]
Train = Callable[..., object]
"""What a process does with its job; called like `gradatim.study.single.run`."""


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
        return str(ExpectedRun.of(self.spec, self.folder))


@dataclass(frozen=True)
class JobEvent:
    """What became of a job just now.

    Attributes:
        kind: `started`, `progress`, `finished`, `failed`, or `stopped` where that was asked.
        progress: compute charged over budget, 0 to 1.
        loss_nats: of the last batch, where there was one.
        reason: why it failed.
    """

    kind: EventKind
    job: Job
    progress: float = 0.0
    loss_nats: float | None = None
    reason: str = ""


def run_locally(
    jobs: Sequence[Job],
    on_event: OnEvent,
    *,
    num_processes: int | None = None,
    num_threads: int | None = None,
    train: Train = run,
) -> None:
    """Run every job, longest first, as many at a time as the machine has cores or GPUs.

    Args:
        jobs: what to run; finished ones return at once, killed ones go on.
        on_event: told of every start, end and failure, and a few times a second of progress.
        num_processes: at once; by default one a GPU where there are any, else one a core.
        num_threads: of each; by default as many as there are cores for.
        train: what a process does with its job; no function of a program's main module.

    Raises:
        SpecError: fewer than one process.
        KeyboardInterrupt: after the running processes were ended; their checkpoints stay.
        StoppedError: by SIGTERM, likewise, after each has written a checkpoint.
    """
    slots, threads = machine_slots(num_processes, num_threads)
    ordered = sorted(jobs, key=lambda job: -job.spec.budget_flops)
    wide = [job for job in ordered if _wants_all_cores(job.spec)]
    narrow = [job for job in ordered if not _wants_all_cores(job.spec)]
    _Pool(1, slots * threads, on_event, train).run(wide)
    _Pool(slots, threads, on_event, train).run(narrow)


def machine_slots(
    num_processes: int | None = None, num_threads: int | None = None
) -> tuple[int, int]:
    """Processes at a time and threads a process on this machine.

    Raises:
        SpecError: fewer than one process or thread, or this one is one of many already.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SpecError(
            "a study starts its own processes",
            where="WORLD_SIZE",
            got=os.environ["WORLD_SIZE"],
            remedy="Start `gradatim study` plainly; under torchrun, `gradatim train` one run",
        )
    if num_processes is not None and num_processes < 1:
        raise SpecError(
            "a study needs a process",
            where="processes",
            expected="1 or more",
            got=f"{num_processes}",
        )
    if num_threads is not None and num_threads < 1:
        raise SpecError(
            "a process needs a thread", where="threads", expected="1 or more", got=f"{num_threads}"
        )
    num_cores = num_usable_cores()
    slots = num_processes or torch.cuda.device_count() or max(1, num_cores // (num_threads or 1))
    return slots, num_threads or max(1, num_cores // slots)


def suitable_threads(spec: RunSpec) -> int:
    """Threads with which a run that is alone on this machine is quickest, or near it.

    A small network is done with an operation before a second thread has begun, and threads that
    wait burn the processor; an accelerator's process has little to do.
    """
    return num_usable_cores() if _wants_all_cores(spec) else 1


def _wants_all_cores(spec: RunSpec) -> bool:
    has_gpu = torch.cuda.is_available()
    return not has_gpu and num_matmul_parameters(spec.shape) > ONE_THREAD_PARAMETERS


class _Pool:
    """A fixed number of slots, each holding one process and one job at a time."""

    def __init__(self, num_slots: int, num_threads: int, on_event: OnEvent, train: Train) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["gradatim.study.single"])
        self._free_slots = list(range(num_slots))
        self._num_threads = num_threads
        self._on_event = on_event
        self._train = train
        self._running: dict[Connection, _Worker] = {}
        self._is_asked_to_stop = False

    def run(self, jobs: Sequence[Job]) -> None:
        waiting = list(jobs)
        try:
            with asked_to_stop(self._ask_to_stop):
                while self._running or (waiting and not self._is_asked_to_stop):
                    while waiting and self._free_slots and not self._is_asked_to_stop:
                        self._start(waiting.pop(0), self._free_slots.pop())
                    for ready in connection.wait(list(self._running)):
                        assert isinstance(ready, Connection)
                        self._hear(ready)
                if self._is_asked_to_stop:
                    raise StoppedError(
                        f"stopped, as was asked, with {len(waiting)} runs not begun",
                        remedy="The same command goes on where it was",
                    )
        finally:
            self._ask_to_stop()
            for worker in self._running.values():
                worker.end()

    def _ask_to_stop(self) -> None:
        self._is_asked_to_stop = True
        for worker in list(self._running.values()):
            worker.process.terminate()

    def _start(self, job: Job, slot: int) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(self._train, job, slot, self._num_threads, theirs), daemon=True
        )
        with _main_left_alone():
            process.start()
        theirs.close()
        self._running[ours] = _Worker(job, slot, process, ours)
        if self._is_asked_to_stop:  # just now, so this one was not told
            process.terminate()
        self._on_event(JobEvent("started", job))

    def _hear(self, ready: Connection) -> None:
        worker = self._running[ready]
        for event in worker.events():
            if (
                self._is_asked_to_stop and event.kind == "failed"
            ):  # it was asked before it could listen
                event = replace(event, kind="stopped")
            if event.kind in _ENDS:
                del self._running[ready]
                worker.end()
                self._free_slots.append(worker.slot)
            self._on_event(event)
            if ready not in self._running:
                return


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Nothing is said of the program's main module to the processes that start meanwhile.

    Else multiprocessing runs the file again in each of them, which a script that calls a study
    without `if __name__ == "__main__"` does not survive; no job needs it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@dataclass
class _Worker:
    """A process at its job, as the study sees it, and what of a line has come from it so far."""

    job: Job
    slot: int
    process: BaseProcess
    pipe: Connection
    unread: bytes = b""

    def events(self) -> list[JobEvent]:
        """What the process has told, once there is something to read; the last may be its end.

        Takes what is there and never waits for the rest of a line: half a one, from a process that
        was killed or stopped in the middle, holds up nobody.
        """
        found: list[JobEvent] = []
        try:
            told = os.read(self.pipe.fileno(), _PIPE_BYTES)
            *lines, self.unread = (self.unread + told).split(b"\n")
            for line in lines:
                kind, progress, loss_nats, reason = json.loads(line)
                if kind not in get_args(EventKind):
                    raise ValueError(f"an event {kind!r}")
                found.append(JobEvent(kind, self.job, float(progress), loss_nats, str(reason)))
        except (OSError, ValueError, TypeError) as error:
            self.process.kill()
            reason = f"the process told what cannot be understood: {error}"
            return [JobEvent("failed", self.job, reason=reason)]
        if not told:
            reason = f"the process ended without a word (exit code {self.end()})"
            return [JobEvent("failed", self.job, reason=reason)]
        return found

    def end(self) -> int | None:
        """Wait for the process to end, or make it; gives its exit code."""
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()
        return self.process.exitcode


# In the process of a job


def _work(train: Train, job: Job, slot: int, num_threads: int, study: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the study ends its processes
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    due_seconds = 0.0

    def tell_progress(progress: float, loss_nats: float) -> None:
        nonlocal due_seconds
        if (now_seconds := time.monotonic()) >= due_seconds:
            due_seconds = now_seconds + PROGRESS_SECONDS
            _tell(study, "progress", progress, loss_nats)

    try:
        limit_threads(num_threads)
        if num_devices := torch.cuda.device_count():
            own_device(slot % num_devices)  # more processes than devices share them, as was asked
        with asked_to_stop() as is_stopping:
            train(job.spec, job.folder, on_progress=tell_progress, is_stopping=is_stopping)
    except StoppedError:
        _tell(study, "stopped")
    except GradatimError as error:
        _tell(study, "failed", reason=str(error))
    except OSError as error:
        _tell(study, "failed", reason=str(from_os_error(error)))
    except Exception:
        _tell(study, "failed", reason=traceback.format_exc())
    else:
        _tell(study, "finished", 1.0)


def _end_with_the_study() -> None:
    """End this process as a kill would, for that is safe at any moment, once its study has ended.

    The fork server is the parent that the kernel knows; what tells of the study is a pipe, which
    the kernel closes with it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _tell(
    study: Connection,
    kind: EventKind,
    progress: float = 0.0,
    loss_nats: float | None = None,
    reason: str = "",
) -> None:
    """Write one line, short enough to go whole into the pipe without waiting for the reader."""
    if len(reason) > _REASON_CHARACTERS:
        half = _REASON_CHARACTERS // 2
        reason = f"{reason[:half]} [...] {reason[-half:]}"
    line = json.dumps([kind, progress, loss_nats, reason]) + "\n"
    try:
        os.write(study.fileno(), line.encode())
    except OSError:  # nobody reads it: the study has ended
        os._exit(1)
