"""What a run asked for and what it leaves behind: one folder, written once, read back as tables.

A run folder holds `spec.yaml` (the complete specification), `environment.json` (where it ran),
`events.jsonl` (what happened, without a clock, so that a killed and resumed run leaves the same
bytes as an undisturbed one), `timings.jsonl` (the clock), `blocks.bin` and `losses.bin` (every
block drawn and its loss, uint32 and float32, a batch a step) and `checkpoints/`. Everything is
appended; a resumed run first cuts the files back to its checkpoint's offsets.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Self

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradatim.compute import Shape
from gradatim.errors import RecordError
from gradatim.recipe import Recipe, ScoresReference, Scoring

EVENT_KINDS = ("start", "step", "evaluate", "sample", "finish", "not_finite")

SPEC, ENVIRONMENT, TIMINGS = "spec.yaml", "environment.json", "timings.jsonl"
EVENTS, BLOCKS, LOSSES = "events.jsonl", "blocks.bin", "losses.bin"
RESUMED_FILES = (EVENTS, BLOCKS, LOSSES)  # cut back on resume; the clock never runs backwards

_REMEDY = "Delete the run folder to start the run again"
_CLOCK = {"step": pl.Int64, "progress": pl.Float64, "tokens": pl.Int64, "flops": pl.Float64}
_STEP_COLUMNS = _CLOCK | dict.fromkeys(("loss_nats", "learning_rate", "gradient_norm"), pl.Float64)
_VALUE = {"measure": pl.String, "name": pl.String, "value": pl.Float64, "chance": pl.Float64}


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreReference(_Spec):
    """A block store and the model scores a run uses: where, and with which fingerprints."""

    path: str
    fingerprint: str
    scores: tuple[ScoresReference, ...] = ()


class OptimizerSpec(_Spec):
    """AdamW; weight decay is decoupled and applies to matrices only. `None` clips nothing."""

    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)


class EvaluationSpec(_Spec):
    """What is measured at `num_points` fixed points of progress, the same for every arm."""

    num_points: int = Field(default=16, ge=1)
    num_blocks: int = Field(default=96, ge=1, description="held-out blocks, even over bands")
    num_bands: int = Field(default=5, ge=1)
    num_tasks: int = Field(default=0, ge=0, description="task items a level and split")
    num_samples: int = Field(default=3, ge=0)


class RunSpec(_Spec):
    """One run: rung x arm x seed, complete. Equal specifications give equal bits on one machine."""

    store: StoreReference
    arm: str = Field(min_length=1)
    rung: str = Field(min_length=1)
    seed: int = Field(ge=0)
    shape: Shape
    recipe: Recipe
    budget_flops: float = Field(gt=0, allow_inf_nan=False)
    batch_blocks: int = Field(ge=1)
    micro_batch_blocks: int | None = Field(default=None, ge=1)
    optimizer: OptimizerSpec = OptimizerSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    checkpoint_every_fraction: float = Field(default=0.1, gt=0, le=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    keep_checkpoints_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    scoring: Scoring = Scoring()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False


def run_id(spec: RunSpec) -> str:
    """16 hex digits naming the run: a hash of the whole specification but for the store's path.

    Settings that came later count only where they are used, so that older runs keep their names.
    """
    content = spec.model_dump(mode="json", exclude={"store": {"path"}})
    if not spec.store.scores:
        del content["scoring"], content["store"]["scores"]
    if not spec.keep_checkpoints_at:
        del content["keep_checkpoints_at"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def write_spec(folder: Path, spec: RunSpec) -> None:
    """Write `spec.yaml` aside and rename it, so that it is complete or absent."""
    content = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    _write_whole(folder / SPEC, content)


def read_spec(folder: Path) -> RunSpec:
    """Read `spec.yaml`.

    Raises:
        RecordError: it is missing, is no YAML, or says something a run cannot mean.
    """
    path = folder / SPEC
    try:
        return RunSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecordError(f"is no run folder: no {SPEC} in it", where=str(folder)) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise RecordError("is not a run specification", where=str(path), got=reason) from None


def environment() -> dict[str, Any]:
    """The machine and the libraries of this process; nothing heavy is imported to ask."""
    libraries = ("gradatim", "torch", "numpy", "numba", "tokenizers", "polars")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "num_cores": os.cpu_count(),
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
    }


def write_environment(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `environment.json`, whole or not at all."""
    _write_whole(folder / ENVIRONMENT, json.dumps(_plain(content), indent=2) + "\n")


