"""Documents from wherever they lie: files, folders, globs, lists of them, or a hub data set.

Whatever the format, a document comes out as the same small record, in an order that depends on
the names of the files alone, without more of the corpus in memory than a few megabytes. A row
that cannot be used is an error that names its place, or, when asked, is skipped and counted.
"""

from __future__ import annotations

import csv
import lzma
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa

from gradatim.corpus.columns import Columns
from gradatim.corpus.folders import PassedOver
from gradatim.corpus.hashes import HashSet
from gradatim.corpus.hub import HUB_PREFIX, HubLocation
from gradatim.corpus.locations import Segment
from gradatim.corpus.readers import (
    OR_SKIP,
    Report,
    Row,
    first_line,
    read_csv,
    read_json_lines,
    read_text,
)
from gradatim.corpus.storage import corpus_files, refuse_pointer, stamp_of
from gradatim.corpus.tables import table_rows
from gradatim.errors import InputError

Part = TypeVar("Part")
Location = str | Path | Sequence[str | Path]

MOST_PLACES = 20
MOST_LEVELS = 100
"""Different levels in a corpus; what has more is no label but a number or a title."""

_LARGEST_POINTER_BYTES = 3 * 1024  # files are taken to hold three times what they have compressed
_BROKEN = (OSError, EOFError, pa.ArrowException, lzma.LZMAError, csv.Error)
"""What readers raise where a file breaks off or is damaged."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name.

    Attributes:
        id: unique in its corpus, the same on every machine.
        source: where it comes from, in the user's words.
        level: the user's label of difficulty, if any.
        split: "train", "held_out" or "out_of_distribution" where the corpus itself decides.
        values: the numbers of the columns that were asked for, in their order; NaN for none.
    """

    id: str
    text: str
    source: str
    level: str | None = None
    split: str | None = None
    values: tuple[float, ...] = ()


@dataclass(slots=True)
class Skipped:
    """What reading passed over.

    Attributes:
        num_bad: rows or files that could not be used.
        num_blank: documents without a single visible character; these are never an error.
        places: the first twenty bad ones, each as a message with place and reason.
        passed_over: files of folders that were not read, by the ends of their names.
    """

    num_bad: int = 0
    num_blank: int = 0
    places: list[str] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)

    def report(self, on_bad: Literal["stop", "skip"]) -> Report:
        """What takes bad rows: raises the first, or notes all."""
        return self.note if on_bad == "skip" else _stop

    def note(self, error: InputError) -> None:
        self.num_bad += 1
        if len(self.places) < MOST_PLACES:
            self.places.append(str(error))


def read_documents(
    location: Location,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
    source_column: str | None = None,
    level_column: str | None = None,
    value_columns: tuple[str, ...] = (),
    on_bad: Literal["stop", "skip"] = "stop",
    skipped: Skipped | None = None,
) -> Iterator[Document]:
    """Stream the documents of a corpus.

    Args:
        location: a file (.parquet, .arrow, .feather; .jsonl, .ndjson or .json with one object a
            line, .csv, .tsv, .txt, .md and their like, these also compressed), a folder of such
            files or saved by `datasets`, a glob, a list of those, a URL that fsspec knows, or
            `hf://owner/name[/config][?split=train]`, `hf://path/of/a/folder`.
        text_column: by default the first of `text`, `content`, `body` there is.
        id_column: by default `id` or `doc_id`, else file and line. A second document of the same
            id gets `~2` appended, a third `~3`; all of them fall into the same split.
        source_column: by default `source` or `source_repo`, else the name of the file without
            shard number, for plain-text files of a folder the name of their folder.
        level_column: by default `level`, else none; `""` for none in any case.
        value_columns: columns of numbers, the `values` of each document. A row may leave one out
            or have null there; a table must have all, and one document at least a number in each.
        on_bad: "stop" raises at the first bad row; "skip" notes it in `skipped` and goes on.
        skipped: filled while the documents are read.

    Raises:
        InputError: nothing there, nothing readable, a missing column, a bad row.
        MissingExtraError: `hf://` without the extra `hf`.
    """
    notes = Skipped() if skipped is None else skipped
    columns = Columns(text_column, id_column, source_column, level_column, value_columns)
    report = notes.report(on_bad)
    unique = _UniqueIds()
    without = set(value_columns)
    num_documents = 0
    levels: set[str] = set()
    passed_over: PassedOver = Counter()
    segments = _segments(location, columns, passed_over)
    notes.passed_over = dict(+passed_over)
    for segment in segments:
        for document in segment_documents(segment, columns, report):
            if not document.text or document.text.isspace():
                notes.num_blank += 1
                continue
            num_documents += 1
            if document.level is not None:
                levels.add(document.level)
                if len(levels) > MOST_LEVELS:
                    raise _too_many_levels(str(location), document.level)
            if without:
                numbers = zip(value_columns, document.values, strict=True)
                without -= {name for name, number in numbers if not math.isnan(number)}
            yield unique.renamed(document)
    if num_documents == 0:
        raise empty_corpus(str(location), notes)
    if without:
        raise InputError(
            "no document has a number in a column that was asked for",
            where=str(location),
            got=", ".join(sorted(without)),
            remedy="Check the name of the column",
        )


