"""From token files to a store: blocks cut, each scored as it will be trained on.

Difficulty is measured on the decoded block, after packing, because the block is what a curriculum
orders. A block is spelled out by a gather over the vocabulary's bytes, not by the tokenizer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradatim.blocks.columns import GROUP_BLOCKS, column_checksums
from gradatim.blocks.description import BLOCKS, CHECKSUMS, TOKENS
from gradatim.blocks.difficulty import difficulty_columns
from gradatim.blocks.held_out import LABELS, check_filled, largest
from gradatim.blocks.packing import Chain, Spans, read_chains, spans_of
from gradatim.blocks.schema import block_schema
from gradatim.blocks.spelling import Speller
from gradatim.blocks.store import HELD_OUT, SPLITS, TRAIN, block_checksums, token_dtype
from gradatim.blocks.tokenizer import Vocabulary
from gradatim.corpus.overlap import NgramOverlap

T = TypeVar("T")
R = TypeVar("R")

CHUNK_BLOCKS = 2048
# Training text last: the held-out n-grams must be known before it is looked through.
PACKING_ORDER = ("held_out", "out_of_distribution", "train")


@dataclass(frozen=True)
class Chunk:
    """Consecutive blocks of one chain: their tokens [B, T], and which blocks they are."""

    chain: Chain
    tokens: NDArray[Any]
    first_in_chain: int
    first_id: int


def write_blocks(
    passages_folder: Path,
    folder: Path,
    vocabulary: Vocabulary,
    *,
    block_tokens: int,
    held_out_fraction: float | None,
    on_bytes: Callable[[int], None],
) -> dict[str, Any]:
    """Writes tokens, their checksums and `blocks.parquet`; returns the counts for the report.

    Args:
        passages_folder: what `encode_passages` wrote.
        held_out_fraction: by which the corpus was split, if it was.

    Raises:
        InputError: there would be no training or no held-out block.
    """
    chains = read_chains(passages_folder, PACKING_ORDER)
    check_filled(chains, block_tokens=block_tokens, held_out_fraction=held_out_fraction)
    difficulty_columns = tuple(chains[0].values) if chains else ()
    speller = Speller.of(vocabulary)
    overlap = NgramOverlap()
    num_blocks: dict[str, int] = dict.fromkeys(PACKING_ORDER, 0)
    label_blocks = {label: {split: Counter[str]() for split in SPLITS} for label in LABELS}
    dtype = token_dtype(vocabulary.size)
    waiting: list[pa.Table] = []

    def scored(chunk: Chunk) -> tuple[Chunk, list[str], pa.Table]:
        texts = speller.texts(chunk.tokens)
        return chunk, texts, _table(chunk, texts, vocabulary)

    with (
        (folder / TOKENS).open("wb") as tokens_file,
        (folder / CHECKSUMS).open("wb") as checksums_file,
        pq.ParquetWriter(folder / BLOCKS, block_schema(difficulty_columns)) as table_file,
    ):
        for chunk, texts, table in _in_threads(scored, _chunks(chains, block_tokens, dtype)):
            tokens_file.write(chunk.tokens.data)
            checksums_file.write(block_checksums(chunk.tokens).data)
            waiting.append(table)
            if sum(map(len, waiting)) >= GROUP_BLOCKS:
                table_file.write_table(pa.concat_tables(waiting))
                waiting.clear()
            num_blocks[chunk.chain.split] += len(texts)
            for label, of_split in label_blocks.items():
                named = filter(None, table[label].to_pylist())
                of_split[chunk.chain.split].update(named)
            for text in texts:
                if chunk.chain.split == HELD_OUT:
                    overlap.add_held_out(text)
                elif chunk.chain.split == TRAIN:
                    overlap.add_training(text)
            on_bytes(sum(map(len, texts)))
        if waiting:
            table_file.write_table(pa.concat_tables(waiting))
    with (folder / CHECKSUMS).open("ab") as checksums_file:
        checksums_file.write(column_checksums(folder / BLOCKS).data)
    return {
        "num_blocks": num_blocks,
        "label_blocks": {label: largest(amounts) for label, amounts in label_blocks.items()},
        "dropped_tokens": {
            f"{chain.split}/{chain.level or 'none'}": chain.num_tokens % block_tokens
            for chain in chains
        },
        "held_out_overlap": {
            "num_words": overlap.num_words,
            "num_ngrams": overlap.num_held_out,
            "seen_fraction": overlap.seen_fraction,
        },
    }


def _chunks(chains: list[Chain], block_tokens: int, dtype: np.dtype[Any]) -> Iterator[Chunk]:
    first_id = 0
    for chain in chains:
        first_in_chain = 0
        for tokens_BT in chain.blocks(block_tokens, dtype, chunk_blocks=CHUNK_BLOCKS):
            yield Chunk(chain, tokens_BT, first_in_chain, first_id)
            first_in_chain += len(tokens_BT)
            first_id += len(tokens_BT)


def _in_threads(function: Callable[[T], R], items: Iterator[T]) -> Iterator[R]:
    """`map` on two threads, in order, holding at most three items."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 3:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _table(chunk: Chunk, texts: list[str], vocabulary: Vocabulary) -> pa.Table:
    """The rows of `blocks.parquet` of some blocks."""
    chain, tokens_BT = chunk.chain, chunk.tokens
    num_rows, block_tokens = tokens_BT.shape
    spans = spans_of(
        chain.starts,
        first_block=chunk.first_in_chain,
        num_blocks=num_rows,
        block_tokens=block_tokens,
    )
    target_bytes = vocabulary.num_bytes[tokens_BT[:, 1:]].sum(axis=1, dtype=np.uint32)
    if vocabulary.prefix:  # what the tokenizer puts before a passage is no byte of its text
        begun = np.bincount(spans.block[spans.start_token > 0], minlength=num_rows)
        target_bytes -= (len(vocabulary.prefix) * begun).astype(np.uint32)
    span_bytes = _span_bytes(spans, vocabulary.num_bytes[tokens_BT])
    span_counts = np.bincount(spans.block, minlength=num_rows)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(span_counts)])
    span_values = pa.StructArray.from_arrays(
        [
            chain.documents.take(spans.passage).combine_chunks(),
            pa.array(spans.start_token, pa.uint32()),
        ],
        names=["document", "start_token"],
    )
    columns = {
        "block_id": np.arange(chunk.first_id, chunk.first_id + num_rows, dtype=np.uint32),
        "split": [chain.split] * num_rows,
        "level": [chain.level] * num_rows,
        "source": _main_sources(chain, spans, span_bytes, num_rows),
        "bytes": target_bytes,
        **difficulty_columns(texts),
        "num_passages": span_counts,
        "spans": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), span_values),
        **{
            name: _mean_values(values, spans, span_bytes, num_rows)
            for name, values in chain.values.items()
        },
    }
    return pa.table(columns, schema=block_schema(tuple(chain.values)))


