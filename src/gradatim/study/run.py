"""A study from its file to its records: store, runs, index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from gradatim.blocks.store import Store
from gradatim.errors import RecordError
from gradatim.files import lock_holder, locked
from gradatim.record.read import Record, is_finished
from gradatim.record.spec import SPEC, TUNING, RunSpec, read_spec, run_id, write_spec
from gradatim.record.tuning import Choice, write_choices
from gradatim.study.check import check_on_store
from gradatim.study.execute import Job, JobEvent, run_locally
from gradatim.study.folder import (
    LOCK,
    RUNS,
    StudyIndex,
    check_same_study,
    folder_name,
    run_folders,
    study_lock,
    write_study_file,
)
from gradatim.study.progress import StudyProgress
from gradatim.study.spec import StudySpec
from gradatim.study.status import ProgressNotes
from gradatim.study.tuning import choices, search, tuned_runs

RunAll = Callable[[Sequence[Job], Callable[[JobEvent], None]], None]

LEFTOVER_SECONDS = 60.0
"""The longest step of a run whose study was killed: after it, its process ends."""


@dataclass(frozen=True, repr=False)
class StudyResult:
    """What a study left behind.

    Attributes:
        folder: the study's folder (see `gradatim.study.folder`).
        records: of the finished runs.
        failures: one sentence a run that failed, with its reason.
    """

    folder: Path
    records: tuple[Record, ...]
    failures: tuple[str, ...]

    def __repr__(self) -> str:
        runs = f"{len(self.records)} runs finished, {len(self.failures)} failed"
        return f"StudyResult({str(self.folder)!r}: {runs})"


def run_study(
    spec: StudySpec,
    store: Store,
    folder: Path,
    *,
    num_processes: int | None = None,
    num_threads: int | None = None,
    console: Console | None = None,
) -> StudyResult:
    """Train every run of a study that is not finished yet; one failure stops no other run.

    Args:
        spec: the study.
        store: its block store.
        folder: the study's folder.
        num_processes: runs at a time; by default one a core, or one a GPU.
        num_threads: of each; by default as many as there are cores for.
        console: shows progress; None is silent.

    Raises:
        SpecError, StoreError: the store cannot serve it (`gradatim.study.check`).
        MismatchError: the folder's study ran on another kind of device, or a file of somebody
            else's lies in its place.
        RecordError: another process is running the study there, or its index is damaged.
    """
    console = console or Console(quiet=True)
    check_on_store(spec, store)
    runs = spec.runs(store)
    with study_lock(folder):
        run_all = partial(run_locally, num_processes=num_processes, num_threads=num_threads)
        index, jobs = _jobs(spec.name, spec.question, runs, folder)
        check_same_study(index, folder)
        write_study_file(folder, spec.to_yaml())
        index.write(folder)
        if spec.tune is None:
            return _run(index, jobs, folder, run_all, console)
        found, failures = _search(spec, runs, folder, run_all, console)
        index, jobs = _jobs(spec.name, spec.question, [*runs, *tuned_runs(runs, found)], folder)
        index.write(folder)
        result = _run(index, jobs, folder, run_all, console)
        return replace(result, failures=(*failures, *result.failures))


def _jobs(
    name: str, question: str | None, runs: Sequence[RunSpec], folder: Path
) -> tuple[StudyIndex, list[Job]]:
    """The index of runs, each in the folder where it lies already or will lie."""
    there = run_folders(folder)
    jobs = [Job(run, there.get(run_id(run)) or folder / RUNS / folder_name(run)) for run in runs]
    return StudyIndex.of(name, question, [(job.spec, job.folder) for job in jobs]), jobs


def _search(
    spec: StudySpec, runs: Sequence[RunSpec], folder: Path, run_all: RunAll, console: Console
) -> tuple[list[Choice], tuple[str, ...]]:
    """Every arm's best settings, searched in a study's folder inside the study's.

    An arm of which a trial failed has none; but a loss that is not finite is a result.
    """
    assert spec.tune is not None
    searched, inside = search(spec.tune, runs), folder / TUNING
    trials = [trial for of_cell in searched.values() for trial in of_cell]
    index, jobs = _jobs(f"{spec.name}-{TUNING}", spec.question, trials, inside)
    index.write(inside)
    failures = _run(index, jobs, inside, run_all, console).failures
    ended = {}
    for job in jobs:
        if (job.folder / SPEC).exists():
            record = Record.read(job.folder)
            if record.is_finished or record.events("not_finite"):
                ended[job.id] = record
    found = choices(searched, ended, runs)
    write_choices(folder, found)
    diverged = {str(job) for job in jobs if job.id in ended and not ended[job.id].is_finished}
    return found, tuple(f for f in failures if f.partition(": ")[0] not in diverged)


def _run(
    index: StudyIndex, jobs: Sequence[Job], folder: Path, run_all: RunAll, console: Console
) -> StudyResult:
    waiting = [job for job in jobs if not is_finished(job.folder)]
    wait_for_leftovers(waiting, console)
    notes, failures = ProgressNotes(folder, jobs), dict[str, str]()
    with StudyProgress(jobs, console) as progress:

        def take_note(event: JobEvent) -> None:
            progress(event)
            notes(event)
            if event.kind == "failed":
                failures[event.job.id] = event.reason
                index.with_failures(failures).write(folder)

        for job in jobs:
            if job not in waiting:
                if read_spec(job.folder) != job.spec:  # the arm may have got another name
                    write_spec(job.folder, job.spec)
                take_note(JobEvent("started", job))
                take_note(JobEvent("finished", job, progress=1.0))
        run_all(waiting, take_note)
    index = index.with_failures(failures)
    for failure in index.failures:
        console.print(failure, markup=False, style="red", soft_wrap=True)
    records = tuple(Record.read(job.folder) for job in jobs if is_finished(job.folder))
    return StudyResult(folder, records, index.failures)


def wait_for_leftovers(
    jobs: Sequence[Job], console: Console, *, patience_seconds: float = LEFTOVER_SECONDS
) -> None:
    """Wait for the processes of a study that was killed: they end by themselves, if not at once.

    Raises:
        RecordError: one does not end.
    """
    for job in jobs:
        lock = job.folder / LOCK
        if (holder := lock_holder(lock)) is None:
            continue
        text = f"{job}: waiting for process {holder}, left of an earlier start, to end"
        console.print(text, markup=False, soft_wrap=True)

        def busy(holder: str, job: Job = job) -> RecordError:
            return RecordError(
                f"process {holder} is writing this run and does not end",
                where=str(job.folder),
                remedy="Wait for it, or stop it and call again: the run goes on where it was",
            )

        with locked(lock, busy, patience_seconds=patience_seconds):
            pass
