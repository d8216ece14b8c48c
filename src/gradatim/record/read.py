"""What a run left behind, read back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import RecordError
from gradatim.files import content_hash
from gradatim.record.lines import REMEDY, read_bytes, read_lines
from gradatim.record.spec import SPEC, RunSpec, read_named_spec
from gradatim.record.write import (
    BLOCKS,
    EVENT_KINDS,
    EVENTS,
    HASHES,
    LOSSES,
    NORMS,
    SEGMENTS,
    TIMINGS,
    check_events,
    check_hash,
)

RAW_WEIGHTS = "weights"
"""Those that are trained, by the name that averages have beside them."""

CONDITIONS = (
    "num_threads",
    "num_processes",
    "device",
    "processor",
    "vector_instructions",
    "libraries.torch",
)
"""What may change between the segments of a run, and with it the rounding of sums."""


@dataclass(frozen=True)
class Record:
    """A run folder, read. Tables have fixed columns, so records of different runs stack.

    Attributes:
        id: of the run, as it was when it began; None where it did not say.
    """

    folder: Path
    spec: RunSpec
    segments: tuple[dict[str, Any], ...] = field(repr=False)
    seconds: float
    _events: tuple[dict[str, Any], ...] = field(repr=False)
    id: str | None = None

    @classmethod
    def read(cls, folder: Path | str) -> Record:
        """Read a run folder; of an unfinished run, a half-written last line is left out.

        The events of a finished run are compared with the hash in the last of them; its blocks and
        losses are when they are asked for.

        Raises:
            RecordError: no run folder, or a damaged file, named with the line where one is.
        """
        folder = Path(folder)
        spec, name = read_named_spec(folder)
        segments = tuple(read_lines(folder / SEGMENTS, required=("segment",)))
        timings = read_lines(folder / TIMINGS, required=("segment", "seconds"))
        seconds = {timing["segment"]: timing["seconds"] for timing in timings}
        events = read_lines(
            folder / EVENTS, required=("event", "step", "progress"), kinds=EVENT_KINDS
        )
        record = cls(folder, spec, segments, math.fsum(seconds.values()), tuple(events), name)
        if record.start is not None and record.start.get("run") not in (name, None):
            raise RecordError(
                f"is of another run than {EVENTS} beside it",
                where=str(folder / SPEC),
                expected=f"the specification of run {record.start['run']}",
                got=str(name),
                remedy=REMEDY,
            )
        if record.finish is not None:
            if record.finish is not events[-1]:
                raise RecordError(
                    "is damaged: it goes on after the run has finished",
                    where=str(folder / EVENTS),
                    remedy=REMEDY,
                )
            check_events(folder / EVENTS, read_bytes(folder / EVENTS), record.finish)
        return record

    @property
    def environment(self) -> dict[str, Any]:
        """Where its last segment ran."""
        return self.segments[-1] if self.segments else {}

    def changed_conditions(self) -> list[str]:
        """What was not the same in all segments and may show in the last bits, in words."""
        found = []
        for name in CONDITIONS:
            values = dict.fromkeys(str(_at(segment, name)) for segment in self.segments)
            if len(values) > 1:
                found.append(f"{name.rpartition('.')[2]} {', then '.join(values)}")
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in the order they happened."""
        assert kind in EVENT_KINDS, kind
        return [event for event in self._events if event["event"] == kind]

    def evaluations(self, weights: str | None = None) -> list[dict[str, Any]]:
        """The evaluations of some weights, in order.

        Args:
            weights: `weights`, which are trained, or the name of an average of them; by default the
                run's outcome.
        """
        weights = weights or self.outcome
        if weights == RAW_WEIGHTS:
            return self.events("evaluate")
        return [each for each in self.events("evaluate_average") if each.get("weights") == weights]

    @property
    def averages(self) -> tuple[str, ...]:
        """Names of the averages of the weights that were evaluated."""
        return tuple(dict.fromkeys(e["weights"] for e in self.events("evaluate_average")))

    @property
    def outcome(self) -> str:
        """Which weights the run hands out at its end, and by which it is judged."""
        return self.spec.recipe.rate.outcome

    @property
    def start(self) -> dict[str, Any] | None:
        """The `start` event: plan, steps, parameters, fingerprint of the store."""
        return next(iter(self.events("start")), None)

    @property
    def finish(self) -> dict[str, Any] | None:
        """The `finish` event, the last one, or None while the run is unfinished."""
        return next(iter(self.events("finish")), None)

    @property
    def is_finished(self) -> bool:
        return self.finish is not None

    def drawn_blocks(self) -> NDArray[np.uint32]:
        """Block ids drawn, in order: those of a step follow those before it (`Clock.draws`)."""
        return self._values(BLOCKS, np.dtype("<u4"))

    def block_losses(self) -> NDArray[np.float32]:
        """Mean loss in nats of each drawn block at its visit, in order of drawing."""
        return self._values(LOSSES, np.dtype("<f4"))

    def update_norms(self) -> NDArray[np.float32]:
        """Norm of every step's whole change of the weights, [steps]; empty where not kept."""
        if not self.spec.recipe.data.reads_update_norms:
            return np.empty(0, np.float32)
        return self._values(NORMS, np.dtype("<f4"), is_of_steps=True)

    def _values(self, name: str, dtype: np.dtype[Any], is_of_steps: bool = False) -> NDArray[Any]:
        path = self.folder / name
        content = read_bytes(path)
        clock = self.spec.clock()
        num_values = len(content) // dtype.itemsize
        if self.finish is not None:
            num_steps = self.finish["step"]
        else:
            num_steps = num_values if is_of_steps else clock.steps_of(num_values)
        num_bytes = (num_steps if is_of_steps else clock.draws(num_steps)) * dtype.itemsize
        if self.finish is not None:
            if len(content) != num_bytes:
                raise RecordError(
                    "is damaged",
                    where=str(path),
                    expected=f"{num_bytes} bytes for {num_steps} steps",
                    got=f"{len(content)}",
                    remedy=REMEDY,
                )
            check_hash(path, content_hash(content), self.finish.get(HASHES, {}).get(name))
        return np.frombuffer(content[:num_bytes], dtype=dtype)


def is_finished(folder: Path) -> bool:
    """Whether a run folder, which may not be there, holds a finished run."""
    return (folder / SPEC).exists() and Record.read(folder).is_finished


def read_records(folder: Path | str, *, skipped: list[str] | None = None) -> list[Record]:
    """Read the finished runs of a folder of run folders, ordered by arm, rung and seed.

    Args:
        folder: holds run folders, or a folder `runs` that does.
        skipped: receives a clause for every unfinished run.

    Raises:
        RecordError: a record is damaged, or there is none.
    """
    folder = Path(folder)
    found = sorted({*folder.glob(f"*/{SPEC}"), *folder.glob(f"runs/*/{SPEC}")})
    if not found:
        raise RecordError("holds no runs", where=str(folder), expected=f"folders with a {SPEC}")
    finished = []
    for path in found:
        record = Record.read(path.parent)
        if record.is_finished:
            finished.append(record)
        elif skipped is not None:
            spec, failed = record.spec, record.events("not_finite")
            reason = "stopped at a loss that is not finite" if failed else "is unfinished"
            skipped.append(f"{spec.arm}, rung {spec.rung}, seed {spec.seed} {reason}")
    return sorted(finished, key=lambda run: (run.spec.arm, run.spec.rung, run.spec.seed))


def _at(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) or {}
    return values