class RunWriter:
    """Appends to a run folder. Lines are buffered until `flush`.

    A checkpoint is `flush(sync=True)`, then `offsets()`; resuming is `truncate(offsets)` before
    anything is appended. Each writer is one segment of the `clock` (seconds from any origin).
    """

    def __init__(self, folder: Path | str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        _drop_half_line(self.folder / TIMINGS)
        timings = _read_lines(self.folder / TIMINGS, required=("segment", "seconds"))
        self._segment = timings[-1]["segment"] + 1 if timings else 0
        self._files: dict[str, BinaryIO] = {
            name: (self.folder / name).open("ab") for name in (*RESUMED_FILES, TIMINGS)
        }
        self._clock = clock
        self._started_seconds = clock()

    def append(self, event: Mapping[str, Any]) -> None:
        """Append one event; it carries at least `event`, `step` and `progress`.

        JSON has no NaN: numbers that are not finite are written as null.
        """
        assert event["event"] in EVENT_KINDS, event["event"]
        assert {"step", "progress"} <= event.keys(), event
        self._files[EVENTS].write(_json_line(event))

    def append_blocks(self, block_ids: NDArray[Any], losses_nats: NDArray[Any]) -> None:
        """Append one step's drawn blocks and their mean losses, both of shape [batch_blocks]."""
        assert block_ids.shape == losses_nats.shape, (block_ids.shape, losses_nats.shape)
        self._files[BLOCKS].write(np.asarray(block_ids, dtype="<u4").tobytes())
        self._files[LOSSES].write(np.asarray(losses_nats, dtype="<f4").tobytes())

    def append_timing(self, *, step: int, tokens: int) -> None:
        """Note the seconds since this writer was opened, beside the step and tokens reached."""
        seconds = round(self._clock() - self._started_seconds, 6)
        timing = {"segment": self._segment, "step": step, "tokens": tokens, "seconds": seconds}
        self._files[TIMINGS].write(_json_line(timing))

    def flush(self, sync: bool = False) -> None:
        """Hand what was appended to the system; with `sync`, wait until the disk has it."""
        for file in self._files.values():
            file.flush()
            if sync:
                os.fsync(file.fileno())

    def offsets(self) -> dict[str, int]:
        """Bytes appended so far, by file name; `timings.jsonl` is not among them."""
        return {name: self._files[name].tell() for name in RESUMED_FILES}

    def truncate(self, offsets: Mapping[str, int]) -> None:
        """Cut the files back to noted offsets; a file not named is emptied.

        Raises:
            RecordError: a file is shorter than the offset; nothing has been cut then.
        """
        self.flush()
        for name in RESUMED_FILES:
            size = (self.folder / name).stat().st_size
            if size < offsets.get(name, 0):
                problem = f"has {size} bytes, the checkpoint says {offsets[name]}"
                raise RecordError(problem, where=str(self.folder / name), remedy=_REMEDY)
        for name in RESUMED_FILES:
            self._files[name].truncate(offsets.get(name, 0))
            self._files[name].seek(0, os.SEEK_END)

    def close(self) -> None:
        """Flush and close every file."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()


@dataclass(frozen=True)
class Record:
    """A run folder, read. Tables have fixed columns, so records of different runs stack."""

    folder: Path
    spec: RunSpec
    environment: dict[str, Any]
    seconds: float
    _events: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, folder: Path | str) -> Record:
        """Read a run folder; of an unfinished run, a half-written last line is left out.

        Raises:
            RecordError: no run folder, or a damaged line, named by file and number.
        """
        folder = Path(folder)
        spec = read_spec(folder)
        path = folder / ENVIRONMENT
        try:
            where_it_ran = json.loads(path.read_bytes()) if path.exists() else {}
        except ValueError as error:
            raise RecordError("is damaged", where=str(path), got=str(error)) from None
        timings = _read_lines(folder / TIMINGS, required=("segment", "seconds"))
        segments = {timing["segment"]: timing["seconds"] for timing in timings}
        events = tuple(_read_lines(folder / EVENTS, required=("event", "step", "progress")))
        return cls(folder, spec, where_it_ran, math.fsum(segments.values()), events)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind, in the order they happened."""
        assert kind in EVENT_KINDS, kind
        return [event for event in self._events if event["event"] == kind]

    @property
    def start(self) -> dict[str, Any] | None:
        """The `start` event: plan, steps, parameters, fingerprint of the store."""
        return next(iter(self.events("start")), None)

    @property
    def finish(self) -> dict[str, Any] | None:
        """The `finish` event, or None while the run is unfinished."""
        return next(iter(self.events("finish")), None)

    @property
    def is_finished(self) -> bool:
        return self.finish is not None

    def steps(self) -> pl.DataFrame:
        """One row a recorded step: loss, rate, gradient norm, tokens, FLOPs charged so far."""
        rows = [{name: event.get(name) for name in _STEP_COLUMNS} for event in self.events("step")]
        return pl.DataFrame(rows, schema=_STEP_COLUMNS)

    def evaluations(self) -> pl.DataFrame:
        """Long table: `measure` is `bits_per_byte` (names `all`, `band/1`, `source/...`), or
        `accuracy` or `probability` (names of tasks, such as `held_out/b`, with their chance rate).
        """
        rows = [row for event in self.events("evaluate") for row in _evaluation_rows(event)]
        return pl.DataFrame(rows, schema={**_CLOCK, **_VALUE}, orient="row")

    def drawn_blocks(self) -> NDArray[np.uint32]:
        """Block ids drawn, [steps, batch_blocks]."""
        return self._batches(BLOCKS, np.dtype("<u4"))

    def block_losses(self) -> NDArray[np.float32]:
        """Mean loss in nats of each drawn block at its visit, [steps, batch_blocks]."""
        return self._batches(LOSSES, np.dtype("<f4"))

    def _batches(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        path = self.folder / name
        content = path.read_bytes() if path.exists() else b""
        row_bytes = self.spec.batch_blocks * dtype.itemsize
        num_steps, rest_bytes = divmod(len(content), row_bytes)
        if self.finish is not None and (rest_bytes or num_steps != self.finish["step"]):
            expected, got = f"{self.finish['step']} steps of {row_bytes} bytes", f"{len(content)}"
            raise RecordError("is damaged", where=str(path), expected=expected, got=got)
        values = np.frombuffer(content[: num_steps * row_bytes], dtype=dtype)
        return values.reshape(num_steps, self.spec.batch_blocks)


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


def _evaluation_rows(event: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    point = tuple(event[name] for name in _CLOCK)
    for name, value in event["bits_per_byte"].items():
        yield (*point, "bits_per_byte", name, value, None)
    for name, scores in event.get("tasks", {}).items():
        for measure in ("accuracy", "probability"):
            yield (*point, measure, name, scores[measure], scores["chance"])


def _read_lines(path: Path, *, required: tuple[str, ...]) -> list[dict[str, Any]]:
    """Parsed JSON lines; a last line without its line end was cut off by a kill and is dropped."""
    if not path.exists():
        return []
    *lines, _cut_off = path.read_bytes().split(b"\n")
    parsed = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict) or not value.keys() >= set(required):
            raise RecordError(
                "is damaged",
                where=f"{path}, line {number}",
                expected=f"a JSON object with {', '.join(required)}",
                got=repr(line[:60].decode("utf-8", "replace")),
                remedy=_REMEDY,
            )
        parsed.append(value)
    return parsed


def _drop_half_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _json_line(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    """The value as JSON can carry it: numpy unwrapped, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _write_whole(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".aside")
    with aside.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