def _too_many_levels(where: str, last: str) -> InputError:
    return InputError(
        f"more than {MOST_LEVELS} different levels",
        where=where,
        expected="a column of a few labels, such as easy and hard",
        got=f"at last {last[:40]!r}",
        remedy="Name another level_column, or none with an empty name (--level-column ''); "
        "numbers are given as a column of difficulty",
    )


def document_stem(document_id: str) -> str:
    """The id without the `~2` that told it from an earlier document of the same id."""
    stem, mark, number = document_id.rpartition("~")
    return stem if mark and number.isdecimal() else document_id


def _segments(location: Location, columns: Columns, passed_over: PassedOver) -> list[Segment]:
    segments: list[Segment] = []
    for part in (location,) if isinstance(location, str | Path) else location:
        if str(part).startswith(HUB_PREFIX):
            segments.append(HubLocation.parse(str(part)).whole)
        else:
            segments += [file.whole for file in corpus_files(str(part), passed_over)]
    columns.check_used({segment.format for segment in segments}, str(location))
    return segments


def segment_documents(segment: Segment, columns: Columns, report: Report) -> Iterator[Document]:
    """The documents of a file or a part of it; one that breaks off is reported after what it gave.

    Args:
        segment: of a table all is read.
        columns: to be read; plain text has none to ask for.
        report: takes what cannot be used, and raises it or lets the reading go on.
    """
    if segment.format == "text":
        columns = Columns(values=columns.values)
    rows = unbroken(_rows(segment, columns, report), segment.path, report)
    return documents_of(rows, columns, segment.name, segment.source, report=report)


def _rows(segment: Segment, columns: Columns, report: Report) -> Iterator[Row]:
    choose = partial(columns.to_read, where=segment.path)
    if segment.format == "hub":
        yield from HubLocation.parse(segment.path).read(choose)
        return
    if segment.num_bytes <= _LARGEST_POINTER_BYTES:
        refuse_pointer(segment.path)
    if segment.format == "text":
        yield from read_text(segment.path, report)
    elif segment.format == "csv":
        yield from read_csv(segment.path, choose, report)
    elif segment.format == "json":
        yield from read_json_lines(
            segment.path,
            report,
            first_byte=segment.first,
            end_byte=segment.end,
            lines_before=segment.lines_before,
        )
    else:
        yield from table_rows(segment.path, segment.format, choose)


def unbroken(rows: Iterator[Part], where: str, report: Report) -> Iterator[Part]:
    """The rows or batches of a file up to where it breaks off, which is reported.

    Raises:
        InputError: what `report` raises; the file was written to while it was read.
    """
    before = stamp_of(where)
    try:
        yield from rows
    except InputError as error:
        report(error)
    except _BROKEN as error:
        report(
            InputError(
                "cannot be read to its end",
                where=where,
                got=first_line(error),
                remedy="Check that the file is complete and may be read" + OR_SKIP,
            )
        )
    if stamp_of(where) != before:
        raise InputError(
            "the file changed while it was read",
            where=where,
            remedy="Call again when nothing writes to it",
        )


