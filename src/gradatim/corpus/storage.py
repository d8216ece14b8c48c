"""Files on this machine and, through fsspec, anywhere else: listed, opened, written whole.

A location with `://` in it (`s3://bucket/folder`, `gs://...`, `memory://...`) is fsspec's; any
other, and `file://`, is a path of this machine. What is written appears under its name only when
it is complete.
"""

from __future__ import annotations

import io
import lzma
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
from pyarrow import fs as arrow_fs

from gradatim import files
from gradatim.corpus.folders import PassedOver
from gradatim.corpus.locations import COMPRESSIONS, CorpusFile, find_files, remote_files
from gradatim.errors import InputError, MissingExtraError

_LOCAL = "file://"
_STREAM_BYTES = 2**20

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}
"""How a pointer begins, what made it, and what fetches the file."""


def is_remote(location: str) -> bool:
    """Whether a location is fsspec's to reach."""
    return "://" in location and not location.startswith(_LOCAL)


def compression_of(path: str) -> str | None:
    """The codec that the name of a file tells of."""
    return COMPRESSIONS.get(os.path.splitext(path)[1].lower())  # noqa: PTH122  a URL is no path


def corpus_files(location: str, passed_over: PassedOver | None = None) -> list[CorpusFile]:
    """The files of a path, folder, glob or URL of one, as `find_files` has them.

    Raises:
        InputError: nothing there, or nothing of a known kind.
        MissingExtraError: the package that reaches the store is not installed.
    """
    if not is_remote(location):
        return find_files(location.removeprefix(_LOCAL), passed_over)
    filesystem, path = _filesystem_of(location)
    try:
        return remote_files(filesystem, path, location, passed_over)
    except InputError:
        raise
    except Exception as error:  # every store's library has its own
        raise InputError(
            "cannot be reached",
            where=location,
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            remedy="Check the location, the connection and the credentials",
        ) from error


def open_input(path: str | Path) -> pa.NativeFile:
    """A file open for reading at any place.

    Raises:
        OSError: it cannot be opened.
    """
    if not is_remote(str(path)):
        return pa.OSFile(os.fsencode(str(path).removeprefix(_LOCAL)))
    filesystem, inner = _filesystem_of(str(path))
    return arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(filesystem)).open_input_file(inner)


def stamp_of(path: str | Path) -> tuple[int, int] | None:
    """Size and time of change of a file of this machine; None elsewhere, or where it is none."""
    try:
        status = None if is_remote(str(path)) else Path(str(path).removeprefix(_LOCAL)).stat()
    except OSError:
        status = None
    return None if status is None else (status.st_size, status.st_mtime_ns)


def refuse_pointer(path: str | Path) -> None:
    """Refuses what stands for a file that was never fetched.

    Raises:
        InputError: it is a pointer of Git LFS or git-annex.
        OSError: it cannot be read.
    """
    with open_input(path) as file:
        head = bytes(file.read(max(map(len, _POINTERS))))
    for first, (name, command) in _POINTERS.items():
        if head.startswith(first):
            raise InputError(
                f"a pointer of {name}, not the file itself",
                where=str(path),
                expected="the file's content",
                got=repr(head.decode(errors="replace")),
                remedy=f"Fetch it: {command}",
            )


def open_stream(path: str | Path) -> io.BufferedReader:
    """A file open for reading from its beginning, decompressed if its name says so."""
    stream = open_input(path)
    codec = compression_of(str(path))
    # Arrow's streams, unlike zstandard's, read on after the first frame and notice a cut-off file.
    if codec == "xz":
        return io.BufferedReader(lzma.LZMAFile(stream), _STREAM_BYTES)
    if codec is not None:
        stream = pa.CompressedInputStream(stream, codec)
    return io.BufferedReader(stream, _STREAM_BYTES)


class OutputFolder:
    """A folder that files are put into, each complete from its first moment."""

    def __init__(self, location: str | Path) -> None:
        self.location = str(location).removeprefix(_LOCAL)
        self.local: Path | None = None
        if is_remote(self.location):
            self._filesystem, self._root = _filesystem_of(self.location)
        else:
            self.local = Path(self.location).expanduser()

    def path_of(self, name: str) -> str:
        """What `open_input` opens the file by."""
        if self.local is not None:
            return str(self.local / name)
        return f"{self.location.rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """Names of the complete files in the folder, sorted; none where there is no folder."""
        if self.local is not None:
            names = [entry.name for entry in self.local.iterdir()] if self.local.is_dir() else []
        else:
            self._filesystem.invalidate_cache()
            is_there = self._filesystem.exists(self._root)
            found = self._filesystem.ls(self._root, detail=False) if is_there else []
            names = [str(path).rstrip("/").rpartition("/")[2] for path in found]
        return sorted(name for name in names if not name.endswith(files.PARTIAL))

    def read_bytes(self, name: str) -> bytes:
        with open_input(self.path_of(name)) as file:
            return bytes(file.read())

    def write_bytes(self, name: str, data: bytes) -> None:
        with self.writing(name) as file:
            file.write(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file that gets its name when the block ends well, and is gone when it does not."""
        if self.local is None:
            with tempfile.NamedTemporaryFile() as file:
                yield file
                file.flush()
                self._filesystem.makedirs(self._root, exist_ok=True)
                self._filesystem.put_file(file.name, f"{self._root}/{name}")
            return
        with (
            files.writing_whole(self.local / name, is_shared=True) as path,
            path.open("wb") as file,
        ):
            yield file

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""
        if self.local is not None:
            (self.local / name).unlink(missing_ok=True)
        elif self._filesystem.exists(f"{self._root}/{name}"):
            self._filesystem.rm_file(f"{self._root}/{name}")

    def sweep(self) -> None:
        """Removes what killed processes left half-written."""
        if self.local is not None:
            files.remove_partial(self.local)


def _filesystem_of(location: str) -> tuple[Any, str]:
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except ImportError as error:
        raise MissingExtraError(
            f"reaching {location.partition('://')[0]}:// needs another package",
            where=location,
            got=str(error).splitlines()[0],
            remedy="Install it with pip",
        ) from error
    except ValueError as error:
        raise InputError(
            "not a location that can be reached", where=location, got=str(error).splitlines()[0]
        ) from error
    return filesystem, path
