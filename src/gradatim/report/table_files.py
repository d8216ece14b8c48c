"""The tables behind a page, as CSV files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl


def write_tables(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write every table that has a row as CSV; a file of an earlier, empty one is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        if table.is_empty():
            path.unlink(missing_ok=True)
        else:
            table.write_csv(path)
