"""What a data timeline may know of a data set: of a block store, or of one's own columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradatim.blocks.store import TRAIN, Store
from gradatim.errors import SpecError
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.method import Method


def table_of_store(store: Store, spec: Method) -> BlockTable:
    """The training blocks of a store, with the columns that a data timeline reads.

    Raises:
        StoreError: the store has no such column.
    """
    return BlockTable(
        store.ids(TRAIN),
        {metric: store.column(metric, TRAIN) for metric in spec.metrics},
        {grouping: store.labels(grouping, TRAIN) for grouping in spec.groupings},
    )


def table_of_columns(
    difficulties: Mapping[str, ArrayLike] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    *,
    num_rows: int | None = None,
) -> BlockTable:
    """The rows of one's own data set: a block is a row, its id the row's number.

    Args:
        difficulties: name to numbers, one a row, higher is harder; not-a-number, or masked, is
            unknown.
        labels: name to texts, one a row; "" is none.
        num_rows: of the data set; needed where no column says it.

    Raises:
        SpecError: columns of different lengths, or neither a column nor a number of rows.
    """
    numbers: dict[str, Any] = {
        name: np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
        for name, values in (difficulties or {}).items()
    }
    lengths = {name: len(column) for name, column in {**numbers, **(labels or {})}.items()}
    if num_rows is None and not lengths:
        raise SpecError("neither columns nor a number of rows were given", where="num_rows")
    num_rows = num_rows if num_rows is not None else next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != num_rows:
            raise SpecError(
                "the column does not fit the data set",
                where=f"column {name!r}",
                expected=f"{num_rows} values",
                got=str(length),
            )
    coded = {}
    for name, texts in (labels or {}).items():
        names, codes = np.unique(np.asarray(texts, dtype=np.str_), return_inverse=True)
        coded[name] = (names.tolist(), codes)
    return BlockTable(np.arange(num_rows, dtype=np.uint32), numbers, coded)
