"""Documents from wherever they lie: files, folders, globs, lists of them, or a hub data set.

Whatever the format, a document comes out as the same small record, in an order that depends on
the names of the files alone, without more of the corpus in memory than a few megabytes. A row
that cannot be used is an error that names its place, or, when asked, is skipped and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa

from gradatim.corpus.hashes import HashSet
from gradatim.corpus.hub import HUB_PREFIX, HubLocation
from gradatim.corpus.locations import Segment, find_files
from gradatim.corpus.readers import OR_SKIP, Report, Row, read_json_lines, read_parquet, read_text
from gradatim.errors import InputError

Part = TypeVar("Part")
Location = str | Path | Sequence[str | Path]

_GUESSES = {
    "text": ("text", "content", "body"),
    "id": ("id", "doc_id"),
    "source": ("source", "source_repo"),
    "level": ("level",),
}
"""Names of columns by their role, the likeliest first."""

MOST_PLACES = 20


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
    """

    num_bad: int = 0
    num_blank: int = 0
    places: list[str] = field(default_factory=list)

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
        location: a file (.parquet; .jsonl, .ndjson or .json with one object a line; .txt; the
            latter two also .gz or .zst), a folder of such files, a glob, a list of those, or
            `hf://owner/name[/config][?split=train]`, `hf://path/of/a/folder`.
        text_column: by default the first of `text`, `content`, `body` there is.
        id_column: by default `id` or `doc_id`, else file and line. A second document of the same
            id gets `~2` appended, a third `~3`; all of them fall into the same split.
        source_column: by default `source` or `source_repo`, else the name of the file without
            shard number, for plain-text files of a folder the name of their folder.
        level_column: by default `level`, else none.
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
    for segment in _segments(location):
        for document in segment_documents(segment, columns, report):
            if not document.text or document.text.isspace():
                notes.num_blank += 1
                continue
            num_documents += 1
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


def document_stem(document_id: str) -> str:
    """The id without the `~2` that told it from an earlier document of the same id."""
    stem, mark, number = document_id.rpartition("~")
    return stem if mark and number.isdecimal() else document_id


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns asked for; None means: guess."""

    text: str | None = None
    id: str | None = None
    source: str | None = None
    level: str | None = None
    values: tuple[str, ...] = ()

    def to_read(self, names: Sequence[str], where: str) -> list[str]:
        """The columns to be read from a table, each once.

        Raises:
            InputError: as `chosen`, or a column of numbers is missing.
        """
        for name in self.values:
            if name not in names:
                raise _no_column("such", names, where, name, "Check the name of the column")
        return list(dict.fromkeys([*self.chosen(names, where).values(), *self.values]))

    def chosen(self, names: Sequence[str], where: str) -> dict[str, str]:
        """Role → column name, for the columns there are.

        Raises:
            InputError: no text column, or a column that was asked for is missing.
        """
        chosen = {}
        for role, guessed in _GUESSES.items():
            asked: str | None = getattr(self, role)
            found = next((name for name in ((asked,) if asked else guessed) if name in names), None)
            if found is not None:
                chosen[role] = found
            elif asked or role == "text":
                expected = asked or f"one of {', '.join(guessed)}"
                remedy = f"Name it with {role}_column (--{role}-column)"
                raise _no_column(role, names, where, expected, remedy)
        return chosen


def _no_column(
    role: str, names: Sequence[str], where: str, expected: str, remedy: str
) -> InputError:
    got = f"the columns {', '.join(names) or 'none'}"
    return InputError(f"no {role} column", where=where, expected=expected, got=got, remedy=remedy)


def _segments(location: Location) -> Iterator[Segment]:
    for part in (location,) if isinstance(location, str | Path) else location:
        if str(part).startswith(HUB_PREFIX):
            yield HubLocation.parse(str(part)).whole
        else:
            yield from (file.whole for file in find_files(part))


def segment_documents(segment: Segment, columns: Columns, report: Report) -> Iterator[Document]:
    """The documents of a file or a part of it; one that breaks off is reported after what it gave.

    Args:
        segment: of a parquet file all is read.
        columns: to be read; plain text has none to ask for.
        report: takes what cannot be used, and raises it or lets the reading go on.
    """
    choose = partial(columns.to_read, where=segment.path)
    if segment.format == "text":
        columns = Columns(values=columns.values)
        rows = read_text(segment.path, report)
    elif segment.format == "parquet":
        rows = read_parquet(segment.path, choose)
    elif segment.format == "hub":
        rows = HubLocation.parse(segment.path).read(choose)
    else:
        rows = read_json_lines(
            segment.path,
            report,
            first_byte=segment.first,
            end_byte=segment.end,
            lines_before=segment.lines_before,
        )
    whole = unbroken(rows, segment.path, report)
    return documents_of(whole, columns, segment.name, segment.source, report=report)


def unbroken(rows: Iterator[Part], where: str, report: Report) -> Iterator[Part]:
    """The rows or batches of a file up to where it breaks off, which is reported."""
    try:
        yield from rows
    except InputError as error:
        report(error)
    except (OSError, pa.ArrowInvalid) as error:
        report(
            InputError(
                "cannot be read to its end",
                where=where,
                got=str(error),
                remedy="Check that the file is complete and may be read" + OR_SKIP,
            )
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


def _label(values: Mapping[str, object], column: str | None) -> str | None:
    value = None if column is None else values[column]
    return None if value is None else str(value)


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
