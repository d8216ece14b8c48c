"""The block store on disk, open for reading.

    tokens.bin       [num_blocks, block_tokens] uint16 or uint32, row-major, memory-mapped
    blocks.parquet   one row a block: split, level, source, bytes, difficulty, spans
    tokenizer.json   what the ids mean
    tasks.jsonl      evaluation items, in the graded world
    store.json       sizes, fingerprints, settings, and the report of the build
    scores/          what models said of the blocks later (`blocks/model_scores.py`)

A block's id is its row, for life, and a split is a range of ids. A column is read when it is asked
for, and not kept: a store may have fifty million blocks. It is written once (`blocks/build.py`),
appears whole by one rename, and is never changed; tables of scores are only put beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from tokenizers import Tokenizer

from gradatim.blocks import model_scores
from gradatim.blocks.columns import Labels, arrays_of, coded_labels, read_labels, read_numbers
from gradatim.blocks.model_scores import ScoreTable
from gradatim.blocks.tokenizer import Vocabulary
from gradatim.difficulty.bands import band_edges, band_of
from gradatim.errors import StoreError

SCHEMA_VERSION = 2  # 1 did not write down the ranges of the splits
TRAIN, HELD_OUT, OUT_OF_DISTRIBUTION = SPLITS = ("train", "held_out", "out_of_distribution")

TOKENS, BLOCKS, TOKENIZER = "tokens.bin", "blocks.parquet", "tokenizer.json"
TASKS, DESCRIPTION = "tasks.jsonl", "store.json"

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


class StoreDescription(BaseModel):
    """The content of `store.json`.

    Attributes:
        splits: of each split the first id and the one after its last.
        fingerprint: of tokens, block table, tokenizer and tasks: of what a run can see.
        corpus_fingerprint: of the content of the corpus files, or of the graded world's settings.
        settings: the `StoreSpec` asked for.
        inputs: the corpus files as they were: name, bytes, time of change, hash.
        report: what the build did: counts, losses of text, seconds a stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    block_tokens: int
    vocab_size: int
    dtype: str
    num_blocks: int
    splits: dict[str, tuple[int, int]]
    separator_id: int
    fingerprint: str
    corpus_fingerprint: str
    tokenizer_fingerprint: str
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    report: dict[str, Any]


