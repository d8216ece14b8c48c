"""What one model or two say of the blocks of a store, and the table of it beside the store.

Blocks are read from the memory map a batch at a time, and what comes of them is appended to one
file, in a folder that one process holds; killed and called again, scoring goes on behind the last
whole chunk. Batches are cut at the same places whatever happened, so the table is the same bytes.
Of a store of any size only the block ids are held in memory.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradatim import files
from gradatim.blocks.journal import Journal, building_lock, sweep
from gradatim.blocks.model_scores import (
    SCORES_FOLDER,
    ScoreColumn,
    ScoreSource,
    ScoreTable,
    check_name,
    read_table,
    table_names,
    write_table,
)
from gradatim.blocks.store import SPLITS, TRAIN, Store
from gradatim.difficulty.model_scores import (
    EXCESS_LOSS,
    LEARNABILITY,
    LOSS_COLUMNS,
    SALT_DS,
    BlockScores,
    ModelScores,
    TokenScorer,
    excess_loss,
    learnability,
    loss_columns,
    score_columns,
)
from gradatim.errors import MismatchError, SpecError, StoreError

Comparison = Literal["learnability", "excess_loss"]

CHUNK_BATCHES = 32
"""Batches whose results are kept together: what a kill can cost."""
GROUP_BLOCKS = 1 << 20
"""About how many blocks the table is written by."""
_CHECK_BYTES = 4
_ROWS = "rows.bin"


_COMPARED: dict[Comparison, tuple[str, str]] = {
    LEARNABILITY: (
        "more learned by the model",
        "mean loss under the early checkpoint minus the late one's",
    ),
    EXCESS_LOSS: (
        "more still to be learned",
        "mean loss under the current model minus the reference's",
    ),
}
"""What a higher difference is, and what it measures."""

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class ModelScoresSpec:
    """Which blocks are to be scored, and how.

    Args:
        name: of the table; a column is called `name/column` elsewhere.
        settings: which columns.
        splits: whose blocks; those of other splits get no score, and cost nothing.
        batch_blocks: blocks in one forward pass. It decides the last bits of the values.
    """

    name: str
    settings: ModelScores = field(default_factory=ModelScores)
    splits: tuple[str, ...] = (TRAIN,)
    batch_blocks: int = 16

    def __post_init__(self) -> None:
        check_name(self.name)
        # Each split once: what is scored is charged for.
        object.__setattr__(self, "splits", tuple(dict.fromkeys(self.splits)))
        for split in self.splits:
            if split not in SPLITS:
                raise SpecError(
                    "no such split", where="splits", expected=", ".join(SPLITS), got=split
                )
        if self.batch_blocks < 1 or not self.splits:
            raise SpecError("nothing would be scored", where="batch_blocks, splits")


@dataclass(frozen=True)
class Model:
    """A model that scores, and where it comes from."""

    scorer: TokenScorer
    source: ScoreSource


def score_store(
    store: Store,
    spec: ModelScoresSpec,
    model: Model,
    second: Model | None = None,
    *,
    comparison: Comparison = EXCESS_LOSS,
    reference_flops: float,
    replace: bool = False,
    on_progress: OnProgress | None = None,
) -> ScoreTable:
    """Score the blocks of a store, or go on with it; a finished table is returned at once.

    Args:
        store: its `scores` folder is written to.
        spec: what is asked for.
        model: gives the loss columns and `salt_ds`.
        second: gives one more column, the first model's mean loss minus this one's.
        comparison: what that column is: `learnability` (early, late) or `excess_loss`.
        reference_flops: what training the models cost.
        replace: overwrite a table of the same name that was made otherwise.
        on_progress: called after every batch with "scoring", blocks done and blocks in all.

    Raises:
        MismatchError: a table of that name was made otherwise.
        StoreError: another process is making it, or the store has no block in the splits.
    """
    models = (model, second) if second else (model,)
    block_ids = np.sort(np.concatenate([store.ids(split) for split in set(spec.splits)]))
    if len(block_ids) == 0:
        raise StoreError(f"no block in {', '.join(spec.splits)} to score", where=str(store.path))
    described = _described(spec.settings, comparison if second else None)
    wanted = _wanted(store, spec, models, described, len(block_ids), reference_flops)
    path = store.path / SCORES_FOLDER / spec.name
    if _is_there(store.path, wanted, replace=replace):
        sweep(path)
        return read_table(store.path, spec.name)
    with building_lock(path, "making these scores") as folder:
        Journal(folder, wanted.model_dump(mode="json"))  # removes what another call left
        chunk_blocks = CHUNK_BATCHES * spec.batch_blocks
        rows = _Rows(folder / _ROWS, list(described), block_ids, chunk_blocks)
        work = _Work(store, spec, models, comparison)
        work.fill(rows, len(block_ids), on_progress)
        table = write_table(store.path, wanted, rows.groups())
        files.remove(folder)
    return table


def _wanted(
    store: Store,
    spec: ModelScoresSpec,
    models: Sequence[Model],
    columns: dict[str, ScoreColumn],
    num_blocks: int,
    reference_flops: float,
) -> ScoreTable:
    """The table that is asked for, its values not yet known."""
    sources = tuple(each.source for each in models)
    return ScoreTable(
        name=spec.name,
        store_fingerprint=store.fingerprint,
        splits=spec.splits,
        num_blocks=num_blocks,
        num_null={},
        columns=columns,
        settings={
            "top_k": spec.settings.top_k,
            "mask": spec.settings.mask,
            "batch_blocks": spec.batch_blocks,
        },
        sources=sources,
        scoring_flops=sum(source.scoring_flops for source in sources),
        reference_flops=reference_flops,
    )


class _Rows:
    """What was scored so far: one file of rows of a fixed width, which only grows.

    Rows come in chunks, each with its checksum behind it, so that what a kill or a loss of power
    cut short is told from what is whole. A chunk begins at the same block whatever happened.

    Args:
        path: of the file.
        names: of the columns.
        block_ids: of all rows, ascending.
        chunk_blocks: rows in a chunk; the last may have fewer.
    """

    def __init__(
        self, path: Path, names: Sequence[str], block_ids: NDArray[np.uint32], chunk_blocks: int
    ) -> None:
        self._path, self._names = path, names
        shape = (len(names),)
        self.dtype = np.dtype([("values", "<f4", shape), ("reasons", "u1", shape)])
        self._ids = np.split(block_ids, range(chunk_blocks, len(block_ids), chunk_blocks))
        self._chunks_a_group = max(1, GROUP_BLOCKS // chunk_blocks)

    def missing(self) -> list[NDArray[np.uint32]]:
        """Block ids of each chunk still to be made; what lies behind the last whole one goes."""
        self._path.touch()
        whole_bytes = [rows.nbytes + _CHECK_BYTES for rows in self._whole()]
        os.truncate(self._path, sum(whole_bytes))
        return self._ids[len(whole_bytes) :]

    def append(self, rows: NDArray[Any]) -> None:
        """Put the first missing chunk on disk."""
        data = rows.tobytes()
        with self._path.open("ab") as file:
            file.write(data + _check(data))
            file.flush()
            os.fsync(file.fileno())

    def groups(self) -> Iterator[tuple[NDArray[np.uint32], dict[str, BlockScores]]]:
        """Ids and columns of all blocks, about a million at a time."""
        chunks = zip(self._ids, self._whole(), strict=True)
        while group := list(islice(chunks, self._chunks_a_group)):
            ids, rows = (np.concatenate(parts) for parts in zip(*group, strict=True))
            values, reasons = rows["values"].astype(np.float64), rows["reasons"]
            yield (
                ids,
                {
                    name: BlockScores(values[:, at], reasons[:, at])
                    for at, name in enumerate(self._names)
                },
            )

    def _whole(self) -> Iterator[NDArray[Any]]:
        """The chunks up to the first that is not whole."""
        with self._path.open("rb") as file:
            for ids in self._ids:
                data, check = file.read(len(ids) * self.dtype.itemsize), file.read(_CHECK_BYTES)
                if check != _check(data):
                    return
                yield np.frombuffer(data, self.dtype)


def _check(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECK_BYTES, "little")


@dataclass(frozen=True)
class _Work:
    """The work of one call."""

    store: Store
    spec: ModelScoresSpec
    models: Sequence[Model]
    comparison: Comparison

    def fill(self, rows: _Rows, num_blocks: int, on_progress: OnProgress | None) -> None:
        """Make every chunk that is missing."""
        missing = rows.missing()
        num_done = num_blocks - sum(len(ids) for ids in missing)
        for chunk_ids in missing:
            chunk = np.empty(len(chunk_ids), rows.dtype)
            for start in range(0, len(chunk_ids), self.spec.batch_blocks):
                here = slice(start, start + self.spec.batch_blocks)
                for at, scores in enumerate(self._batch(chunk_ids[here])):
                    chunk["values"][here, at] = scores.values
                    chunk["reasons"][here, at] = scores.reasons
                num_done += len(chunk_ids[here])
                if on_progress is not None:
                    on_progress("scoring", num_done, num_blocks)
            rows.append(chunk)

    def _batch(self, block_ids: NDArray[np.uint32]) -> Iterator[BlockScores]:
        """The columns of some blocks, in the order of the table."""
        tokens_BT = self.store.read(block_ids)
        first, *others = self.models
        columns = score_columns(first.scorer.token_losses(tokens_BT), self.spec.settings)
        yield from columns.values()
        for other in others:
            theirs = loss_columns(other.scorer.token_losses(tokens_BT))["loss_mean"]
            differs = learnability if self.comparison == LEARNABILITY else excess_loss
            yield differs(columns["loss_mean"], theirs)


def _described(settings: ModelScores, comparison: Comparison | None) -> dict[str, ScoreColumn]:
    """What the columns mean, in order."""
    losses = "of the losses of a block's predicted tokens"
    parts = ("mean", "median", "10th", "90th percentile")
    described = {
        name: ("harder", f"{part} {losses}") for name, part in zip(LOSS_COLUMNS, parts, strict=True)
    }
    if settings.top_k is not None:
        described[SALT_DS] = (
            "more challenging yet learnable",
            f"median over tokens of the loss, tokens outside the model's top {settings.top_k} "
            f"{settings.mask}",
        )
    if comparison is not None:
        described[comparison] = _COMPARED[comparison]
    return {
        name: ScoreColumn(unit="nats", higher_is=higher, describes=text)
        for name, (higher, text) in described.items()
    }


def _is_there(store_path: Path, wanted: ScoreTable, *, replace: bool) -> bool:
    """Whether the table asked for is there; false where the way is free to make it.

    Raises:
        MismatchError: a table of that name was made otherwise.
    """
    if wanted.name not in table_names(store_path):
        return False
    left_out = {"fingerprint", "num_null"}
    there = read_table(store_path, wanted.name)
    was, now = (table.model_dump(mode="json", exclude=left_out) for table in (there, wanted))
    differing = [name for name in now if was[name] != now[name]]
    if not differing or replace:
        return not differing
    raise MismatchError(
        f"other scores lie there, made with other {', '.join(differing)}",
        where=str(store_path / SCORES_FOLDER / f"{wanted.name}.json"),
        got="; ".join(f"{name} was {_shown(was[name])}" for name in differing),
        remedy="Give another name, or replace them",
    )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
