"""The columns of `blocks.parquet`; a corpus may bring numbers of its own for how hard it is."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

BLOCK_SCHEMA = pa.schema(
    [
        pa.field("block_id", pa.uint32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("level", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("bytes", pa.uint32(), nullable=False),
        pa.field("reading_age", pa.float32(), nullable=False),
        pa.field("flesch_reading_ease", pa.float32(), nullable=False),
        pa.field("flesch_kincaid_grade", pa.float32(), nullable=False),
        pa.field("num_passages", pa.uint32(), nullable=False),
        pa.field(
            "spans",
            pa.list_(pa.struct([("document", pa.string()), ("start_token", pa.uint32())])),
            nullable=False,
        ),
    ]
)

TEXTS = tuple(field.name for field in BLOCK_SCHEMA if pa.types.is_string(field.type))
NUMBERS = tuple(name for name in BLOCK_SCHEMA.names if name not in (*TEXTS, "spans"))


def block_schema(difficulty_columns: Sequence[str]) -> pa.Schema:
    """The columns of a store whose corpus brings these numbers."""
    own = [pa.field(name, pa.float32(), nullable=False) for name in difficulty_columns]
    return pa.schema([*BLOCK_SCHEMA, *own])
