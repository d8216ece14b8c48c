"""The files of a run folder: appended while the run goes on, cut back when it is resumed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import RecordError
from gradatim.files import content_hash
from gradatim.record.lines import REMEDY, json_line, opened, read_bytes, read_lines

EVENT_KINDS = (
    "start", "step", "data", "evaluate", "evaluate_average", "sample", "finish", "not_finite"
)  # fmt: skip

SEGMENTS, TIMINGS = "segments.jsonl", "timings.jsonl"
EVENTS, BLOCKS, LOSSES = "events.jsonl", "blocks.bin", "losses.bin"
NORMS = "update_norms.bin"  # of a run whose data timeline reads them
RESUMED_FILES = (
    EVENTS,
    BLOCKS,
    LOSSES,
    NORMS,
)  # cut back on resume; the clock never runs backwards

_BYTES_AT_ONCE = 1 << 20

HASHES = "hashes"  # the last key of the last event

LIBRARIES = ("gradatim", "torch", "numpy", "tokenizers")  # those on the way of a run


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

    A checkpoint is `flush(sync=True)`, then `offsets()` and `hashes()`; resuming is `truncate` to
    both before anything is appended. Each writer is one segment of the run, with the environment it
    runs in and its own `clock` (seconds from any origin). `update_norms.bin` is there only
    where the run `keeps_update_norms`.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        environment: Mapping[str, Any] | None = None,
        keeps_update_norms: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resumed = tuple(n for n in RESUMED_FILES if keeps_update_norms or n != NORMS)
        self._hashes = {name: _hash_of(self.folder / name) for name in self._resumed}
        for name in (SEGMENTS, TIMINGS):
            _drop_half_line(self.folder / name)
        self._segment = len(read_lines(self.folder / SEGMENTS, required=("segment",)))
        with opened(self.folder / SEGMENTS, "ab") as file:
            file.write(json_line({"segment": self._segment, **(environment or {})}))
            file.flush()
            os.fsync(file.fileno())
        self._files: dict[str, BinaryIO] = {
            name: opened(self.folder / name, "ab") for name in (*self._resumed, TIMINGS)
        }
        self._clock = clock
        self._started_seconds = clock()

    def append(self, event: Mapping[str, Any]) -> None:
        """Append one event; it carries at least `event`, `step` and `progress`.

        JSON has no NaN: numbers that are not finite are written as null. The last event, `finish`,
        gets the hashes of these files as they are before these hashes.
        """
        assert event["event"] in EVENT_KINDS, event["event"]
        assert {"step", "progress"} <= event.keys(), event
        line = json_line(event)
        if event["event"] == "finish":
            self._write(EVENTS, line[:-2])  # without the brace and the line end
            line = b"," + json_line({HASHES: self.hashes()})[1:]
        self._write(EVENTS, line)

    def append_blocks(
        self,
        block_ids: NDArray[Any],
        losses_nats: NDArray[Any],
        update_norm: float | None = None,
    ) -> None:
        """Append one step's drawn blocks and their mean losses, one each a block.

        `update_norm` is the norm of the step's whole change of the weights.
        """
        assert block_ids.shape == losses_nats.shape, (block_ids.shape, losses_nats.shape)
        self._write(BLOCKS, np.asarray(block_ids, dtype="<u4").tobytes())
        self._write(LOSSES, np.asarray(losses_nats, dtype="<f4").tobytes())
        if update_norm is not None:
            self._write(NORMS, np.asarray(update_norm, dtype="<f4").tobytes())

    def append_timing(self, *, step: int, tokens: int) -> None:
        """Note the seconds since this writer was opened, beside the step and tokens reached."""
        seconds = round(self._clock() - self._started_seconds, 6)
        timing = {"segment": self._segment, "step": step, "tokens": tokens, "seconds": seconds}
        self._files[TIMINGS].write(json_line(timing))

    def flush(self, sync: bool = False) -> None:
        """Hand what was appended to the system; with `sync`, wait until the disk has it."""
        for file in self._files.values():
            file.flush()
            if sync:
                os.fsync(file.fileno())

    def offsets(self) -> dict[str, int]:
        """Bytes appended so far, by file name; `timings.jsonl` is not among them."""
        return {name: self._files[name].tell() for name in self._resumed}

    def hashes(self) -> dict[str, str]:
        """Hashes of the bytes appended so far, by file name, kept up while they are appended."""
        return {name: content.hexdigest() for name, content in self._hashes.items()}

    def check(self) -> None:
        """Read what was appended and compare it with its hashes.

        Raises:
            RecordError: a file is not as it was written.
        """
        self.flush()
        for name, expected in self.hashes().items():
            check_hash(self.folder / name, _hash_of(self.folder / name), expected)

    def truncate(self, offsets: Mapping[str, int], hashes: Mapping[str, str] | None = None) -> None:
        """Cut the files back to noted offsets; a file not named is emptied.

        Args:
            offsets: what `offsets` gave.
            hashes: what `hashes` gave then, compared before anything is cut.

        Raises:
            RecordError: a file is shorter than the offset, or is not as it was written; nothing
                has been cut then.
        """
        self.flush()
        kept = check_beginnings(self.folder, offsets, hashes or {})
        for name in self._resumed:
            self._files[name].truncate(offsets.get(name, 0))
            self._files[name].seek(0, os.SEEK_END)
        self._hashes = {name: kept[name] for name in self._resumed}

    def _write(self, name: str, content: bytes) -> None:
        self._files[name].write(content)
        self._hashes[name].update(content)

    def close(self) -> None:
        """Flush and close every file."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()


def check_beginnings(
    folder: Path, offsets: Mapping[str, int], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """The files of an unfinished run up to noted offsets as hashes, compared with those noted.

    Raises:
        RecordError: a file is shorter than the offset, or is not as it was written.
    """
    found = {}
    for name in RESUMED_FILES:
        path, num_bytes = folder / name, offsets.get(name, 0)
        size = path.stat().st_size if path.exists() else 0
        if size < num_bytes:
            problem = f"has {size} bytes, the checkpoint says {num_bytes}"
            raise RecordError(problem, where=str(path), remedy=REMEDY)
        found[name] = _hash_of(path, num_bytes)
        check_hash(path, found[name], hashes.get(name))
    return found


def check_events(path: Path, content: bytes, finish: Mapping[str, Any]) -> None:
    """Compare the events of a finished run with the hash in the last of them.

    Raises:
        RecordError: they are not as they were written.
    """
    hashed, _, _ = content.rpartition(f',"{HASHES}":'.encode())
    check_hash(path, content_hash(hashed), finish.get(HASHES, {}).get(EVENTS))


def check_hash(path: Path, found: Any, expected: str | None) -> None:
    """Compare what a file holds with what its run noted; None where it noted nothing.

    Raises:
        RecordError: the file is not as it was written.
    """
    if expected is not None and found.hexdigest() != expected:
        raise RecordError(
            "is damaged: it is not as it was written",
            where=str(path),
            expected=f"content that hashes to {expected}",
            got=found.hexdigest(),
            remedy=REMEDY,
        )


def _hash_of(path: Path, num_bytes: int | None = None) -> Any:
    """The hash of a file, or of its first bytes, to be gone on with; a little memory."""
    found = content_hash()
    left = path.stat().st_size if num_bytes is None and path.is_file() else num_bytes or 0
    if path.exists():
        with opened(path, "rb") as file:
            while content := file.read(min(left, _BYTES_AT_ONCE)):
                found.update(content)
                left -= len(content)
    return found


def _drop_half_line(path: Path) -> None:
    content = read_bytes(path)
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
