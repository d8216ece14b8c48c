"""A block store of random tokens, as large as asked, for measurements that need no text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradatim.blocks.store import BLOCK_SCHEMA, BLOCKS, TOKENS, Store, StoreDescription

LEVELS = "abcdef"


def random_store(
    folder: Path, *, num_blocks: int, block_tokens: int, vocab_size: int, seed: int = 0
) -> Store:
    """Write tokens and block table, and open them; there is no tokenizer."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = random.integers(1, vocab_size, (num_blocks, block_tokens), dtype=np.uint16)
    tokens.tofile(folder / TOKENS)
    reading_age = random.gamma(8, 1.3, num_blocks).astype(np.float32)
    columns = {
        "block_id": np.arange(num_blocks, dtype=np.uint32),
        "split": np.where(np.arange(num_blocks) % 50 == 0, "held_out", "train"),
        "level": [LEVELS[block % len(LEVELS)] for block in range(num_blocks)],
        "source": ["random"] * num_blocks,
        "bytes": np.full(num_blocks, 4 * block_tokens, dtype=np.uint32),
        "reading_age": reading_age,
        "flesch_reading_ease": 100 - 5 * reading_age,
        "flesch_kincaid_grade": reading_age - 5,
        "num_passages": np.ones(num_blocks, dtype=np.uint32),
        "spans": [[{"document": "random", "start_token": 0}]] * num_blocks,
    }
    columns = {name: columns[name] for name in BLOCK_SCHEMA.names}
    pq.write_table(pa.table(columns, schema=BLOCK_SCHEMA), folder / BLOCKS)
    description = StoreDescription(
        schema_version=1,
        block_tokens=block_tokens,
        vocab_size=vocab_size,
        dtype="<u2",
        num_blocks=num_blocks,
        separator_id=0,
        fingerprint=f"random-{seed}",
        corpus_fingerprint="",
        tokenizer_fingerprint="",
        settings={},
        inputs=[],
        report={},
    )
    mapped = np.memmap(folder / TOKENS, np.dtype("<u2"), "r", shape=(num_blocks, block_tokens))
    return Store(folder, description, mapped)
