"""A location in the user's words into a list of files, in an order that is the same everywhere."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from gradatim.errors import InputError

_JSON = dict.fromkeys((".jsonl", ".ndjson", ".json"), "json")
_FORMATS = {".parquet": "parquet", ".txt": "text"} | _JSON
_COMPRESSED = (".gz", ".zst")
_READABLE = ".parquet, .jsonl, .ndjson, .json, .txt (the last four also .gz or .zst)"
_SHARD_NUMBER = re.compile(r"[-_.](?:part[-_.]?)?\d+(?:[-_.]of[-_.]\d+)?$")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of one file.

    Attributes:
        path: a path, URL or hub location.
        format: "parquet", "json", "text" or "hub".
        name, source: of the file, for ids and sources of rows that have none.
        first, end: rows of a parquet file, bytes of a JSON-lines file; the whole if `end` is None.
        lines_before: lines of the file that begin before `first`.
        num_bytes: about how much text it holds.
    """

    path: str
    format: str
    name: str
    source: str
    first: int = 0
    end: int | None = None
    lines_before: int = 0
    num_bytes: int = 0

    @property
    def needs_line_numbers(self) -> bool:
        return self.format == "json" and self.end is not None

    def __str__(self) -> str:
        if self.end is None:
            return self.name
        unit = "rows" if self.format == "parquet" else "bytes"
        return f"{self.name} {unit} {self.first}-{self.end}"


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file to read, here or elsewhere.

    Attributes:
        path: a path of this machine, or a URL.
        format: "parquet", "json" or "text".
        name: its path below the folder that was given, which does not depend on where that lies.
        source: what its documents' source is called unless they say so themselves.
        changed: differs after the file was written to: its time of change, or the store's tag.
    """

    path: str
    format: str
    name: str
    source: str
    num_bytes: int
    changed: str

    @property
    def whole(self) -> Segment:
        """All of it, its size as it lies."""
        return Segment(self.path, self.format, self.name, self.source, num_bytes=self.num_bytes)


def without_paths(location: object) -> object:
    """A location, or several, with strings for paths: for settings that are written down."""
    if isinstance(location, list | tuple):
        return tuple(str(part) for part in location)
    return str(location) if isinstance(location, Path) else location


Describe = Callable[[str, str, str, str], CorpusFile]
"""Given what opens a file, its format, name and source: all that is known of it."""


def find_files(location: str | Path) -> list[CorpusFile]:
    """The files of a path, folder or glob, sorted by name; hidden ones in folders are left out.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        paths = [inner for inner in path.rglob("*") if not _is_hidden(inner.relative_to(path))]
        root = path
    elif path.exists():
        return [_named_file(str(path), path, str(path), _local)]
    elif glob.has_magic(str(path)):
        # Path.glob takes no absolute pattern.
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207
        paths, root = [Path(name) for name in names], Path(*_leading_parts(path))
    else:
        raise InputError(
            "no such file or folder",
            where=str(location),
            remedy="Check the path; hub data sets are written hf://owner/name",
        )
    found = {str(inner): inner for inner in paths if inner.is_file()}
    return _readable_files(found, root, str(path), _local)


def remote_files(filesystem: Any, path: str, location: str) -> list[CorpusFile]:
    """The same for a path of an fsspec file system; `location` is its URL, for messages.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    root, describe = PurePosixPath(path), partial(_remote, filesystem)
    if filesystem.isfile(path):
        return [_named_file(path, root, location, describe)]
    is_pattern = glob.has_magic(path)
    root = PurePosixPath(*_leading_parts(root)) if is_pattern else root
    paths = filesystem.glob(path) if is_pattern else filesystem.find(path)
    found = {inner: PurePosixPath(inner) for inner in paths}
    if not is_pattern:
        found = {n: inner for n, inner in found.items() if not _is_hidden(inner.relative_to(root))}
    return _readable_files(found, root, location, describe)


def _named_file(name: str, path: PurePath, where: str, describe: Describe) -> CorpusFile:
    kind = _format_of(path)
    if kind is None:
        raise InputError(
            "not a kind of file that can be read",
            where=where,
            expected=_READABLE,
            got=path.suffix or "no suffix",
            remedy="Rename or convert the file",
        )
    return describe(name, kind, path.name, _stem(path))


def _readable_files(
    paths: Mapping[str, PurePath], root: PurePath, where: str, describe: Describe
) -> list[CorpusFile]:
    """Those of a known kind, sorted; `paths` are those below `root` by what opens them."""
    found = []
    for opened_by, path in sorted(paths.items(), key=lambda item: item[1].as_posix()):
        kind = _format_of(path)
        if kind is not None:
            whole = path.absolute() if isinstance(path, Path) else path
            source = whole.parent.name if kind == "text" else _stem(path)
            found.append(describe(opened_by, kind, path.relative_to(root).as_posix(), source))
    if not found:
        raise InputError(
            "nothing there that can be read",
            where=where,
            expected=_READABLE,
            got=f"{len(paths)} other files",
            remedy="Check the location; in a pattern ** stands for any number of folders",
        )
    return found


def _leading_parts(pattern: PurePath) -> Iterator[str]:
    for part in pattern.parent.parts:
        if glob.has_magic(part):
            return
        yield part


def _local(path: str, kind: str, name: str, source: str) -> CorpusFile:
    status = Path(path).stat()
    changed = str(status.st_mtime_ns)
    return CorpusFile(path, kind, name, source or "text", status.st_size, changed)


def _remote(filesystem: Any, path: str, kind: str, name: str, source: str) -> CorpusFile:
    info = filesystem.info(path)
    tags = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
    changed = next((str(info[tag]) for tag in tags if info.get(tag)), "")
    url = filesystem.unstrip_protocol(path)
    return CorpusFile(url, kind, name, source or "text", int(info["size"]), changed)


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _uncompressed_name(path: PurePath) -> PurePath:
    is_compressed = path.suffix.lower() in _COMPRESSED
    return path.with_suffix("") if is_compressed else path


def _format_of(path: PurePath) -> str | None:
    inner = _uncompressed_name(path)
    kind = _FORMATS.get(inner.suffix.lower())
    return None if kind == "parquet" and inner != path else kind


def _stem(path: PurePath) -> str:
    stem = _uncompressed_name(path).stem
    return _SHARD_NUMBER.sub("", stem) or stem
