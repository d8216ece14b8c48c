"""A location in the user's words into a list of files, in an order that is the same everywhere."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from gradatim.corpus.folders import PassedOver, SavedDatasets, below, is_hidden, matching
from gradatim.errors import InputError, printable

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4", ".xz": "xz"}
"""Codecs by the end of a file's name; in Arrow's words, but for xz."""

_TABLES = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
_STREAMS = (
    {".csv": "csv", ".tsv": "csv"}
    | dict.fromkeys((".jsonl", ".ndjson", ".json"), "json")
    | dict.fromkeys((".txt", ".text", ".md", ".rst"), "text")
)
_READABLE = (
    f"{', '.join(_TABLES)}; {', '.join(_STREAMS)}, the latter also with {', '.join(COMPRESSIONS)}"
)
_SHARD_NUMBER = re.compile(r"[-_.](?:part[-_.]?)?\d+(?:[-_.]of[-_.]\d+)?$")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of one file.

    Attributes:
        path: a path, URL or hub location.
        format: "parquet", "arrow", "csv", "json", "text" or "hub".
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
        format: "parquet", "arrow", "csv", "json" or "text".
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
    """A location, or several, with strings for paths: for settings that are written down.

    Raises:
        ValueError: a path is not UTF-8, and so cannot be written down.
    """
    if isinstance(location, list | tuple):
        return tuple(without_paths(str(part)) for part in location)
    text = str(location) if isinstance(location, Path) else location
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{printable(text)} is not UTF-8: rename it, or call from within it"
            ) from None
    return text


def find_files(location: str | Path, passed_over: PassedOver | None = None) -> list[CorpusFile]:
    """The files of a path, folder or glob, sorted by name.

    Links to folders are followed. Left out of a folder are hidden files, texts that say what it
    holds (`README`, `LICENSE`), and what `datasets` wrote beside its data; of what fits a glob, the
    last.

    Args:
        passed_over: filled with the number of files left out, by the ends of their names.

    Raises:
        InputError: nothing there, or nothing of a known kind; a folder that may not be read.
    """
    passed_over = Counter() if passed_over is None else passed_over
    if not str(location):
        raise InputError("an empty location", expected="a path, or . for the folder you are in")
    try:
        path = Path(location).expanduser()
        if path.is_dir():
            found = {str(inner): inner for inner in below(path, passed_over)}
            return _readable_files(found, path, str(path), _LOCAL, passed_over, is_pattern=False)
        if os.path.lexists(path):
            _check_regular(path)
            return [_named_file(str(path), path, str(path), _LOCAL)]
        if glob.has_magic(str(path)):
            found = {str(inner): inner for inner in matching(path, passed_over)}
            root = Path(*_leading_parts(path))
            return _readable_files(found, root, str(path), _LOCAL, passed_over, is_pattern=True)
    except (OSError, RuntimeError, re.error) as error:
        raise InputError(
            "cannot be looked into",
            where=str(location),
            got=str(error),
            remedy="Check the path, and that it may be read",
        ) from error
    raise InputError(
        "no such file or folder",
        where=str(location),
        remedy="Check the path; hub data sets are written hf://owner/name",
    )


def remote_files(
    filesystem: Any, path: str, location: str, passed_over: PassedOver | None = None
) -> list[CorpusFile]:
    """The same for a path of an fsspec file system; `location` is its URL, for messages.

    Raises:
        InputError: nothing there, or nothing of a known kind.
    """
    passed_over = Counter() if passed_over is None else passed_over
    root, place = PurePosixPath(path), _Remote(filesystem)
    if filesystem.isfile(path):
        return [_named_file(path, root, location, place)]
    is_pattern = glob.has_magic(path)
    root = PurePosixPath(*_leading_parts(root)) if is_pattern else root
    paths = filesystem.glob(path) if is_pattern else filesystem.find(path)
    found = {inner: PurePosixPath(inner) for inner in paths}
    if not is_pattern:
        hidden = [n for n, inner in found.items() if is_hidden(inner.relative_to(root))]
        passed_over["hidden"] += len(hidden)
        found = {n: inner for n, inner in found.items() if n not in set(hidden)}
    return _readable_files(found, root, location, place, passed_over, is_pattern=is_pattern)


def _check_regular(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            "not a file that can be read twice",
            where=str(path),
            expected="a regular file",
            got="a link that leads nowhere" if not path.exists() else "a pipe or a device",
            remedy="Write the text into a file",
        )


def _named_file(name: str, path: PurePath, where: str, place: _Place) -> CorpusFile:
    kind = _format_of(path)
    if kind is None:
        raise InputError(
            "not a kind of file that can be read",
            where=where,
            expected=_READABLE,
            got=path.suffix or "no suffix",
            remedy="Rename or convert the file",
        )
    return place.describe(name, kind, path.name, _stem(path))


def _readable_files(
    paths: Mapping[str, PurePath],
    root: PurePath,
    where: str,
    place: _Place,
    passed_over: PassedOver,
    *,
    is_pattern: bool,
) -> list[CorpusFile]:
    """Those of a known kind, sorted; `paths` are those below `root` by what opens them."""
    saved = SavedDatasets(paths, place.read)
    found = []
    for opened_by, path in sorted(paths.items(), key=lambda item: item[1].as_posix()):
        kind = _format_of(path)
        if saved.leaves_out(opened_by):
            continue
        is_about = kind == "text" and not is_pattern and _is_about(path)
        if kind is None or saved.is_stale(opened_by) or is_about:
            passed_over[_ending(path)] += 1
            continue
        whole = path.absolute() if isinstance(path, Path) else path
        source = whole.parent.name if kind == "text" else _stem(path)
        source = saved.source_of(opened_by) or source
        found.append(place.describe(opened_by, kind, path.relative_to(root).as_posix(), source))
    if not found:
        raise InputError(
            "nothing there that can be read",
            where=where,
            expected=_READABLE,
            got=in_words(passed_over) or "0 other files",
            remedy="Check the location; in a pattern ** stands for any number of folders",
        )
    return found


def in_words(passed_over: Mapping[str, int]) -> str:
    """What was passed over, the most frequent first: `12 .pdf, 3 .docx`."""
    counts = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {ending}" for ending, number in counts if number)


def _leading_parts(pattern: PurePath) -> Iterator[str]:
    for part in pattern.parent.parts:
        if glob.has_magic(part):
            return
        yield part


class _Place(Protocol):
    """Where files lie."""

    def describe(self, path: str, kind: str, name: str, source: str) -> CorpusFile: ...

    def read(self, path: str) -> bytes: ...


class _Local:
    def describe(self, path: str, kind: str, name: str, source: str) -> CorpusFile:
        status = Path(path).stat()
        changed = str(status.st_mtime_ns)
        name, source = printable(name), printable(source or "text")
        return CorpusFile(path, kind, name, source, status.st_size, changed)

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()


@dataclass(frozen=True)
class _Remote:
    filesystem: Any

    def describe(self, path: str, kind: str, name: str, source: str) -> CorpusFile:
        info = self.filesystem.info(path)
        tags = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
        changed = next((str(info[tag]) for tag in tags if info.get(tag)), "")
        url = self.filesystem.unstrip_protocol(path)
        return CorpusFile(url, kind, name, source or "text", int(info["size"]), changed)

    def read(self, path: str) -> bytes:
        return bytes(self.filesystem.cat_file(path))


_LOCAL = _Local()


def _uncompressed_name(path: PurePath) -> PurePath:
    is_compressed = path.suffix.lower() in COMPRESSIONS
    return path.with_suffix("") if is_compressed else path


def _format_of(path: PurePath) -> str | None:
    inner = _uncompressed_name(path)
    ending = inner.suffix.lower()
    return _STREAMS.get(ending) or (_TABLES.get(ending) if inner == path else None)


def _ending(path: PurePath) -> str:
    inner = _uncompressed_name(path)
    ending = inner.suffix + (path.suffix if inner != path else "")
    return printable(ending.lower()) or "without an ending"


def _is_about(path: PurePath) -> bool:
    """Whether a file tells of the others, as the card of a hub data set does."""
    return _uncompressed_name(path).stem.lower() in ("readme", "license", "licence")


def _stem(path: PurePath) -> str:
    stem = _uncompressed_name(path).stem
    return _SHARD_NUMBER.sub("", stem) or stem
