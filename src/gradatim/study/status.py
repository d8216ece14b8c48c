"""How far a study is, for whoever asks from outside: its folder and what its process notes there.

Which runs are finished, running, failed or waiting follows from the index and the run folders
alone. A run in motion writes its record down only now and then, so the process that runs the study
notes the progress it hears of in `progress.json`; that is believed of running runs only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradatim.errors import RecordError
from gradatim.files import lock_holder, write_whole
from gradatim.study.folder import LOCK, RunState, StudyIndex, run_state

if TYPE_CHECKING:
    from gradatim.study.execute import Job, JobEvent

PROGRESS_FILE = "progress.json"
NOTE_SECONDS = 2.0


@dataclass(frozen=True)
class StudyStatus:
    """Every run of a study with its state.

    Attributes:
        holder: the process that runs the study now; None is none.
        remaining_seconds: until the whole study ends, where that can be said; by run id likewise.
        damaged: one sentence for every record that cannot be read.
    """

    name: str
    holder: str | None
    states: tuple[RunState, ...]
    remaining_seconds: float | None
    remaining_of: dict[str, float]
    damaged: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        runs = [
            {
                "id": each.run.id,
                "arm": each.run.arm,
                "schedule": each.run.schedule,
                "is_tuned": each.run.is_tuned,
                "rung": each.run.rung,
                "seed": each.run.seed,
                "budget_multiple": each.run.budget_multiple,
                "folder": each.run.folder,
                "state": each.state,
                "progress": each.progress,
                "remaining_seconds": self.remaining_of.get(each.run.id),
                "reason": each.reason,
            }
            for each in self.states
        ]
        whole = {"name": self.name, "process": self.holder, "damaged": list(self.damaged)}
        return whole | {"remaining_seconds": self.remaining_seconds, "runs": runs}


def study_status(folder: Path) -> StudyStatus:
    """What has become of every run of the study in a folder; changes nothing there.

    Raises:
        RecordError: not a study's folder, or its index is damaged.
    """
    index = StudyIndex.read(folder)
    holder = lock_holder(folder / LOCK)
    noted = _read_notes(folder) if holder else {}
    states, remaining, damaged = [], {}, []
    for run in index.runs:
        try:
            state = run_state(folder, run)
        except RecordError as error:
            damaged.append(str(error))
            state = RunState(run, "failed", reason=str(error))
        if state.state == "running" and run.id in noted:
            progress, seconds = noted[run.id]
            state = replace(state, progress=max(progress, state.progress))
            if seconds is not None:
                remaining[run.id] = seconds
        states.append(state)
    _progress, whole_seconds = noted.get("", (0.0, None))
    return StudyStatus(index.name, holder, tuple(states), whole_seconds, remaining, tuple(damaged))


def _read_notes(folder: Path) -> dict[str, tuple[float, float | None]]:
    """Progress and remaining seconds by run id, of the whole study under no id."""
    try:
        values = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
        return {
            str(key): (float(progress), None if seconds is None else float(seconds))
            for key, (progress, seconds) in values.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


class ProgressNotes:
    """Writes down how far a study is, now and then; hears the same events as its bars."""

    def __init__(self, folder: Path, jobs: Sequence[Job]) -> None:
        self._path = folder / PROGRESS_FILE
        self._flops = {job.id: job.spec.budget_flops for job in jobs}
        self._began: dict[str, tuple[float, float]] = {}
        self._done: dict[str, float] = {}
        self._due = self._began_seconds = time.monotonic()
        self._began_flops: float | None = None

    def __call__(self, event: JobEvent) -> None:
        """Take note of one event."""
        now, run = time.monotonic(), event.job.id
        if event.kind == "progress":
            self._done[run] = event.progress
            self._began.setdefault(run, (now, event.progress))
        elif event.kind in ("finished", "failed"):
            self._done[run] = 1.0  # nothing of it is left to do
            self._began.pop(run, None)
        if now >= self._due:
            self._due = now + NOTE_SECONDS
            self._write(now)

    def _write(self, now: float) -> None:
        notes: dict[str, tuple[float, float | None]] = {
            run: (self._done[run], _remaining(now - began, first, self._done[run]))
            for run, (began, first) in self._began.items()
        }
        total = sum(self._flops.values())
        done = sum(self._flops[run] * share for run, share in self._done.items()) / total
        if self._began_flops is None:
            self._began_seconds, self._began_flops = now, done
        seconds = _remaining(now - self._began_seconds, self._began_flops, done)
        write_whole(self._path, json.dumps({"": (done, seconds), **notes}))


def _remaining(elapsed_seconds: float, first: float, progress: float) -> float | None:
    """Seconds to go at the pace so far; None while there is none."""
    if progress <= first or elapsed_seconds <= 0:
        return None
    return elapsed_seconds * (1 - progress) / (progress - first)
