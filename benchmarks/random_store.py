"""A block store of random tokens, as large as asked, for measurements that need no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradatim.blocks.columns import GROUP_BLOCKS, column_checksums
from gradatim.blocks.description import (
    BLOCKS,
    CHECKSUMS,
    SCHEMA_VERSION,
    TOKENIZER,
    TOKENS,
    StoreDescription,
    checksums_of,
    ranges_of,
    write_description,
)
from gradatim.blocks.schema import BLOCK_SCHEMA
from gradatim.blocks.store import Store, block_checksums

LEVELS = "abcdef"
ONE_HELD_OUT_IN = 50


def random_store(
    folder: Path, *, num_blocks: int, block_tokens: int, vocab_size: int, seed: int = 0
) -> Store:
    """Write tokens and block table, and open them; the tokenizer is an empty file."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    tokens = random.integers(1, vocab_size, (num_blocks, block_tokens), dtype=np.uint16)
    tokens.tofile(folder / TOKENS)
    block_checksums(tokens).tofile(folder / CHECKSUMS)
    return _described(folder, num_blocks, block_tokens, vocab_size, seed)


def store_of_zeros(folder: Path, *, num_blocks: int, block_tokens: int, seed: int = 0) -> Store:
    """The same with tokens that take no room on disk: all zero, in a file with a hole."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TOKENS).open("wb") as file:
        file.truncate(num_blocks * block_tokens * np.dtype(np.uint16).itemsize)
    of_zeros = block_checksums(np.zeros((1, block_tokens), np.uint16))
    of_zeros.repeat(num_blocks).tofile(folder / CHECKSUMS)
    return _described(folder, num_blocks, block_tokens, 1 << 16, seed)


def _described(
    folder: Path, num_blocks: int, block_tokens: int, vocab_size: int, seed: int
) -> Store:
    """Write all but the tokens, and open the store."""
    num_held_out = -(-num_blocks // ONE_HELD_OUT_IN)
    random = np.random.default_rng(seed + 1)
    with pq.ParquetWriter(folder / BLOCKS, BLOCK_SCHEMA) as file:
        for start in range(0, num_blocks, GROUP_BLOCKS):
            stop = min(start + GROUP_BLOCKS, num_blocks)
            file.write_table(_rows(start, stop, num_held_out, block_tokens, random))
    with (folder / CHECKSUMS).open("ab") as checksums:
        checksums.write(column_checksums(folder / BLOCKS).data)
    (folder / TOKENIZER).touch()
    description = StoreDescription(
        schema_version=SCHEMA_VERSION,
        block_tokens=block_tokens,
        vocab_size=vocab_size,
        dtype="<u2",
        num_blocks=num_blocks,
        splits=ranges_of({"held_out": num_held_out, "train": num_blocks - num_held_out}),
        separator_id=0,
        fingerprint=f"random-{seed}",
        corpus_fingerprint="",
        tokenizer_fingerprint="",
        checksums=checksums_of(folder),
        settings={},
        inputs=[],
        report={},
    )
    write_description(folder, description)
    return Store.open(folder)


def _rows(
    start: int, stop: int, num_held_out: int, block_tokens: int, random: np.random.Generator
) -> pa.Table:
    ids = np.arange(start, stop, dtype=np.uint32)
    num_rows = len(ids)
    reading_age = random.gamma(8, 1.3, num_rows).astype(np.float32)
    spans = pa.StructArray.from_arrays(
        [_texts(np.zeros(num_rows, np.uint8), ["random"]), pa.array(np.zeros(num_rows, np.uint32))],
        names=["document", "start_token"],
    )
    columns: dict[str, Any] = {
        "block_id": ids,
        "split": _texts(ids < num_held_out, ["train", "held_out"]),
        "level": _texts(ids % len(LEVELS), list(LEVELS)),
        "source": _texts(np.zeros(num_rows, np.uint8), ["random"]),
        "bytes": np.full(num_rows, 4 * block_tokens, dtype=np.uint32),
        "reading_age": reading_age,
        "flesch_reading_ease": 100 - 5 * reading_age,
        "flesch_kincaid_grade": reading_age - 5,
        "num_passages": np.ones(num_rows, dtype=np.uint32),
        "spans": pa.ListArray.from_arrays(pa.array(np.arange(num_rows + 1), pa.int32()), spans),
    }
    return pa.table(columns, schema=BLOCK_SCHEMA)


def _texts(codes: np.ndarray[Any, Any], names: list[str]) -> pa.Array:
    codes = pa.array(codes.astype(np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array(names)).cast(pa.string())
