"""Parquet and Arrow files into batches of columns, and those into rows, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gradatim.corpus.readers import OR_SKIP, Choose, Row, first_line
from gradatim.corpus.storage import open_input, refuse_pointer
from gradatim.errors import InputError

_BATCH_BYTES = 8 * 2**20
_STREAM_BYTES = 2**20
_ARROW_FILE = b"ARROW1"
_MOST_HEADER_BYTES = 32
_NEXT_NUMBER = b"\x15"
_FEW_ROWS = 4  # rather so few rows at a time than a dictionary decoded twice

MAX_ROW_BYTES = 256 * 2**20
"""Longest row of a parquet file that is read, and the most that a batch of rows may hold."""


def table_rows(path: Path | str, format: str, choose: Choose) -> Iterator[Row]:
    """One row a table row, with the columns that `choose` picks from all names.

    Raises:
        InputError: the file is no such table; and whatever `choose` raises.
    """
    batches = arrow_batches(path, choose) if format == "arrow" else parquet_batches(path, choose)
    for row_of_first, batch in batches:
        yield from batch_rows(batch, str(path), row_of_first)


def parquet_batches(
    path: Path | str, choose: Choose, *, first: int = 0, end: int | None = None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Number of the first row, from 1, and the columns chosen, for rows `first` to `end`.

    Raises:
        InputError: the file is no parquet, or a row is longer than `MAX_ROW_BYTES`; and whatever
            `choose` raises.
    """
    with open_parquet(path) as file:
        columns = choose(file.schema_arrow.names)
        metadata = file.metadata
        end = metadata.num_rows if end is None else end
        size = _rows_a_batch(metadata, columns)
        at = 0
        for index in range(metadata.num_row_groups):
            num_rows = metadata.row_group(index).num_rows
            if at + num_rows <= first or at >= end:
                at += num_rows
                continue
            rows = _rows_within_bounds(path, file, index, columns, size)
            for batch in file.iter_batches(
                rows, row_groups=[index], columns=columns, use_threads=False
            ):
                start, stop = max(first - at, 0), min(end - at, len(batch))
                if start < stop:
                    yield at + start + 1, batch.slice(start, stop - start)
                at += len(batch)
                if at >= end:
                    return


def arrow_batches(path: Path | str, choose: Choose) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The same of a whole Arrow file or stream, as `datasets` and Feather (version 2) write.

    Raises:
        InputError: a pointer instead of the file; and whatever `choose` raises.
        pa.ArrowInvalid: the file is none, or breaks off.
    """
    refuse_pointer(path)
    with open_input(path) as file:
        is_stream = file.read(len(_ARROW_FILE)) != _ARROW_FILE
        open_reader = pa.ipc.open_stream if is_stream else pa.ipc.open_file
        file.seek(0)
        names = open_reader(file).schema.names
        fields = [names.index(name) for name in choose(names)]
        file.seek(0)
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        reader = open_reader(file, options=options)
        if is_stream:
            batches = iter(reader)
        else:
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        row_of_first = 1
        for batch in batches:
            size = max(1, len(batch) * _BATCH_BYTES // max(batch.nbytes, 1))
            for start in range(0, len(batch), size):
                yield row_of_first + start, batch.slice(start, size)
            row_of_first += len(batch)


def batch_rows(batch: pa.RecordBatch, path: str, row_of_first: int) -> Iterator[Row]:
    """The rows of a batch of a table, the first of which has this number, from 1."""
    columns = [python_values(column) for column in batch.columns]
    for number, values in enumerate(zip(*columns, strict=True), row_of_first):
        record = dict(zip(batch.schema.names, values, strict=True))
        yield Row(f"{path}: row {number}", number, record)


def open_parquet(path: Path | str, **options: Any) -> pq.ParquetFile:
    """A parquet file at a path or URL, to be read in small buffers.

    Args:
        options: of `pyarrow.parquet.ParquetFile`.

    Raises:
        InputError: the file is no parquet.
    """
    try:
        # Small buffers instead of whole column chunks: a row group may be larger than memory.
        return pq.ParquetFile(
            open_input(path), buffer_size=_STREAM_BYTES, pre_buffer=False, **options
        )
    except (pa.ArrowException, OSError) as error:
        refuse_pointer(path)
        raise InputError(
            "cannot be read as parquet",
            where=str(path),
            got=first_line(error),
            remedy="Check that the file is complete" + OR_SKIP,
        ) from error


def _rows_a_batch(metadata: pq.FileMetaData, columns: list[str]) -> int:
    """As many rows as hold about 8 MB, by the mean size of the columns' values."""
    num_bytes = 1 + sum(size for _, size in group_sizes(metadata, columns))
    return max(1, min(4096, int(_BATCH_BYTES * metadata.num_rows / num_bytes)))


