"""A study on disk: its file, the runs that belong to it, and those that failed.

study.yaml        the study as it was asked
study.json        ids of its runs, failures
store/            the block store, if the study built one
runs/<run id>/    records
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradatim.errors import RecordError
from gradatim.record.read import Record, read_records
from gradatim.record.spec import run_id

STUDY_FILE = "study.yaml"
_INDEX = "study.json"


@dataclass(frozen=True)
class StudyIndex:
    """What a study's folder holds.

    Attributes:
        name: of the study.
        question: in words, where the study has one.
        run_ids: the runs that belong to it; others in the folder are of an earlier version.
        failures: one sentence a run that failed.
    """

    name: str
    question: str | None = None
    run_ids: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the index, whole or not at all."""
        values = {
            "name": self.name,
            "question": self.question,
            "run_ids": list(self.run_ids),
            "failures": list(self.failures),
        }
        partial = folder / f"{_INDEX}.partial"
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / _INDEX)

    @classmethod
    def read(cls, folder: Path) -> StudyIndex:
        """Read the index of a study's folder.

        Raises:
            RecordError: the folder is not a study's, or its index is damaged.
        """
        path = folder / _INDEX
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                name=values["name"],
                question=values["question"],
                run_ids=tuple(values["run_ids"]),
                failures=tuple(values["failures"]),
            )
        except FileNotFoundError:
            raise RecordError(
                "is not the folder of a study",
                where=str(folder),
                expected=f"a {_INDEX} in it",
                remedy="Run `gradatim study STUDY.yaml` first",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                "is damaged",
                where=str(path),
                got=f"{type(error).__name__}: {error}",
                remedy="Run `gradatim study STUDY.yaml` again: finished runs are kept",
            ) from None


def read_study(folder: Path) -> tuple[list[Record], list[str]]:
    """The finished runs of a study, and one sentence for each that is missing.

    Raises:
        RecordError: not a study's folder, or no run is finished.
    """
    index = StudyIndex.read(folder)
    unfinished: list[str] = []
    wanted = set(index.run_ids)
    records = [
        record
        for record in read_records(folder, skipped=unfinished)
        if run_id(record.spec) in wanted
    ]
    if not records:
        raise RecordError(
            "holds no finished run", where=str(folder), remedy="Run `gradatim study` again"
        )
    return records, missing_runs(index.failures, unfinished)


def missing_runs(failures: Sequence[str], unfinished: Sequence[str]) -> list[str]:
    """One sentence a missing run; a failed run is not named a second time as unfinished."""
    return [*failures, *(text for text in unfinished if not _names_failed(text, failures))]


def _names_failed(text: str, failures: Sequence[str]) -> bool:
    return any(text.startswith(failure.split(":", 1)[0]) for failure in failures)
