"""Files into rows: JSON lines, CSV and plain text, each read in pieces of bounded size.

A row is a mapping with the place it came from; which of its fields is the text is decided by
`gradatim.corpus.documents`. What cannot be read is handed to `report` as an `InputError`, which
either raises it or notes it and lets the reader go on.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradatim.corpus.storage import open_stream
from gradatim.errors import InputError

MAX_LINE_BYTES = 64 * 2**20
"""Longest JSON line that is read."""
MAX_TEXT_BYTES = 8 * 2**20
"""Longest plain text read as one document; longer than any novel."""

_STREAM_BYTES = 2**20
_BROKEN_BYTE = re.compile(r"[\udc80-\udcff]")

OR_SKIP = ', or go on without it: on_bad="skip" (--on-bad skip)'
"""The end of the remedy of every error that skipping gets around."""

Report = Callable[[InputError], None]
Choose = Callable[[list[str]], list[str]]
"""Given the names of all columns, those to be read, each once."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file.

    Attributes:
        where: file and line or row, for messages.
        position: the line, row or piece within the file, from 1; None where it has only one.
        values: the fields of the record that were asked for.
    """

    where: str
    position: int | None
    values: Mapping[str, object]


def read_json_lines(
    path: Path | str,
    report: Report,
    *,
    first_byte: int = 0,
    end_byte: int | None = None,
    lines_before: int = 0,
) -> Iterator[Row]:
    """One row a line; empty lines are passed over.

    Lines longer than `MAX_LINE_BYTES` are reported without being held in memory.

    Args:
        path: a path or URL.
        report: takes what cannot be read.
        first_byte, end_byte: only lines that begin in this range of an uncompressed file.
        lines_before: lines that begin before `first_byte`.
    """
    with open_stream(path) as stream:
        at = _seek_line(stream, first_byte)
        number = lines_before
        while end_byte is None or at < end_byte:
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            at += len(line)
            number += 1
            where = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                report(_line_too_long(where))
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_STREAM_BYTES)
                    at += len(line)
                continue
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                yield Row(where, number, _json_object(line, where))
            except InputError as error:
                report(error)


def _seek_line(stream: io.BufferedReader, first_byte: int) -> int:
    """Goes to the first line that begins at `first_byte` or behind it; returns where that is."""
    if first_byte == 0:
        return 0
    at = stream.seek(first_byte - 1)
    while line := stream.readline(_STREAM_BYTES):
        at += len(line)
        if line.endswith(b"\n"):
            break
    return at


def count_lines(path: Path | str, first_byte: int, end_byte: int) -> int:
    """How many lines begin in a range of bytes of an uncompressed file."""
    num_lines = int(first_byte == 0 and end_byte > 0)
    with open_stream(path) as stream:
        at = stream.seek(max(first_byte - 1, 0))
        while at < end_byte - 1:
            data = stream.read(min(_STREAM_BYTES, end_byte - 1 - at))
            if not data:
                break
            num_lines += data.count(b"\n")
            at += len(data)
    return num_lines


def read_text(path: Path | str, report: Report) -> Iterator[Row]:
    """The whole file as one row with the field `text`, line ends made `\\n`.

    A file longer than `MAX_TEXT_BYTES` comes as several rows, cut at blank lines, else at line
    ends, else at spaces, so that any size is read in constant memory.
    """
    with open_stream(path) as stream:
        offset = 0
        rest = b""
        number = 0
        while True:
            data = rest + stream.read(MAX_TEXT_BYTES + 1 - len(rest))
            if not data and number:
                return
            is_last = len(data) <= MAX_TEXT_BYTES
            end = len(data) if is_last else _piece_end(data)
            piece, rest = data[:end], data[end:]
            position = None if is_last and number == 0 else number
            where = str(path) if position is None else f"{path}: piece {position}"
            try:
                yield Row(where, position, {"text": _plain_text(piece, offset, str(path))})
            except InputError as error:
                report(error)
            number += 1
            offset += end
            if is_last:
                return


def read_csv(path: Path | str, choose: Choose, report: Report) -> Iterator[Row]:
    """One row a line of a table whose first line names its columns; all values are strings.

    The cells of a `.tsv` file are parted by tabs, others by commas; quoted ones may hold line ends.

    Raises:
        InputError: a line longer than `MAX_LINE_BYTES`; and whatever `choose` raises.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    delimiter = "\t" if ".tsv" in Path(path).name.lower() else ","
    with (
        open_stream(path) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        lines = csv.reader(_bounded_lines(text, path), delimiter=delimiter, strict=True)
        names = next(lines, None)
        if names is None:
            return
        columns = {name: names.index(name) for name in choose(names)}
        while True:
            number = lines.line_num + 1
            try:
                cells = next(lines, None)
                if cells is None:
                    return
                if cells:
                    where = f"{path}:{number}"
                    _check_cells(cells, names, where)
                    yield Row(where, number, {name: cells[at] for name, at in columns.items()})
            except csv.Error as error:
                report(_bad_csv(f"{path}:{number}", str(error)))
            except InputError as error:
                report(error)


def _bounded_lines(text: io.TextIOWrapper, path: Path | str) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise _line_too_long(f"{path}:{number}")
        yield line


def _check_cells(cells: list[str], names: list[str], where: str) -> None:
    if len(cells) != len(names):
        raise _bad_csv(where, f"{len(cells)} cells under {len(names)} columns")
    for cell in cells:
        if not cell.isascii() and (found := _BROKEN_BYTE.search(cell)):
            raise InputError(
                "not UTF-8",
                where=where,
                got=f"the byte 0x{ord(found[0]) - 0xDC00:02x}",
                remedy="Convert the file to UTF-8" + OR_SKIP,
            )


def _bad_csv(where: str, got: str) -> InputError:
    return InputError(
        "not a line of a table",
        where=where,
        expected="as many cells as columns, quoted where they hold a delimiter or a quote",
        got=got,
        remedy="Repair the line" + OR_SKIP,
    )


def _json_object(line: bytes, where: str) -> dict[str, object]:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise InputError(
            "not UTF-8",
            where=where,
            got=f"the byte 0x{line[error.start]:02x} at byte {error.start} of the line",
            remedy="Convert the file to UTF-8" + OR_SKIP,
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            "not JSON",
            where=where,
            expected="one object a line",
            got=f"{_excerpt(line)} ({first_line(error)})",
            remedy="Write every document as one JSON object on a line of its own, as `jq -c` does"
            + OR_SKIP,
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            "not a JSON object",
            where=where,
            expected='one object a line, like {"text": "..."}',
            got=_excerpt(line),
            remedy="Write every document as one JSON object on a line of its own, as `jq -c` does"
            + OR_SKIP,
        )
    return value


def _line_too_long(where: str) -> InputError:
    return InputError(
        "the line is too long",
        where=where,
        expected=f"at most {MAX_LINE_BYTES:,} bytes a line",
        got="more",
        remedy="Put each document on a line of its own, or give the text as a .txt file, "
        "which is read in pieces" + OR_SKIP,
    )


def _piece_end(data: bytes) -> int:
    """Where to cut a piece off: as late as possible in the second half of `data`."""
    half = len(data) // 2
    for border in (b"\n\n", b"\n", b" "):
        found = data.rfind(border, half)
        if found >= 0:
            return found + len(border)
    end = len(data) - 1
    while end > half and data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def _plain_text(piece: bytes, offset: int, where: str) -> str:
    if offset == 0:
        piece = piece.removeprefix(codecs.BOM_UTF8)
    try:
        text = piece.decode()
    except UnicodeDecodeError as error:
        line = piece.count(b"\n", 0, error.start) + 1
        raise InputError(
            "not UTF-8",
            where=f"{where}:{line}" if offset == 0 else where,
            got=f"the byte 0x{piece[error.start]:02x} at byte {offset + error.start}",
            remedy="Convert the file to UTF-8" + OR_SKIP,
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _excerpt(line: bytes) -> str:
    text = line.strip().decode(errors="replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
