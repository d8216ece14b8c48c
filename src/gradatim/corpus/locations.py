"""A location in the user's words into a list of files, in an order that is the same everywhere."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from gradatim.errors import InputError

_FORMATS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json"} | {
    ".txt": "text"
}
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
        return f"{self.name} {'rows' if self.format == 'parquet' else 'bytes'} " + (
            f"{self.first}-{self.end}"
        )


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


def find_files(location: str | Path) -> Iterator[CorpusFile]:
    """The files of a path, folder or glob, sorted by name; hidden ones in folders are left out.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        yield from _files_below(path)
    elif path.exists():
        yield _named_file(path)
    elif glob.has_magic(str(path)):
        yield from _matching_files(path)
    else:
        raise InputError(
            "no such file or folder",
            where=str(location),
            remedy="Check the path; hub data sets are written hf://owner/name",
        )


def remote_files(filesystem: Any, path: str, location: str) -> list[CorpusFile]:
    """The same for a path of an fsspec file system; `location` is its URL, for messages.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    if filesystem.isfile(path):
        kind = _format_of(Path(path))
        if kind is None:
            raise _unknown_kind(Path(path), location)
        return [_remote(filesystem, path, kind, PurePosixPath(path).name, _stem(Path(path)))]
    is_pattern = glob.has_magic(path)
    root = PurePosixPath(*_leading_parts(Path(path))) if is_pattern else PurePosixPath(path)
    paths = filesystem.glob(path) if is_pattern else filesystem.find(path)
    found = []
    for inner in sorted(paths):
        name = PurePosixPath(inner).relative_to(root)
        kind = _format_of(Path(inner))
        if kind is not None and (is_pattern or not _is_hidden(name)):
            source = PurePosixPath(inner).parent.name if kind == "text" else _stem(Path(inner))
            found.append(_remote(filesystem, inner, kind, name.as_posix(), source))
    return _some(found, location, len(paths))


def _unknown_kind(path: PurePath, where: str) -> InputError:
    return InputError(
        "not a kind of file that can be read",
        where=where,
        expected=_READABLE,
        got=path.suffix or "no suffix",
        remedy="Rename or convert the file",
    )


def _named_file(path: Path) -> CorpusFile:
    kind = _format_of(path)
    if kind is None:
        raise _unknown_kind(path, str(path))
    return _local(path, kind, path.name, _stem(path))


def _files_below(folder: Path) -> Iterator[CorpusFile]:
    paths = [path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder))]
    files = [_found_file(path, folder) for path in _sorted(paths)]
    found = [file for file in files if file is not None]
    yield from _some(found, str(folder), sum(path.is_file() for path in paths))


def _matching_files(pattern: Path) -> Iterator[CorpusFile]:
    root = Path(*_leading_parts(pattern))
    # Path.glob takes no absolute pattern.
    names = glob.glob(str(pattern), recursive=True)  # noqa: PTH207
    matches = _sorted([Path(name) for name in names])
    found = [file for path in matches if (file := _found_file(path, root)) is not None]
    yield from _some(found, str(pattern), len(matches))


def _some(found: list[CorpusFile], where: str, num_there: int) -> list[CorpusFile]:
    if found:
        return found
    raise InputError(
        "nothing there that can be read",
        where=where,
        expected=_READABLE,
        got=f"{num_there} other files",
        remedy="Check the location; in a pattern ** stands for any number of folders",
    )


def _leading_parts(pattern: Path) -> Iterator[str]:
    for part in pattern.parent.parts:
        if glob.has_magic(part):
            return
        yield part


def _found_file(path: Path, root: Path) -> CorpusFile | None:
    kind = _format_of(path)
    if kind is None or not path.is_file():
        return None
    name = path.relative_to(root).as_posix()
    source = path.absolute().parent.name if kind == "text" else _stem(path)
    return _local(path, kind, name, source)


def _local(path: Path, kind: str, name: str, source: str) -> CorpusFile:
    status = path.stat()
    changed = str(status.st_mtime_ns)
    return CorpusFile(str(path), kind, name, source or "text", status.st_size, changed)


def _remote(filesystem: Any, path: str, kind: str, name: str, source: str) -> CorpusFile:
    info = filesystem.info(path)
    tags = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
    changed = next((str(info[tag]) for tag in tags if info.get(tag)), "")
    url = filesystem.unstrip_protocol(path)
    return CorpusFile(url, kind, name, source or "text", int(info["size"]), changed)


def _sorted(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.as_posix())


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _uncompressed_name(path: Path) -> Path:
    is_compressed = path.suffix.lower() in _COMPRESSED
    return path.with_suffix("") if is_compressed else path


def _format_of(path: Path) -> str | None:
    inner = _uncompressed_name(path)
    kind = _FORMATS.get(inner.suffix.lower())
    return None if kind == "parquet" and inner != path else kind


def _stem(path: Path) -> str:
    stem = _uncompressed_name(path).stem
    return _SHARD_NUMBER.sub("", stem) or stem
