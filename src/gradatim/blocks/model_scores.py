"""Model scores of a store's blocks: columns made after the build, in tables beside its own.

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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gradatim import files
from gradatim.difficulty.model_scores import BlockScores, null_reasons
from gradatim.errors import SpecError, StoreError

SCHEMA_VERSION = 1
SCORES_FOLDER = "scores"
BLOCK_ID, NULL_REASON = "block_id", "null_reason"
_ROWS_A_BATCH = 1 << 20


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
    except (OSError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None


def read_column(
    store_path: Path, table: str, column: str, *, num_blocks: int, store_fingerprint: str
) -> NDArray[np.float32]:
    """[num_blocks] one column in block order; NaN, in memory only, where a block has no value.

    The whole table is compared with its fingerprint, a column at a time.

    Raises:
        StoreError: no such table or column, the table is of another store's blocks, or its values
            have changed.
    """
    description = read_table(store_path, table)
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
    path = store_path / SCORES_FOLDER / f"{table}.parquet"
    values = np.full(num_blocks, np.nan, np.float32)
    try:
        found = _fingerprint(description, path)
        if found != description.fingerprint:
            raise _damaged(path, f"its content hashes to {found}, not {description.fingerprint}")
        for block_ids, scores in _batches(path, BLOCK_ID, column):
            values[block_ids.to_numpy()] = scores.to_numpy(zero_copy_only=False)
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    return values


def write_table(
    store_path: Path,
    description: ScoreTable,
    groups: Iterable[tuple[NDArray[Any], Mapping[str, BlockScores]]],
) -> ScoreTable:
    """Write a table and its description, whole or not at all.

    Args:
        store_path: the store whose blocks were scored.
        description: but for `num_null` and `fingerprint`, which the values tell.
        groups: ids and columns of some blocks at a time, the ids ascending.

    Returns:
        The complete description.
    """
    names = list(description.columns)
    numbers = [pa.field(name, pa.float32()) for name in names]
    id_field = pa.field(BLOCK_ID, pa.uint32(), nullable=False)
    schema = pa.schema([id_field, *numbers, pa.field(NULL_REASON, pa.string())])
    num_null = dict.fromkeys(names, 0)
    folder = store_path / SCORES_FOLDER
    with files.writing_whole(folder / f"{description.name}.parquet") as path:
        with pq.ParquetWriter(path, schema) as writer:
            for block_ids, columns in groups:
                arrays = [pa.array(block_ids, pa.uint32())]
                for name in names:
                    values, is_null = columns[name].values, columns[name].is_null
                    arrays.append(pa.array(values.astype(np.float32), mask=is_null))
                    num_null[name] += int(is_null.sum())
                arrays.append(pa.array(null_reasons(columns), pa.string()))
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        known = description.model_copy(update={"num_null": num_null})
        known = known.model_copy(update={"fingerprint": _fingerprint(known, path)})
        (folder / f"{known.name}.json").unlink(missing_ok=True)  # it describes what was there
    files.write_whole(folder / f"{known.name}.json", known.model_dump_json(indent=1) + "\n")
    return known


def _fingerprint(description: ScoreTable, path: Path) -> str:
    """32 hex digits over values and description; columns by value, not as parquet wrote them."""
    content = description.model_dump(mode="json", exclude={"fingerprint"})
    digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16)
    for (block_ids,) in _batches(path, BLOCK_ID):
        digest.update(np.asarray(block_ids, "<u4").tobytes())
    for name in description.columns:
        parts = [values for (values,) in _batches(path, name)]
        for values in parts:
            digest.update(np.asarray(values.is_valid()).tobytes())
        for values in parts:
            digest.update(np.asarray(values.fill_null(0), "<f4").tobytes())
    return digest.hexdigest()


def _batches(path: Path, *names: str) -> Iterator[list[pa.Array]]:
    """Some columns of a table, a million rows at a time; none of them where one is not there."""
    with pq.ParquetFile(path) as file:
        if set(names) <= set(file.schema_arrow.names):
            for batch in file.iter_batches(_ROWS_A_BATCH, columns=list(names)):
                yield [batch.column(name) for name in names]


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"the scores are damaged: {what}",
        where=str(path),
        remedy="Delete them and score the blocks again",
    )
