"""Reading `blocks.parquet` a column at a time: numbers as arrays, texts as codes with names.

The bytes of a column in a group of rows, page headers included, which parquet's own checksums leave
out, are compared with their CRC-32 when they are read: a column is what was written, or an error.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradatim.blocks.description import CHECKSUMS, damaged

GROUP_BLOCKS = 1 << 17  # rows written together: enough to be read fast


class Labels(NamedTuple):
    """A label a block: `names[codes[row]]`. The names rise; no label is the empty one."""

    names: tuple[str, ...]
    codes: NDArray[np.unsignedinteger[Any]]


def read_numbers(file: Path, name: str, rows: range, dtype: np.dtype[Any]) -> NDArray[Any]:
    """[rows] a column of numbers."""
    values = np.empty(len(rows), dtype)
    start = 0
    for array in arrays_of(file, name, rows):
        values[start : start + len(array)] = array.to_numpy()
        start += len(array)
    if start != len(rows):
        raise damaged(file.parent, f"{file.name} has too few rows")
    return values


def read_labels(file: Path, name: str, rows: range) -> Labels:
    """[rows] a column of texts; the names are those that occur in these rows."""
    found, coded = coded_labels(file, name, rows)
    names = sorted({label or "" for label in found})
    dtype = np.min_scalar_type(max(len(names) - 1, 0))
    places = {label: place for place, label in enumerate(names)}
    code_of = np.array([places[label or ""] for label in found], dtype)
    codes = [np.empty(0, dtype), *(code_of[part] for part in coded)]
    return Labels(tuple(names), np.concatenate(codes))


def arrays_of(file: Path, name: str, rows: range) -> Iterator[pa.Array]:
    """Some rows of one column, a group of rows at a time; texts as dictionaries.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        yield from _read_arrays(file, name, rows)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise damaged(
            file.parent, f"column {name} of {file.name} cannot be read ({reason})"
        ) from error


def _read_arrays(file: Path, name: str, rows: range) -> Iterator[pa.Array]:
    with file.open("rb") as raw, pq.ParquetFile(raw, read_dictionary=[name]) as table:
        shape = (table.num_row_groups, table.metadata.num_columns)
        behind_blocks = 4 * table.metadata.num_rows
        expected = np.memmap(file.with_name(CHECKSUMS), "<u4", "r", behind_blocks, shape)
        at = table.schema.names.index(name)
        start = 0
        for group in range(table.num_row_groups):
            stop = start + table.metadata.row_group(group).num_rows
            first, last = max(rows.start, start), min(rows.stop, stop)
            if first < last:
                column = table.metadata.row_group(group).column(at)
                if _chunk_checksum(raw, column) != expected[group, at]:
                    raise ValueError("is not as it was written")
                column = table.read_row_group(group, columns=[name])[name]
                yield from column.slice(first - start, last - first).chunks
            start = stop


def column_checksums(file: Path) -> NDArray[np.uint32]:
    """[groups, columns] CRC-32 of the bytes of each column in each group of rows."""
    table = pq.read_metadata(file)
    groups = [table.row_group(group) for group in range(table.num_row_groups)]
    with file.open("rb") as raw:
        found = [
            [_chunk_checksum(raw, group.column(column)) for column in range(table.num_columns)]
            for group in groups
        ]
    return np.array(found, "<u4").reshape(len(groups), table.num_columns)


def _chunk_checksum(raw: BinaryIO, column: pq.ColumnChunkMetaData) -> int:
    raw.seek(column.dictionary_page_offset or column.data_page_offset)
    return zlib.crc32(raw.read(column.total_compressed_size))


def coded_labels(
    file: Path, name: str, rows: range
) -> tuple[list[str | None], list[NDArray[np.int32]]]:
    """The labels among some rows of a column, and their codes in parts.

    Labels are numbered as they first occur, so that the codes depend on nothing but the values.
    """
    code_of: dict[str | None, int] = {}
    coded = []
    for array in arrays_of(file, name, rows):
        labels = array.dictionary.to_pylist()
        indices = array.indices
        if indices.null_count:
            indices = indices.fill_null(len(labels))
            labels.append(None)
        indices = indices.to_numpy()
        if not code_of.keys() >= set(labels):
            occurring, first = np.unique(indices, return_index=True)
            for index in occurring[np.argsort(first)].tolist():
                code_of.setdefault(labels[index], len(code_of))
        coded.append(np.array([code_of.get(label, -1) for label in labels], np.int32)[indices])
    return list(code_of), coded
