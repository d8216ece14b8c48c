"""A study from its file to its records: store, runs, index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gradatim.blocks.store import Store
from gradatim.record.read import Record, is_finished
from gradatim.record.spec import read_spec, run_id, write_spec
from gradatim.study.execute import Job, JobEvent, run_locally
from gradatim.study.folder import (
    RUNS,
    StudyIndex,
    check_device,
    folder_name,
    run_folders,
    study_lock,
    write_study_file,
)
from gradatim.study.progress import StudyProgress
from gradatim.study.spec import StudySpec


@dataclass(frozen=True)
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


def run_study(
    spec: StudySpec,
    store: Store,
    folder: Path,
    *,
    num_processes: int | None = None,
    console: Console | None = None,
) -> StudyResult:
    """Train every run of a study that is not finished yet; one failure stops no other run.

    Args:
        spec: the study.
        store: its block store.
        folder: the study's folder.
        num_processes: runs at a time; by default one a core, or one a GPU.
        console: shows progress; None is silent.

    Raises:
        MismatchError: the folder's study ran on another kind of device, or a file of somebody
            else's lies in its place.
        RecordError: another process is running the study there, or its index is damaged.
    """
    console = console or Console(quiet=True)
    runs = spec.runs(store)
    with study_lock(folder):
        there = run_folders(folder)
        jobs = [
            Job(run, there.get(run_id(run)) or folder / RUNS / folder_name(run)) for run in runs
        ]
        index = StudyIndex.of(spec.name, spec.question, [(job.spec, job.folder) for job in jobs])
        check_device(index, folder)
        write_study_file(folder, spec.to_yaml())
        index.write(folder)
        return _run(index, jobs, folder, num_processes, console)


def _run(
    index: StudyIndex,
    jobs: Sequence[Job],
    folder: Path,
    num_processes: int | None,
    console: Console,
) -> StudyResult:
    with StudyProgress(jobs, console) as progress:
        waiting = [job for job in jobs if not is_finished(job.folder)]
        for job in jobs:
            if job not in waiting:
                if read_spec(job.folder) != job.spec:  # the arm may have got another name
                    write_spec(job.folder, job.spec)
                progress(JobEvent("started", job))
                progress(JobEvent("finished", job, progress=1.0))
        failures = _run_jobs(waiting, progress, num_processes)
    index = index.with_failures(failures)
    for failure in index.failures:
        console.print(failure, markup=False, style="red")
    index.write(folder)
    records = tuple(Record.read(job.folder) for job in jobs if is_finished(job.folder))
    return StudyResult(folder, records, index.failures)


def _run_jobs(
    jobs: Sequence[Job], progress: StudyProgress, num_processes: int | None
) -> dict[str, str]:
    failures: dict[str, str] = {}

    def take_note(event: JobEvent) -> None:
        progress(event)
        if event.kind == "failed":
            failures[event.job.id] = event.reason

    run_locally(jobs, take_note, num_processes=num_processes)
    return failures
