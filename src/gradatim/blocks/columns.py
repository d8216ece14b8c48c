"""Reading `blocks.parquet` a column at a time: numbers as arrays, texts as codes with names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

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
    """Some rows of one column, a group of rows at a time; texts as dictionaries."""
    with pq.ParquetFile(file, read_dictionary=[name]) as table:
        start = 0
        for group in range(table.num_row_groups):
            stop = start + table.metadata.row_group(group).num_rows
            first, last = max(rows.start, start), min(rows.stop, stop)
            if first < last:
                column = table.read_row_group(group, columns=[name])[name]
                yield from column.slice(first - start, last - first).chunks
            start = stop


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