def _span_bytes(spans: Spans, num_bytes_BT: NDArray[Any]) -> NDArray[np.int64]:
    """[num_spans] bytes of each."""
    starts = spans.block * num_bytes_BT.shape[1] + spans.start_token
    return np.asarray(np.add.reduceat(num_bytes_BT.reshape(-1), starts, dtype=np.int64))


def _main_sources(
    chain: Chain, spans: Spans, span_bytes: NDArray[np.int64], num_rows: int
) -> list[str]:
    """The source of most bytes of each block; of equals, the one that comes first."""
    names = chain.sources.take(spans.passage).to_pylist()
    totals: list[dict[str, int]] = [{} for _ in range(num_rows)]
    for block, name, count in zip(spans.block.tolist(), names, span_bytes.tolist(), strict=True):
        totals[block][name] = totals[block].get(name, 0) + count
    return [max(of_block, key=of_block.__getitem__) for of_block in totals]


def _mean_values(
    values: NDArray[np.float64], spans: Spans, span_bytes: NDArray[np.int64], num_rows: int
) -> NDArray[np.float32]:
    """[num_rows] mean over the bytes of a block that have a value; NaN where none has.

    Args:
        values: [num_passages] of the chain.
    """
    largest = np.finfo(np.float32).max
    of_span = np.clip(values[spans.passage], -largest, largest)
    weights = span_bytes * np.isfinite(of_span)
    totals = np.bincount(spans.block, weights * np.nan_to_num(of_span), num_rows)
    num_bytes = np.bincount(spans.block, weights, num_rows)
    means = np.divide(totals, num_bytes, out=np.full(num_rows, np.nan), where=num_bytes > 0)
    return np.asarray(means, np.float32)
