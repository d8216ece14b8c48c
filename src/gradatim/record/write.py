"""The files of a run folder: appended while the run goes on, cut back when it is resumed."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import RecordError

EVENT_KINDS = ("start", "step", "evaluate", "sample", "finish", "not_finite")

SEGMENTS, TIMINGS = "segments.jsonl", "timings.jsonl"
EVENTS, BLOCKS, LOSSES = "events.jsonl", "blocks.bin", "losses.bin"
RESUMED_FILES = (EVENTS, BLOCKS, LOSSES)  # cut back on resume; the clock never runs backwards

LIBRARIES = ("gradatim", "torch", "numpy", "tokenizers")  # those on the way of a run

_REMEDY = "Delete the run folder to start the run again"


def environment() -> dict[str, Any]:
    """The machine and the libraries of this process; nothing heavy is imported to ask."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "num_cores": os.cpu_count(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


class RunWriter:
    """Appends to a run folder. Lines are buffered until `flush`.

    A checkpoint is `flush(sync=True)`, then `offsets()`; resuming is `truncate(offsets)` before
    anything is appended. Each writer is one segment of the run, with the environment it runs in and
    its own `clock` (seconds from any origin).
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        environment: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (SEGMENTS, TIMINGS):
            _drop_half_line(self.folder / name)
        self._segment = len(read_lines(self.folder / SEGMENTS, required=("segment",)))
        with (self.folder / SEGMENTS).open("ab") as file:
            file.write(_json_line({"segment": self._segment, **(environment or {})}))
            file.flush()
            os.fsync(file.fileno())
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


def read_lines(path: Path, *, required: tuple[str, ...]) -> list[dict[str, Any]]:
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
