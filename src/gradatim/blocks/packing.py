"""Packing: passages of like difficulty end to end, cut into blocks of one length.

A block is drawn as a whole, so it should have one difficulty. Passages are therefore sorted into
buckets by (split, level, half-year of reading age); the buckets of one (split, level), from easy
to hard, make a *chain*: every passage followed by a separator, cut every `block_tokens`. A block
spans two buckets only where one ends, and only the end of a chain, less than a block, is dropped.

The sort is external: each bucket is a temporary file that passages are appended to in the order
they come, so memory does not grow with the corpus and a chain is its bucket files read in turn.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradatim.errors import StoreError

BUCKET_YEARS = 0.5
YOUNGEST, OLDEST = 0.0, 40.0  # years; what lies outside goes to the outermost buckets
BUFFER_TOKENS = 8 << 20
ROWS_PER_GROUP = 1 << 16

PASSAGES, BUCKETS = "passages.parquet", "buckets.json"

_OWN = "value/"  # before the names of difficulty columns, so that none is called as another
PASSAGE_SCHEMA = pa.schema(
    [
        ("bucket", pa.uint32()),  # index into the buckets, in order of first appearance
        ("document", pa.string()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("num_tokens", pa.uint32()),  # with its separator
    ]
)


class Bucket(NamedTuple):
    """What passages of one temporary file have in common; sorts into packing order in a chain."""

    split: str
    level: str | None
    half_year: int


def half_year_of(reading_age: NDArray[Any]) -> NDArray[np.int64]:
    """The half-year bucket of each reading age in years."""
    half_years = np.floor(np.clip(reading_age, YOUNGEST, OLDEST) / BUCKET_YEARS)
    return np.asarray(half_years, dtype=np.int64)


class BucketWriter:
    """Appends passages to the temporary files of their buckets.

    Use as a context; what it wrote is complete once the context has closed without an error.
    """

    def __init__(
        self,
        folder: Path,
        *,
        difficulty_columns: Sequence[str] = (),
        buffer_tokens: int = BUFFER_TOKENS,
    ) -> None:
        self._folder = folder
        self._buffer_tokens = buffer_tokens
        self._num_buffered_tokens = 0
        self._buckets: dict[Bucket, int] = {}
        self._pending: dict[int, list[NDArray[Any]]] = defaultdict(list)
        own = [pa.field(_OWN + name, pa.float64()) for name in difficulty_columns]
        self._schema = pa.schema([*PASSAGE_SCHEMA, *own])
        self._rows: dict[str, list[Any]] = {name: [] for name in self._schema.names}
        folder.mkdir(parents=True)
        self._table = pq.ParquetWriter(folder / PASSAGES, self._schema)

    def append(
        self,
        bucket: Bucket,
        tokens: NDArray[Any],
        *,
        document: str,
        source: str,
        values: tuple[float, ...] = (),
    ) -> None:
        """Adds one passage, its separator included in `tokens`, a value a difficulty column."""
        index = self._buckets.setdefault(bucket, len(self._buckets))
        self._pending[index].append(tokens)
        row = (index, document, source, len(tokens), *values)
        for column, value in zip(self._rows.values(), row, strict=True):
            column.append(value)
        self._num_buffered_tokens += len(tokens)
        if self._num_buffered_tokens >= self._buffer_tokens:
            self._flush_tokens()
        if len(self._rows["bucket"]) >= ROWS_PER_GROUP:
            self._flush_rows()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush_tokens()
            self._flush_rows()
            (self._folder / BUCKETS).write_text(json.dumps(list(self._buckets)), encoding="utf-8")
        self._table.close()

    def _flush_tokens(self) -> None:
        for index, arrays in self._pending.items():
            with bucket_file(self._folder, index).open("ab") as file:
                file.write(np.concatenate(arrays).data)
        self._pending.clear()
        self._num_buffered_tokens = 0

    def _flush_rows(self) -> None:
        self._table.write_table(pa.table(self._rows, schema=self._schema))
        for values in self._rows.values():
            values.clear()


def bucket_file(folder: Path, index: int) -> Path:
    return folder / f"bucket-{index:05}.tokens"


@dataclass(frozen=True)
class Chain:
    """The passages of one (split, level), from easy to hard.

    Attributes:
        files: the bucket files that hold its tokens, in order.
        documents, sources: of each passage, in order.
        starts: [num_passages + 1] first token of each passage, and the end.
        values: difficulty column to [num_passages] numbers of the documents, NaN for none.
    """

    split: str
    level: str | None
    files: tuple[Path, ...]
    documents: pa.ChunkedArray
    sources: pa.ChunkedArray
    starts: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        return int(self.starts[-1])

    def blocks(
        self, block_tokens: int, dtype: np.dtype[Any], *, chunk_blocks: int = 4096
    ) -> Iterator[NDArray[Any]]:
        """Its tokens as [up to about chunk_blocks, block_tokens] arrays; the last bit is dropped.

        Raises:
            StoreError: a bucket file is shorter or longer than its passages.
        """
        rest = np.zeros(0, dtype)
        num_read = 0
        for file_path in self.files:
            with file_path.open("rb") as file:
                while len(part := np.fromfile(file, dtype, chunk_blocks * block_tokens)):
                    num_read += len(part)
                    tokens = np.concatenate([rest, part])
                    whole = len(tokens) // block_tokens * block_tokens
                    if whole:
                        yield tokens[:whole].reshape(-1, block_tokens)
                    rest = tokens[whole:]
        if num_read != self.num_tokens:
            raise StoreError(
                "temporary files of the build are damaged",
                where=str(self.files[0].parent),
                expected=f"{self.num_tokens} tokens",
                got=str(num_read),
                remedy="Delete this folder and build again",
            )


def read_chains(folder: Path, splits: tuple[str, ...]) -> list[Chain]:
    """What a `BucketWriter` left in `folder`, as chains in order of split, then level."""
    buckets = [Bucket(*entry) for entry in json.loads((folder / BUCKETS).read_text("utf-8"))]
    table = pq.read_table(folder / PASSAGES)
    bucket_of_passage = table["bucket"].to_numpy()
    keys = {(bucket.split, bucket.level) for bucket in buckets}
    chains = []
    for split, level in sorted(keys, key=lambda key: (splits.index(key[0]), key[1] or "")):
        members = [index for index, bucket in enumerate(buckets) if bucket[:2] == (split, level)]
        members.sort(key=lambda index: buckets[index].half_year)
        position = np.full(len(buckets), -1)
        position[members] = np.arange(len(members))
        position_of_passage = position[bucket_of_passage]
        rows = np.flatnonzero(position_of_passage >= 0)
        rows = rows[np.argsort(position_of_passage[rows], kind="stable")]
        passages = table.take(rows)
        ends = np.cumsum(passages["num_tokens"].to_numpy(), dtype=np.int64)
        chains.append(
            Chain(
                split=split,
                level=level,
                files=tuple(bucket_file(folder, index) for index in members),
                documents=passages["document"],
                sources=passages["source"],
                starts=np.concatenate([np.zeros(1, np.int64), ends]),
                values={
                    name.removeprefix(_OWN): passages[name].to_numpy()
                    for name in table.schema.names[len(PASSAGE_SCHEMA) :]
                },
            )
        )
    return chains


@dataclass(frozen=True)
class Spans:
    """Which passages lie in each of some consecutive blocks of a chain.

    Attributes:
        block: [num_spans] row of the block, counted from the first of these blocks.
        passage: [num_spans] passage in the chain.
        start_token: [num_spans] first token of the passage within its block.
    """

    block: NDArray[np.int64]
    passage: NDArray[np.int64]
    start_token: NDArray[np.int64]


def spans_of(
    starts: NDArray[np.int64], *, first_block: int, num_blocks: int, block_tokens: int
) -> Spans:
    """The spans of blocks [first_block, first_block + num_blocks) of a chain.

    Args:
        starts: [num_passages + 1] first token of each passage in the chain, and the end.
    """
    block_starts = (first_block + np.arange(num_blocks)) * block_tokens
    first = np.searchsorted(starts, block_starts, side="right") - 1
    end = np.searchsorted(starts[:-1], block_starts + block_tokens, side="left")
    counts = end - first
    block = np.repeat(np.arange(num_blocks), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    passage = first[block] + offset
    start_token = np.maximum(starts[passage] - block_starts[block], 0)
    return Spans(block, passage, start_token)
