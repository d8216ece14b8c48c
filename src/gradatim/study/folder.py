"""A study on disk: its file, the runs that belong to it, and those that failed.

study.yaml                         the study as it was asked, under a line with its checksum
study.json                         the runs expected of it: where each lies, why it failed if it did
lock                               held by the process that runs the study
tuning.json                        what a search for every arm's best settings chose
tuning/                            that search, a study's folder like this one
store/                             the block store, if the study built one
runs/<arm>-<rung>-s<seed>-<id>/    records; the names are for people, the index says which is which;
                                   <arm>-<schedule>-<rung> where the study has schedules
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from gradatim.errors import MismatchError, RecordError, check_version
from gradatim.files import content_hash, hash_json, lock_holder, locked, write_json, write_whole
from gradatim.record.naming import cell_name, describe
from gradatim.record.read import Record
from gradatim.record.spec import SPEC, RunSpec, run_id

STUDY_FILE = "study.yaml"
STUDY_INDEX = "study.json"
RUNS = "runs"
LOCK = "lock"
SCHEMA_VERSION = 3

LOCK_PATIENCE_SECONDS = 2.0
"""A study that was told to end does so within a moment."""

_HEADER = "# As gradatim ran it. Checksum of what follows: "
_NAMED_CHARACTERS = 40
_NAMED_ID = 6


@dataclass(frozen=True)
class ExpectedRun:
    """A run that belongs to the study, and why it failed where it did.

    Attributes:
        folder: its name among the study's runs.
        budget_multiple: other than 1 where the baseline was trained on more or less than the arms.
        schedule: of the rate, where the study has several.
        is_tuned: whether it is an arm under its own best rate.
    """

    id: str
    arm: str
    rung: str
    seed: int
    folder: str
    budget_multiple: float = 1.0
    failure: str | None = None
    schedule: str | None = None
    is_tuned: bool = False

    @classmethod
    def of(cls, spec: RunSpec, folder: Path) -> ExpectedRun:
        """The run of a specification, in its folder."""
        operation = spec.operation
        return cls(
            id=run_id(spec),
            arm=spec.arm,
            rung=spec.rung,
            seed=spec.seed,
            folder=folder.name,
            budget_multiple=operation.budget_multiple,
            schedule=operation.schedule,
            is_tuned=operation.is_tuned,
        )

    def __str__(self) -> str:
        cell = cell_name(self.arm, self.schedule, is_tuned=self.is_tuned)
        return describe(cell, self.rung, self.seed, self.budget_multiple)


def folder_name(spec: RunSpec) -> str:
    """The name of a run's folder, for people: safe for every file system, and never read again."""
    multiple = spec.operation.budget_multiple
    operation = spec.operation
    parts = [spec.arm, *([operation.schedule] if operation.schedule else [])]
    parts += [*(["tuned"] if operation.is_tuned else [])]
    parts += [*([] if multiple == 1 else [f"x{multiple:g}"]), spec.rung]
    named = [re.sub(r"[^A-Za-z0-9.-]+", "_", part)[:_NAMED_CHARACTERS] for part in parts]
    name = "-".join([*named, f"s{spec.seed}", run_id(spec)[:_NAMED_ID]])
    return name.lstrip("._-")


