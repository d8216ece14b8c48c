"""The block store on disk, open for reading.

    tokens.bin       [num_blocks, block_tokens] uint16 or uint32, row-major, memory-mapped
    checksums.bin    uint32: the CRC-32 of each block, then of each column in a group of rows
    blocks.parquet   one row a block: split, level, source, bytes, difficulty, spans
    tokenizer.json   what the ids mean
    tasks.jsonl      evaluation items, in the graded world
    store.json       sizes, fingerprints, settings, and the report of the build
    scores/          what models said of the blocks later (`blocks/model_scores.py`)

A block's id is its row, for life, and a split is a range of ids. A column is read when it is asked
for, and not kept: a store may have fifty million blocks. It is written once (`blocks/build.py`),
appears whole by one rename, and is never changed; tables of scores are only put beside it. What is
read is compared with its checksum each time (`blocks/description.py`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gradatim.blocks import model_scores
from gradatim.blocks.columns import Labels, arrays_of, coded_labels, read_labels, read_numbers
from gradatim.blocks.description import (
    BLOCKS,
    CHECKSUMS,
    TASKS,
    TOKENIZER,
    TOKENS,
    StoreDescription,
    Task,
    damaged,
    footer_checksum,
    read_description,
    read_tasks,
)
from gradatim.blocks.model_scores import ScoreTable
from gradatim.blocks.schema import BLOCK_SCHEMA, NUMBERS, TEXTS
from gradatim.blocks.tokenizer import Vocabulary, vocabulary_fingerprint
from gradatim.difficulty.bands import band_edges, band_of
from gradatim.errors import StoreError
from gradatim.files import content_hash, hash_file

_BLOCKS_COMPARED_AT_ONCE = 1 << 13

TRAIN, HELD_OUT, OUT_OF_DISTRIBUTION = SPLITS = ("train", "held_out", "out_of_distribution")


def block_checksums(tokens_BT: NDArray[Any]) -> NDArray[np.uint32]:
    """[B] CRC-32 of the bytes of each row: 0.45 µs for 256 tokens, and sure of any one bit."""
    return np.fromiter(map(zlib.crc32, tokens_BT), np.dtype("<u4"), len(tokens_BT))


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest type that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True)
class Store:
    """A block store, open.

    Attributes:
        path: its folder.
        description: the content of `store.json`.
        tokens: [num_blocks, block_tokens] the memory map; `read` compares what it gives.
    """

    path: Path
    description: StoreDescription
    tokens: np.memmap[Any, np.dtype[Any]]
    _checksums: NDArray[np.uint32] = field(repr=False)
    _edges: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Opens a store; cheap: `store.json`, the table's footer and the sizes of the files.

        Raises:
            StoreError: there is no store, or its parts do not fit together.
        """
        path = Path(path)
        description = read_description(path)
        _check_files(path, description)
        shape = (description.num_blocks, description.block_tokens)
        tokens = np.memmap(path / TOKENS, np.dtype(description.dtype), "r", shape=shape)
        checksums = np.asarray(np.memmap(path / CHECKSUMS, "<u4", "r"))
        return cls(path, description, tokens, checksums)

    @property
    def fingerprint(self) -> str:
        return self.description.fingerprint

    @property
    def block_tokens(self) -> int:
        return self.description.block_tokens

    @property
    def num_blocks(self) -> int:
        return self.description.num_blocks

    @property
    def vocab_size(self) -> int:
        return self.description.vocab_size

    @property
    def separator_id(self) -> int:
        return self.description.separator_id

    @property
    def report(self) -> dict[str, Any]:
        return self.description.report

    @cached_property
    def difficulty_columns(self) -> tuple[str, ...]:
        """The names of the numbers that the corpus brought with it."""
        corpus = self.description.settings.get("corpus") or {}
        return tuple(corpus.get("difficulty_columns", ()))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer, compared with its fingerprint.

        Raises:
            StoreError: it is not the build's.
        """
        try:
            tokenizer = Tokenizer.from_str(self._tokenizer_json())
        except StoreError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise damaged(self.path, f"{TOKENIZER} cannot be read ({error})") from error
        return Vocabulary(tokenizer, self.separator_id)

    def _tokenizer_json(self) -> str:
        try:
            content = (self.path / TOKENIZER).read_text(encoding="utf-8")
            found = vocabulary_fingerprint(content, self.separator_id)
        except (OSError, ValueError, RecursionError) as error:
            raise damaged(self.path, f"{TOKENIZER} cannot be read ({error})") from error
        if found != self.description.tokenizer_fingerprint:
            raise damaged(self.path, f"{TOKENIZER} is not as it was written")
        return content

    @property
    def tokenizer_path(self) -> Path:
        """The file of the tokenizer, which is as the build left it.

        Raises:
            StoreError: it is not.
        """
        self._tokenizer_json()
        return self.path / TOKENIZER

    @property
    def tokenizer(self) -> Tokenizer:
        """Encodes as the build did: no token added, and no text taken for a special token."""
        return self.vocabulary.tokenizer

    def column(self, name: str, split: str | None = None) -> NDArray[Any]:
        """Numbers of the block table, one a block of the store or, in the order of ids, of a split.

        A difficulty column of the corpus is NaN where a block holds no document that has a number.
        `TABLE/COLUMN` is a column of the scores beside the store, NaN where a block has no value.

        Raises:
            StoreError: there is no such column.
        """
        rows = self._rows(split)
        scores = model_scores.split_column(name)
        if scores is not None:
            return model_scores.read_column(
                self.path, *scores, num_blocks=self.num_blocks, store_fingerprint=self.fingerprint
            )[rows.start : rows.stop]
        self._check_known(name, (*NUMBERS, *self.difficulty_columns))
        is_own = name in self.difficulty_columns
        dtype = np.dtype(np.float32 if is_own else BLOCK_SCHEMA.field(name).type.to_pandas_dtype())
        return read_numbers(self.path / BLOCKS, name, rows, dtype)

    def labels(self, name: str, split: str | None = None) -> Labels:
        """The texts of `split`, `level` or `source`, of the blocks that `column` would give.

        Raises:
            StoreError: there is no such column.
        """
        self._check_known(name, TEXTS)
        return read_labels(self.path / BLOCKS, name, self._rows(split))

    def _rows(self, split: str | None) -> range:
        if split is None:
            return range(self.num_blocks)
        return range(*self.description.splits.get(split, (0, 0)))

    def _check_known(self, name: str, known: Sequence[str]) -> None:
        if name not in known:
            raise StoreError(
                "the block table has no such column",
                where=str(self.path),
                expected=", ".join(known),
                got=name,
            )

    def score_table(self, name: str) -> ScoreTable:
        """What a table of scores beside the store says of itself.

        Raises:
            StoreError: there is none of that name, or it is damaged.
        """
        return model_scores.read_table(self.path, name)

    def ids(self, split: str) -> NDArray[np.uint32]:
        """Ids of the blocks of one split, ascending."""
        rows = self._rows(split)
        return np.arange(rows.start, rows.stop, dtype=np.uint32)

    def read(self, block_ids: NDArray[Any] | Sequence[int]) -> NDArray[np.int64]:
        """[B, block_tokens] int64: one fancy-indexed read, compared, then the widening.

        Raises:
            StoreError: a block is not as the build wrote it, or there is none of an id.
        """
        return self._blocks(np.asarray(block_ids)).astype(np.int64)

    def _blocks(self, block_ids: NDArray[Any]) -> NDArray[Any]:
        try:
            narrow: NDArray[Any] = np.asarray(self.tokens)[block_ids]  # rows of a map cost more
        except IndexError:
            largest = int(block_ids.max())
            raise StoreError(
                "the store has no such block",
                where=str(self.path),
                expected=f"ids below {self.num_blocks}",
                got=str(largest),
            ) from None
        is_changed = block_checksums(narrow) != self._checksums[block_ids]
        if is_changed.any():
            first = int(block_ids[is_changed][0])
            raise damaged(self.path, f"block {first} of {TOKENS} is not as it was written")
        return narrow

    def text(self, block_id: int) -> str:
        """A block as text, its passages parted by blank lines."""
        return self.vocabulary.text(self._blocks(np.array([block_id]))[0].tolist())

    def tasks(self) -> list[Task]:
        """The evaluation items; none but in the graded world.

        Raises:
            StoreError: they are not as the build wrote them.
        """
        return read_tasks(self.path, self.description)

    def bands(self, num_bands: int, split: str | None = None) -> NDArray[np.unsignedinteger[Any]]:
        """The difficulty band 1..num_bands, by reading age, of the blocks that `column` would give.

        The edges are quantiles of the training split, so that a band means the same everywhere.
        """
        if num_bands not in self._edges:
            self._edges[num_bands] = band_edges(self.column("reading_age", TRAIN), num_bands)
        edges = self._edges[num_bands]
        arrays = arrays_of(self.path / BLOCKS, "reading_age", self._rows(split))
        dtype = np.min_scalar_type(num_bands)
        bands = [band_of(array.to_numpy(), edges).astype(dtype) for array in arrays]
        return np.concatenate([np.empty(0, dtype), *bands])

    def verify(self) -> None:
        """Reads everything and compares it with checksums, fingerprint and ranges of the splits.

        Raises:
            StoreError: something has changed since the build.
        """
        for split in self.description.splits:
            if self.labels("split", split).names not in ((split,), ()):
                raise damaged(self.path, f"not all blocks in the range of {split} are of it")
        self.tasks()
        self._tokenizer_json()
        for start in range(0, self.num_blocks, _BLOCKS_COMPARED_AT_ONCE):
            stop = min(start + _BLOCKS_COMPARED_AT_ONCE, self.num_blocks)
            self._blocks(np.arange(start, stop))
        found = fingerprint_of(self.path, self.description.tokenizer_fingerprint)
        if found != self.fingerprint:
            raise damaged(self.path, f"its content hashes to {found}, not {self.fingerprint}")


def _check_files(path: Path, description: StoreDescription) -> None:
    """Compare the parts of a store, unread, with its description.

    Raises:
        StoreError: naming the part that does not fit.
    """
    num_blocks = description.num_blocks
    for name in (TOKENS, CHECKSUMS, BLOCKS, TOKENIZER):
        if not (path / name).is_file():
            raise damaged(path, f"{name} is missing")
    try:
        table = pq.read_metadata(path / BLOCKS)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, f"{BLOCKS} is no parquet file ({error})") from error
    if footer_checksum(path / BLOCKS) != description.checksums.get(BLOCKS):
        raise damaged(path, f"the footer of {BLOCKS} is not as it was written")
    if table.num_rows != num_blocks:
        raise damaged(path, f"{BLOCKS} has {table.num_rows} rows, not {num_blocks}")
    if sum(last - first for first, last in description.splits.values()) != num_blocks:
        raise damaged(path, f"its splits {description.splits} are not {num_blocks} blocks")
    block_bytes = description.block_tokens * np.dtype(description.dtype).itemsize
    num_checksums = num_blocks + table.num_row_groups * table.num_columns
    for name, num_bytes in ((TOKENS, num_blocks * block_bytes), (CHECKSUMS, 4 * num_checksums)):
        found_bytes = (path / name).stat().st_size
        if found_bytes != num_bytes:
            needed = f"{num_blocks} blocks need {num_bytes}"
            raise damaged(path, f"{name} has {found_bytes} bytes, {needed}")


def fingerprint_of(path: Path, tokenizer_fingerprint: str) -> str:
    """32 hex digits over everything a run can see in a store; spans and reports left out.

    Columns are hashed by value, so the version of the parquet writer does not matter.
    """
    digest = content_hash(tokenizer_fingerprint.encode())
    for name in (TOKENS, TASKS):
        if (path / name).is_file():
            digest.update(bytes.fromhex(hash_file(path / name)))
    table = path / BLOCKS
    rows = range(pq.read_metadata(table).num_rows)
    names = pq.read_schema(table).names
    for name in names:
        if name in TEXTS:
            labels, coded = coded_labels(table, name, rows)
            digest.update(json.dumps(labels).encode())
            for codes in coded:
                digest.update(codes.data)
        elif name in NUMBERS or name not in BLOCK_SCHEMA.names:
            for array in arrays_of(table, name, rows):
                digest.update(array.to_numpy().data)
    return str(digest.hexdigest())