def _rows_within_bounds(
    path: Path | str, file: pq.ParquetFile, index: int, columns: list[str], size: int
) -> int:
    """How many rows of a row group, `size` at most, hold `MAX_ROW_BYTES` at most.

    The sizes in a file's metadata count a text of its dictionary once, however many rows repeat
    it, so the longest text of the dictionary decides: 600 bytes of a file may stand for 20 GB.
    """
    group = file.metadata.row_group(index)
    chunks = [group.column(at) for at in range(group.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema in columns]
    num_bytes = sum(chunk.total_uncompressed_size for chunk in chunks)
    longest = num_bytes // max(group.num_rows, 1)
    coded = [chunk for chunk in chunks if _is_dictionary_of_texts(chunk)]
    if coded and num_bytes * size > MAX_ROW_BYTES:
        dictionaries = _dictionary_bytes(path, coded)
        if dictionaries * min(size, _FEW_ROWS) > MAX_ROW_BYTES:
            dictionaries = _longest_texts(path, file.metadata, index, coded)
        longest = max(longest, dictionaries)
    if longest > MAX_ROW_BYTES:
        raise InputError(
            "a row is too long",
            where=f"{path}: row group {index + 1}",
            expected=f"at most {MAX_ROW_BYTES:,} bytes a row",
            got=f"{longest:,}",
            remedy="Part the documents, or give the text as a .txt file, which is read in pieces"
            + OR_SKIP,
        )
    return min(size, int(MAX_ROW_BYTES // max(longest, 1)))


def _dictionary_bytes(path: Path | str, chunks: list[pq.ColumnChunkMetaData]) -> int:
    """Bytes of the dictionaries of some columns together, decompressed: no text in them is longer.

    Read from the headers of their pages, whose first two fields are kind and size, 32-bit numbers
    in Thrift's compact protocol.
    """
    total = 0
    with open_input(path) as file:
        for chunk in chunks:
            file.seek(chunk.dictionary_page_offset)
            header = io.BytesIO(file.read(_MOST_HEADER_BYTES))
            for _ in range(2):
                is_number = header.read(1) == _NEXT_NUMBER
                size = _number(header) if is_number else chunk.total_uncompressed_size
            total += size
    return total


def _number(header: io.BytesIO) -> int:
    """A whole number of seven bits a byte, the lowest first, and its sign last of all."""
    number = shift = 0
    while byte := header.read(1):
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    return number >> 1


def _longest_texts(
    path: Path | str,
    metadata: pq.FileMetaData,
    index: int,
    chunks: list[pq.ColumnChunkMetaData],
) -> int:
    """Bytes of the longest texts of some columns' dictionaries together; decodes them all."""
    names = [chunk.path_in_schema for chunk in chunks]
    with open_parquet(path, metadata=metadata, read_dictionary=names) as file:
        # The first row brings the whole dictionary of its row group with it.
        batch = next(file.iter_batches(1, row_groups=[index], columns=names, use_threads=False))
    return sum(_longest(column) for column in batch.columns)


def _is_dictionary_of_texts(chunk: pq.ColumnChunkMetaData) -> bool:
    return bool(chunk.has_dictionary_page and chunk.physical_type == "BYTE_ARRAY")


def _longest(column: pa.Array) -> int:
    """Bytes of the longest text of a dictionary."""
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)


def group_sizes(metadata: pq.FileMetaData, columns: list[str]) -> Iterator[tuple[int, int]]:
    """Rows and uncompressed bytes of some columns, by row group."""
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(at) for at in range(group.num_columns)]
        sizes = (
            chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in columns
        )
        yield group.num_rows, sum(sizes)


def python_values(array: pa.Array) -> list[object]:
    """Python values; a string that is not UTF-8 comes as bytes, for the row to be reported.

    What Python has no value for (a time in nanoseconds, the year 10,000) comes as a string.
    """
    try:
        return list(array.to_pylist())
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in array]


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes()
    except (ValueError, OverflowError):
        return str(scalar.cast(pa.string()))