def run_folders(folder: Path) -> dict[str, Path]:
    """Every run folder in a study's folder by the run's id, those of earlier versions too."""
    found = {}
    for path in sorted(folder.glob(f"{RUNS}/*/{SPEC}")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if named := re.search(r"^run: '?([0-9a-f]{16})'?$", text, re.MULTILINE):
            found[named[1]] = path.parent
    return found


def study_lock(folder: Path) -> AbstractContextManager[None]:
    """Hold a study's folder, in which one process runs it, while the context is open."""

    def busy(holder: str) -> RecordError:
        return RecordError(
            f"the study is running: process {holder} is at it",
            where=str(folder),
            remedy=f"See how far with `gradatim status {folder}`, or stop that process first",
        )

    return locked(folder / LOCK, busy, patience_seconds=LOCK_PATIENCE_SECONDS)


def check_study_file(folder: Path) -> None:
    """Refuse a folder whose `study.yaml` is not gradatim's own, since it would be written over.

    Raises:
        MismatchError: somebody else's file lies there.
    """
    path = folder / STUDY_FILE
    if path.exists() and _study_text(path) is None:
        raise MismatchError(
            "was not written by gradatim, or was changed since, and is not written over",
            where=str(path),
            remedy="Keep study files outside the folder of their study: move it, or give --out",
        )


def write_study_file(folder: Path, text: str) -> None:
    """Write the folder's `study.yaml`; raises as `check_study_file` does."""
    check_study_file(folder)
    write_whole(folder / STUDY_FILE, f"{_HEADER}{_hash(text)}\n{text}")


def read_study_file(folder: Path) -> str:
    """The study in YAML, as it was run.

    Raises:
        RecordError: `study.yaml` is missing, or not as it was written.
    """
    path = folder / STUDY_FILE
    if (text := _study_text(path)) is None:
        raise RecordError(
            "is missing, or not as it was written",
            where=str(path),
            remedy="Remove what lies there and run `gradatim study` again: finished runs are kept",
        )
    return text


def _study_text(path: Path) -> str | None:
    try:
        header, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if header == f"{_HEADER}{_hash(text)}" else None


def _hash(text: str) -> str:
    return str(content_hash(text.encode()).hexdigest())


@dataclass(frozen=True)
class StudyIndex:
    """What a study's folder holds.

    Attributes:
        name: of the study.
        question: in words, where the study has one.
        device: kind of device, and number format, of its runs.
        runs: those that belong to it; others in the folder are of an earlier version.
    """

    name: str
    question: str | None
    device: str
    runs: tuple[ExpectedRun, ...]

    @classmethod
    def of(
        cls, name: str, question: str | None, runs: Iterable[tuple[RunSpec, Path]]
    ) -> StudyIndex:
        """The index of a study that begins, from every run and its folder."""
        expected, devices = [], []
        for spec, folder in runs:
            expected.append(ExpectedRun.of(spec, folder))
            devices.append(f"{spec.device}, {spec.precision}")
        return cls(name, question, devices[0], tuple(expected))

    def with_failures(self, failures: dict[str, str]) -> StudyIndex:
        """The same with the reasons of the runs that failed, by run id."""
        return replace(self, runs=tuple(replace(r, failure=failures.get(r.id)) for r in self.runs))

    @property
    def schedules(self) -> tuple[str, ...]:
        """Names of the rate schedules, in the study's order; none where it has one for all."""
        return tuple(dict.fromkeys(run.schedule for run in self.runs if run.schedule))

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence a run that failed."""
        return tuple(f"{run}: {run.failure}" for run in self.runs if run.failure)

    def write(self, folder: Path) -> None:
        """Write the index, whole or not at all."""
        content = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}))
        write_json(folder / STUDY_INDEX, content | {"checksum": hash_json(content)})

    @classmethod
    def read(cls, folder: Path) -> StudyIndex:
        """Read the index of a study's folder.

        Raises:
            RecordError: the folder is not a study's, or its index is damaged or of another version.
        """
        path = folder / STUDY_INDEX
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            checksum = values.pop("checksum", None)
            is_whole = checksum is None or checksum == hash_json(values)
            check_version(values.pop("schema_version", 1), SCHEMA_VERSION, path, RecordError)
            if not is_whole:
                raise ValueError("it is not as it was written")
            return TypeAdapter(StudyIndex).validate_python(values)
        except FileNotFoundError:
            raise RecordError(
                "is not the folder of a study",
                where=str(folder),
                expected=f"a {STUDY_INDEX} in it",
                remedy="Run `gradatim study STUDY.yaml` first",
            ) from None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RecordError(
                "is damaged",
                where=str(path),
                got=f"{type(error).__name__}: {' '.join(str(error).split())}",
                remedy="Remove it and run `gradatim study` again: finished runs are kept",
            ) from None


def check_same_study(index: StudyIndex, folder: Path) -> None:
    """Refuse another study's folder, and another kind of device, on which all runs would be others.

    Raises:
        MismatchError: naming both.
    """
    if not (folder / STUDY_INDEX).exists():
        return
    before = StudyIndex.read(folder)
    if before.name != index.name:
        raise MismatchError(
            "another study lies there",
            where=str(folder),
            expected=before.name,
            got=index.name,
            remedy="Give a folder of its own with --out, or the study its old name",
        )
    if before.device != index.device:
        raise MismatchError(
            "the study was begun on another kind of device or in another number format",
            where=str(folder),
            expected=before.device,
            got=index.device,
            remedy="Go on where it was begun, or run it in a new folder",
        )


State = Literal["finished", "running", "failed", "stopped", "waiting"]


@dataclass(frozen=True)
class RunState:
    """What has become of a run that belongs to a study, as its folder says.

    Attributes:
        state: `stopped` was begun and nobody is at it, `waiting` was not begun.
        progress: compute charged over budget as last written down, 0 to 1.
        reason: why it failed.
        record: what it left so far.
    """

    run: ExpectedRun
    state: State
    progress: float = 0.0
    reason: str | None = None
    record: Record | None = None

    def __str__(self) -> str:
        words = {"stopped": "unfinished", "waiting": "not begun", "running": "still running"}
        return f"{self.run}: {self.reason or words.get(self.state, self.state)}"


def run_state(folder: Path, run: ExpectedRun) -> RunState:
    """What has become of one run of the study in a folder.

    Raises:
        RecordError: its record is damaged, or another run's.
    """
    path = folder / RUNS / run.folder
    record = Record.read(path) if (path / SPEC).exists() else None
    if record is not None and record.id not in (run.id, None):
        raise RecordError(
            "holds another run than the study's index says",
            where=str(path),
            expected=run.id,
            got=str(record.id),
            remedy="Remove the folder and run `gradatim study` again",
        )
    if record is not None and record.is_finished:
        return RunState(run, "finished", 1.0, record=record)
    progress = 0.0
    if record is not None:
        progress = max((event["progress"] for event in record.events("step")), default=0.0)
    if lock_holder(path / LOCK) is not None:
        return RunState(run, "running", progress, record=record)
    if run.failure:
        return RunState(run, "failed", progress, run.failure, record)
    if record is None:
        return RunState(run, "waiting")
    if record.events("not_finite"):
        reason = "stopped at a loss that is not finite"
        return RunState(run, "failed", progress, reason, record)
    return RunState(run, "stopped", progress, record=record)


def read_study(folder: Path) -> tuple[list[Record], list[str]]:
    """The finished runs of a study, and one sentence for each that is missing.

    Runs of an arm, rung and seed are in the order of the study's schedules.

    Raises:
        RecordError: not a study's folder, a record is damaged, or no run is finished.
    """
    states = [run_state(folder, run) for run in StudyIndex.read(folder).runs]
    records = [each.record for each in states if each.record and each.state == "finished"]
    if not records:
        raise RecordError(
            "holds no finished run", where=str(folder), remedy="Run `gradatim study` again"
        )
    ordered = sorted(records, key=lambda r: (r.spec.arm, r.spec.rung, r.spec.seed))
    return ordered, [str(each) for each in states if each.state != "finished"]