def documents_of(
    rows: Iterator[Row], columns: Columns, name: str, source: str, *, report: Report
) -> Iterator[Document]:
    """Rows as documents; one that cannot be used is reported.

    Args:
        name: of the file, for the ids of rows that have none.
        source: of rows that do not say.
    """
    for row in rows:
        try:
            yield _document(row, columns, name, source)
        except InputError as error:
            report(error)


def _document(row: Row, columns: Columns, name: str, source: str) -> Document:
    chosen = columns.chosen(list(row.values), row.where)
    text = row.values[chosen["text"]]
    if isinstance(text, bytes):
        text = _decoded(text)
    if not isinstance(text, str):
        raise _not_a_text(text, row.where, chosen["text"])
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "half a character",
            where=f"{row.where}: {chosen['text']}",
            expected="text that can be written as UTF-8",
            got=f"a lone surrogate at character {error.start}",
            remedy="Repair the row" + OR_SKIP,
        ) from error
    position = "" if row.position is None else f"#{row.position}"
    return Document(
        id=_label(row.values, chosen.get("id")) or name + position,
        text=text,
        source=_label(row.values, chosen.get("source")) or source,
        level=_label(row.values, chosen.get("level")),
        values=tuple(_number(row, name) for name in columns.values),
    )


def _number(row: Row, column: str) -> float:
    """The number in a column, also one written as a string; NaN for null, "" or no such column."""
    value = row.values.get(column)
    if value is None or value == "":
        return math.nan
    try:
        number = math.inf if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isinf(number):
        raise InputError(
            "not a number",
            where=f"{row.where}: {column}",
            expected="a finite number or null",
            got=f"{type(value).__name__} {str(value)[:40]!r}",
            remedy="Repair the row, name another column" + OR_SKIP,
        )
    return number


def _decoded(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _label(values: Mapping[str, object], column: str | None) -> str | None:
    return None if column is None else label_of(values[column])


def label_of(value: object) -> str | None:
    """An id, source or level as a string that can be written: half characters are escaped."""
    if value is None:
        return None
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text.encode(errors="backslashreplace").decode()


def _not_a_text(value: object, where: str, column: str) -> InputError:
    if isinstance(value, bytes):
        got = f"{len(value)} bytes that are not UTF-8 text"
    else:
        got = "null" if value is None else f"{type(value).__name__} {str(value)[:40]}"
    return InputError(
        "not a text",
        where=f"{where}: {column}",
        expected="a string",
        got=got,
        remedy="Repair the row, name another text_column" + OR_SKIP,
    )


def empty_corpus(where: str, notes: Skipped) -> InputError:
    """The error of a corpus without one text, and what was there instead."""
    got = []
    if notes.num_blank:
        got.append(f"{notes.num_blank} blank texts")
    if notes.num_bad:
        got.append(f"{notes.num_bad} bad rows or files, the first: {notes.places[0]}")
    return InputError(
        "the corpus is empty",
        where=where,
        expected="at least one document with text",
        got="; ".join(got) or "none",
        remedy="Check the location and the text column",
    )


def _stop(error: InputError) -> None:
    raise error


class _UniqueIds:
    """Tells documents of the same id apart, remembering 8 bytes an id."""

    def __init__(self) -> None:
        self._seen = HashSet()
        self._num_same: dict[str, int] = {}

    def renamed(self, document: Document) -> Document:
        if self._is_new(document.id):
            return document
        number = self._num_same.get(document.id, 1) + 1
        while not self._is_new(f"{document.id}~{number}"):
            number += 1
        self._num_same[document.id] = number
        return replace(document, id=f"{document.id}~{number}")

    def _is_new(self, document_id: str) -> bool:
        return self._seen.is_new(document_id.encode(errors="surrogatepass"))