class Task(BaseModel):
    """One evaluation item: a prompt, its possible answers, and which of them is right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    level: str
    split: str
    prompt: str
    choices: tuple[str, ...]
    answer_index: int
    num_hops: int
    chance: float


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest type that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True)
class Store:
    """A block store, open.

    Attributes:
        path: its folder.
        description: the content of `store.json`.
        tokens: [num_blocks, block_tokens] the memory map.
    """

    path: Path
    description: StoreDescription
    tokens: np.memmap[Any, np.dtype[Any]]
    _edges: dict[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Opens a store; cheap, nothing is read but `store.json` and the sizes of the files.

        Of a store of version 1 the splits are read as well, to see that they are ranges.

        Raises:
            StoreError: there is no store, or its parts do not fit together.
        """
        path = Path(path)
        description = read_description(path)
        shape = (description.num_blocks, description.block_tokens)
        dtype = np.dtype(description.dtype)
        expected_bytes = shape[0] * shape[1] * dtype.itemsize
        for name in (TOKENS, BLOCKS, TOKENIZER):
            if not (path / name).is_file():
                raise _damaged(path, f"{name} is missing")
        found_bytes = (path / TOKENS).stat().st_size
        if found_bytes != expected_bytes:
            raise _damaged(
                path, f"{TOKENS} has {found_bytes} bytes, {shape[0]} blocks need {expected_bytes}"
            )
        try:
            num_rows = pq.read_metadata(path / BLOCKS).num_rows
        except pa.ArrowException as error:
            raise _damaged(path, f"{BLOCKS} is no parquet file ({error})") from error
        if num_rows != description.num_blocks:
            raise _damaged(path, f"{BLOCKS} has {num_rows} rows, not {description.num_blocks}")
        if sum(last - first for first, last in description.splits.values()) != num_rows:
            raise _damaged(path, f"its splits {description.splits} are not {num_rows} blocks")
        store = cls(path, description, np.memmap(path / TOKENS, dtype, "r", shape=shape))
        if description.schema_version == 1:
            store._check_splits()
        return store

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
    def vocabulary(self) -> Vocabulary:
        try:
            tokenizer = Tokenizer.from_file(str(self.path / TOKENIZER))
        except Exception as error:  # the library raises bare Exception
            raise _damaged(self.path, f"{TOKENIZER} cannot be read ({error})") from error
        return Vocabulary(tokenizer, self.separator_id)

    @property
    def tokenizer(self) -> Tokenizer:
        """Encodes as the build did: no token added, and no text taken for a special token."""
        return self.vocabulary.tokenizer

    @property
    def token_bytes(self) -> NDArray[Any]:
        """[vocab_size] UTF-8 bytes each token stands for; 0 for the separator."""
        return self.vocabulary.num_bytes

    def column(self, name: str, split: str | None = None) -> NDArray[Any]:
        """Numbers of the block table, one a block of the store or, in the order of ids, of a split.

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
        self._check_known(name, NUMBERS)
        dtype = np.dtype(BLOCK_SCHEMA.field(name).type.to_pandas_dtype())
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
        """[B, block_tokens] int64: one fancy-indexed read, then the widening; no other copy."""
        narrow: NDArray[Any] = self.tokens[np.asarray(block_ids)]
        return narrow.astype(np.int64)

    def text(self, block_id: int) -> str:
        """A block as text, its passages parted by blank lines."""
        return self.vocabulary.text(self.tokens[block_id].tolist())

    def tasks(self) -> list[Task]:
        """The evaluation items; none but in the graded world."""
        path = self.path / TASKS
        if not path.is_file():
            return []
        with path.open(encoding="utf-8") as lines:
            return [Task.model_validate_json(line) for line in lines]

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
        """Reads everything and compares it with the fingerprint and the ranges of the splits.

        Raises:
            StoreError: something has changed since the build.
        """
        self._check_splits()
        found = fingerprint_of(self.path, self.vocabulary.fingerprint)
        if found != self.fingerprint:
            raise _damaged(self.path, f"its content hashes to {found}, not {self.fingerprint}")

    def _check_splits(self) -> None:
        for split in self.description.splits:
            if self.labels("split", split).names not in ((split,), ()):
                raise _damaged(self.path, f"not all blocks in the range of {split} are of it")


def read_description(path: Path) -> StoreDescription:
    """Reads `store.json`.

    Raises:
        StoreError: there is none, or it is of another version or damaged.
    """
    file = path / DESCRIPTION
    if not file.is_file():
        is_building = path.with_name(path.name + ".building").exists()
        raise StoreError(
            "this is no block store",
            where=str(path),
            expected=f"a folder with {DESCRIPTION}",
            got="a build that has not finished" if is_building else None,
            remedy="Build it with `gradatim build`",
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content.get("schema_version")
        if version == 1:
            content["splits"] = ranges_of(content["report"]["num_blocks"])
        elif version != SCHEMA_VERSION:
            raise StoreError(
                "the store is of another version",
                where=str(file),
                expected=f"schema_version {SCHEMA_VERSION}",
                got=str(version),
                remedy="Build it anew with this gradatim",
            )
        return StoreDescription.model_validate(content)
    except (ValueError, AttributeError, KeyError, TypeError, ValidationError) as error:
        raise _damaged(path, f"{DESCRIPTION} cannot be read ({error})") from error


def ranges_of(num_blocks: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """First id and the one after the last of each split, in the order in which they are packed."""
    return dict(zip(num_blocks, pairwise(accumulate(num_blocks.values(), initial=0)), strict=True))


def fingerprint_of(path: Path, tokenizer_fingerprint: str) -> str:
    """32 hex digits over everything a run can see in a store; spans and reports left out.

    Columns are hashed by value, so the version of the parquet writer does not matter.
    """
    digest = hashlib.blake2b(tokenizer_fingerprint.encode(), digest_size=16)
    for name in (TOKENS, TASKS):
        if (path / name).is_file():
            with (path / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, _blake2b).digest())
    table = path / BLOCKS
    rows = range(pq.read_metadata(table).num_rows)
    for name in BLOCK_SCHEMA.names:
        if name in TEXTS:
            labels, coded = coded_labels(table, name, rows)
            digest.update(json.dumps(labels).encode())
            for codes in coded:
                digest.update(codes.data)
        elif name in NUMBERS:
            for array in arrays_of(table, name, rows):
                digest.update(array.to_numpy().data)
    return digest.hexdigest()


def _blake2b() -> Any:
    return hashlib.blake2b(digest_size=16)


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"the store is damaged: {what}",
        where=str(path),
        remedy="Delete the folder and build it again",
    )
