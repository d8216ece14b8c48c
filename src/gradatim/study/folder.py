"""A study on disk: its file, the runs that belong to it, and those that failed.

study.yaml        the study as it was asked
study.json        the runs expected of it, those that failed
store/            the block store, if the study built one
runs/<run id>/    records
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gradatim.errors import MismatchError, RecordError, check_version
from gradatim.files import hash_json, write_json
from gradatim.record.read import Record
from gradatim.record.spec import SPEC, RunSpec, run_id

STUDY_FILE = "study.yaml"
SCHEMA_VERSION = 2
STUDY_INDEX = "study.json"


@dataclass(frozen=True)
class ExpectedRun:
    """A run that belongs to the study, and why it failed where it did."""

    id: str
    arm: str
    rung: str
    seed: int
    failure: str | None = None

    def __str__(self) -> str:
        return f"{self.arm}, rung {self.rung}, seed {self.seed}"


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
    def of(cls, name: str, question: str | None, specs: list[RunSpec]) -> StudyIndex:
        """The index of a study that begins."""
        runs = (ExpectedRun(run_id(s), s.arm, s.rung, s.seed) for s in specs)
        return cls(name, question, f"{specs[0].device}, {specs[0].precision}", tuple(runs))

    def with_failures(self, failures: dict[str, str]) -> StudyIndex:
        """The same with the reasons of the runs that failed, by run id."""
        return replace(self, runs=tuple(replace(r, failure=failures.get(r.id)) for r in self.runs))

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
                remedy="Run `gradatim study STUDY.yaml` again: finished runs are kept",
            ) from None


def check_device(index: StudyIndex, folder: Path) -> None:
    """Refuse to go on with a study on another kind of device: all its runs would be other runs.

    Raises:
        MismatchError: naming both.
    """
    if not (folder / STUDY_INDEX).exists():
        return
    before = StudyIndex.read(folder)
    if before.device != index.device:
        raise MismatchError(
            "the study was begun on another kind of device or in another number format",
            where=str(folder),
            expected=before.device,
            got=index.device,
            remedy="Go on where it was begun, or run it in a new folder",
        )


def read_study(folder: Path) -> tuple[list[Record], list[str]]:
    """The finished runs of a study, and one sentence for each that is missing.

    Raises:
        RecordError: not a study's folder, or no run is finished.
    """
    records, missing = [], []
    for run in StudyIndex.read(folder).runs:
        path = folder / "runs" / run.id
        record = Record.read(path) if (path / SPEC).exists() else None
        if record is not None and record.id not in (run.id, None):
            raise RecordError(
                "holds another run than its name says",
                where=str(path),
                got=str(record.id),
                remedy="Remove the folder and run `gradatim study` again",
            )
        if record is not None and record.is_finished:
            records.append(record)
        else:
            missing.append(f"{run}: {run.failure or _state(record)}")
    if not records:
        raise RecordError(
            "holds no finished run", where=str(folder), remedy="Run `gradatim study` again"
        )
    return sorted(records, key=lambda r: (r.spec.arm, r.spec.rung, r.spec.seed)), missing


def _state(record: Record | None) -> str:
    if record is None:
        return "not begun"
    failed = record.events("not_finite")
    return "stopped at a loss that is not finite" if failed else "unfinished"
