"""Columns of difficulty that were made after the build: tables beside a store's own.

    scores/NAME.parquet    block_id, one column a score (float32, null where unknown), null_reason
    scores/NAME.json       what they mean, what they were computed from, and what that cost

A store stays what it was: its fingerprint knows nothing of them. Each table has its own, over its
values and everything that decided them, and a run that uses one names it in its specification.
Elsewhere a column is called `NAME/COLUMN`. The JSON is written last, so a table is whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradatim import files
from gradatim.errors import SpecError, StoreError

SCHEMA_VERSION = 1
SCORES_FOLDER = "scores"
BLOCK_ID, NULL_REASON = "block_id", "null_reason"


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreColumn(_Content):
    """What a column means: its unit, what a higher value is, and in words what it measures."""

    unit: str
    higher_is: str
    describes: str


class ScoreSource(_Content):
    """A model that scored.

    Attributes:
        role: what its losses stand for, such as `early`, `late`, `current` or `reference`.
        run: id of the run.
        step: of the checkpoint.
        weights: hash of the checkpoint's weights.
        precision: of its matrix products.
        num_parameters: of the network.
        scoring_flops: of its forward passes over the scored blocks.
        training_flops: charged to the run by that checkpoint.
    """

    role: str
    run: str
    step: int
    weights: str
    precision: str
    num_parameters: int
    scoring_flops: float = Field(ge=0)
    training_flops: float = Field(ge=0)


class ScoreTable(_Content):
    """The content of `NAME.json`.

    Attributes:
        store_fingerprint: of the store whose blocks were scored.
        splits: which were scored; a block of another split has no row.
        num_blocks: rows of the table.
        num_null: blocks without a value, by column.
        settings: that decided the values.
        sources: the models, each with what its part cost.
        scoring_flops: of all forward passes together.
        reference_flops: of training the models, a run of which two checkpoints scored once.
        fingerprint: over all of this and the values.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    store_fingerprint: str
    splits: tuple[str, ...]
    num_blocks: int
    num_null: dict[str, int]
    columns: dict[str, ScoreColumn]
    settings: dict[str, Any]
    sources: tuple[ScoreSource, ...]
    scoring_flops: float = Field(ge=0)
    reference_flops: float = Field(ge=0)
    fingerprint: str = ""


def check_name(name: str) -> None:
    """Refuse a name that cannot be part of a file's or a column's.

    Raises:
        SpecError: it has other characters than letters, digits, `.`, `-` and `_`, or starts with a
            dot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise SpecError(
            "cannot name a table of scores",
            where="name",
            expected="letters, digits, dots, hyphens, underscores",
            got=repr(name),
        )


def split_column(column: str) -> tuple[str, str] | None:
    """Table and column of `NAME/COLUMN`; None for a column of the store's own."""
    table, slash, name = column.partition("/")
    return (table, name) if slash else None


def table_names(store_path: Path) -> list[str]:
    """Names of the whole tables beside a store, sorted."""
    return sorted(path.stem for path in (store_path / SCORES_FOLDER).glob("*.json"))


def read_table(store_path: Path, name: str) -> ScoreTable:
    """What one table says of itself.

    Raises:
        StoreError: there is none of that name, or it is damaged.
    """
    path = store_path / SCORES_FOLDER / f"{name}.json"
    if "/" in name or not path.is_file():
        known = table_names(store_path)
        raise StoreError(
            "the store has no such table of scores",
            where=str(store_path),
            expected=f"one of {', '.join(known)}" if known else None,
            got=name,
            remedy="Make it with `gradatim score STORE --with RUN`",
        )
    try:
        return ScoreTable.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _damaged(path, " ".join(str(error).split())) from None


def read_values(store_path: Path, name: str) -> tuple[ScoreTable, pa.Table]:
    """A table's description and its rows, compared with the fingerprint.

    Raises:
        StoreError: there is none of that name, it is damaged, or its values have changed.
    """
    description = read_table(store_path, name)
    path = store_path / SCORES_FOLDER / f"{name}.parquet"
    try:
        rows = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, str(error)) from None
    found = fingerprint_of(description, rows)
    if found != description.fingerprint:
        raise _damaged(path, f"its content hashes to {found}, not {description.fingerprint}")
    return description, rows


def read_column(
    store_path: Path, table: str, column: str, *, num_blocks: int, store_fingerprint: str
) -> NDArray[np.float32]:
    """[num_blocks] one column in block order; NaN, in memory only, where a block has no value.

    Raises:
        StoreError: no such table or column, or the table is of another store's blocks.
    """
    description, rows = read_values(store_path, table)
    if description.store_fingerprint != store_fingerprint:
        raise StoreError(
            f"the scores {table} are of another store's blocks",
            where=str(store_path),
            expected=f"fingerprint {store_fingerprint}",
            got=description.store_fingerprint,
            remedy="Score the blocks anew",
        )
    if column not in description.columns:
        raise StoreError(
            f"the scores {table} have no such column",
            where=str(store_path),
            expected=", ".join(description.columns),
            got=column,
        )
    values = np.full(num_blocks, np.nan, np.float32)
    values[rows[BLOCK_ID].to_numpy()] = rows[column].to_numpy()
    return values


def write_table(
    store_path: Path,
    description: ScoreTable,
    *,
    block_ids: NDArray[Any],
    columns: Mapping[str, NDArray[Any]],
    is_null: Mapping[str, NDArray[np.bool_]],
    reasons: list[str | None],
) -> ScoreTable:
    """Write a table and its description, whole or not at all; returns it with its fingerprint."""
    arrays = [pa.array(block_ids, pa.uint32())]
    fields = [pa.field(BLOCK_ID, pa.uint32(), nullable=False)]
    for name, values in columns.items():
        arrays.append(pa.array(values.astype(np.float32), pa.float32(), mask=is_null[name]))
        fields.append(pa.field(name, pa.float32()))
    arrays.append(pa.array(reasons, pa.string()))
    fields.append(pa.field(NULL_REASON, pa.string()))
    rows = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    known = description.model_copy(update={"fingerprint": fingerprint_of(description, rows)})
    folder = store_path / SCORES_FOLDER
    (folder / f"{known.name}.json").unlink(missing_ok=True)
    with files.writing_whole(folder / f"{known.name}.parquet") as path:
        pq.write_table(rows, path)
    files.write_whole(folder / f"{known.name}.json", known.model_dump_json(indent=1) + "\n")
    return known


def fingerprint_of(description: ScoreTable, rows: pa.Table) -> str:
    """32 hex digits over values and description; columns by value, not as parquet wrote them."""
    content = description.model_dump(mode="json", exclude={"fingerprint"})
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16)
    digest.update(np.asarray(rows[BLOCK_ID].to_numpy(), "<u4").tobytes())
    for name in description.columns:
        column = rows[name].combine_chunks() if name in rows.column_names else pa.array([])
        digest.update(np.asarray(column.is_valid()).tobytes())
        digest.update(np.asarray(column.fill_null(0), "<f4").tobytes())
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"the scores are damaged: {what}",
        where=str(path),
        remedy="Delete them and score the blocks again",
    )
