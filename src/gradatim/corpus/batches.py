"""A piece of a corpus as Arrow columns, and the passages of such a batch.

Text of parquet files goes from the file to the columns without becoming Python strings, as long
as nothing is wrong with it; a batch in which something is goes the way of `read_documents`, row by
row, with the same messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradatim.corpus.columns import Columns
from gradatim.corpus.cutting import gathered, passage_spans
from gradatim.corpus.documents import Document, documents_of, label_of, segment_documents, unbroken
from gradatim.corpus.locations import Segment
from gradatim.corpus.passages import in_batches
from gradatim.corpus.pieces import Piece
from gradatim.corpus.readers import Report
from gradatim.corpus.tables import arrow_batches, batch_rows, parquet_batches, python_values

_BATCH_BYTES = 8 * 2**20
_BATCH_DOCUMENTS = 1 << 16


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Neighbouring documents as columns of equal length.

    Attributes:
        text: large_string without nulls; about 8 MB, or one longer document.
        id, source: string without nulls.
        level: string.
    """

    text: pa.LargeStringArray
    id: pa.StringArray
    source: pa.StringArray
    level: pa.StringArray


@dataclass(frozen=True, slots=True)
class PassageBatch:
    """The passages of a batch of documents, in order.

    Attributes:
        text: large_string without nulls.
        document: row of the passage's document in its `TextBatch`, int64.
        start_byte: where it begins in the document, int64.
        num_blank: documents without a visible character, which have no passage.
    """

    text: pa.LargeStringArray
    document: NDArray[np.int64]
    start_byte: NDArray[np.int64]
    num_blank: int


def read_piece(piece: Piece, columns: Columns, report: Report) -> Iterator[TextBatch]:
    """Stream a piece's documents.

    Ids are as in `read_documents`, but for the `~2` of repeated ones: a piece knows no other.

    Args:
        report: takes what cannot be used, and raises it or lets the reading go on.

    Raises:
        InputError: what `report` raises.
    """
    for segment in piece.segments:
        if segment.format in ("parquet", "arrow"):
            yield from _table_batches(segment, columns, report)
        else:
            yield from _batched(segment_documents(segment, columns, report))


def cut_batch(batch: TextBatch, *, max_bytes: int | None, min_bytes: int) -> PassageBatch:
    """The passages of `gradatim.corpus.passages.cut`, or whole documents if `max_bytes` is None."""
    offsets, data = _buffers(batch.text)
    document, starts, ends = passage_spans(data, offsets, max_bytes or 0, min_bytes)
    num_blank = len(batch.text) - np.unique(document).size
    if max_bytes is None and num_blank == 0:
        return PassageBatch(batch.text, document, np.zeros(document.size, np.int64), 0)
    joined, joined_offsets = gathered(data, starts, ends)
    text = pa.LargeStringArray.from_buffers(
        document.size, pa.py_buffer(joined_offsets), pa.py_buffer(joined)
    )
    return PassageBatch(text, document, starts - offsets[document], num_blank)


def _buffers(text: pa.LargeStringArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets, and bytes, which are not copied."""
    _, offsets_buffer, data_buffer = text.buffers()
    # Read-only bytes and writable offsets, always: each mixture is compiled anew.
    if len(text) == 0 or data_buffer is None:
        return np.zeros(len(text) + 1, np.int64), np.frombuffer(b"", np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    return offsets.copy(), np.frombuffer(data_buffer, np.uint8)


def _table_batches(segment: Segment, columns: Columns, report: Report) -> Iterator[TextBatch]:
    choose = partial(columns.to_read, where=segment.path)
    if segment.format == "arrow":
        batches = arrow_batches(segment.path, choose)
    else:
        batches = parquet_batches(segment.path, choose, first=segment.first, end=segment.end)
    for row_of_first, batch in unbroken(batches, segment.path, report):
        chosen = columns.chosen(batch.schema.names, segment.path)
        text = _clean_text(batch.column(chosen["text"]))
        if text is not None:
            yield _labelled(text, batch, chosen, segment, row_of_first)
        else:
            rows = batch_rows(batch, segment.path, row_of_first)
            yield from _batched(
                documents_of(rows, columns, segment.name, segment.source, report=report)
            )


def _clean_text(column: pa.Array) -> pa.LargeStringArray | None:
    """The column as large_string; None where a row is null, no text, or not UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (_is_text(column.type) or _is_binary(column.type)) or column.null_count:
        return None
    try:
        text = column.cast(pa.large_string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return text


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _labelled(
    text: pa.LargeStringArray,
    batch: pa.RecordBatch,
    chosen: dict[str, str],
    segment: Segment,
    row_of_first: int,
) -> TextBatch:
    none = pa.nulls(len(text), pa.string())
    labels = {role: _labels(batch.column(name)) for role, name in chosen.items() if role != "text"}
    ids = _not_empty(labels.get("id", none))
    if ids.null_count:
        numbers = range(row_of_first, row_of_first + len(text))
        names = pa.array([f"{segment.name}#{number}" for number in numbers], pa.string())
        ids = pc.coalesce(ids, names)
    sources = pc.fill_null(_not_empty(labels.get("source", none)), segment.source)
    return TextBatch(text, ids, sources, labels.get("level", none))


def _not_empty(labels: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(labels, ""), pa.scalar(None, pa.string()), labels)


def _labels(column: pa.Array) -> pa.StringArray:
    """Any column as the strings `str` makes of its values."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if _is_text(column.type):
        labels = column.cast(pa.string())
        try:
            labels.validate(full=True)
        except pa.ArrowInvalid:
            pass
        else:
            return labels
    return pa.array([label_of(value) for value in python_values(column)], pa.string())


def _batched(documents: Iterator[Document]) -> Iterator[TextBatch]:
    return map(
        _as_columns,
        in_batches(documents, max_characters=_BATCH_BYTES, max_texts=_BATCH_DOCUMENTS),
    )


def _as_columns(documents: Sequence[Document]) -> TextBatch:
    return TextBatch(
        text=pa.array([document.text for document in documents], pa.large_string()),
        id=pa.array([document.id for document in documents], pa.string()),
        source=pa.array([document.source for document in documents], pa.string()),
        level=pa.array([document.level for document in documents], pa.string()),
    )
