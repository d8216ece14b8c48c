"""Scoring the blocks of a store with one model or two, and writing the table beside it.

Blocks are read from the memory map a batch at a time. Every chunk of results is a file that appears
by a rename, in a folder that one process holds; killed and called again, scoring goes on behind the
last whole chunk. Batches are cut at the same places whatever happened, so the table is the same
bytes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradatim import files
from gradatim.blocks.journal import Journal, building_lock, sweep
from gradatim.blocks.score_tables import (
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
    null_reasons,
    score_blocks,
)
from gradatim.errors import MismatchError, SpecError, StoreError

Comparison = Literal["learnability", "excess_loss"]

CHUNK_BATCHES = 32
"""Batches whose results are kept together: what a kill can cost."""


@dataclass(frozen=True)
class ScoringProgress:
    """How far scoring is.

    Attributes:
        num_done, num_blocks: blocks scored, earlier processes' included, and in all.
        blocks_per_second: of this process; 0 before its first batch.
        remaining_seconds: at this rate; None before the first batch.
    """

    num_done: int
    num_blocks: int
    blocks_per_second: float
    remaining_seconds: float | None


OnProgress = Callable[[ScoringProgress], None]


@dataclass(frozen=True, kw_only=True)
class BlockScoring:
    """What is to be scored, and how.

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
    scoring: BlockScoring,
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
        scoring: what is asked for.
        model: gives the loss columns and `salt_ds`.
        second: gives one more column, the first model's mean loss minus this one's.
        comparison: what that column is: `learnability` (early, late) or `excess_loss`.
        reference_flops: what training the models cost.
        replace: overwrite a table of the same name that was made otherwise.
        on_progress: called after every batch.

    Raises:
        MismatchError: a table of that name was made otherwise.
        StoreError: another process is making it, or the store has no block in the splits.
    """
    models = (model, second) if second else (model,)
    block_ids = np.sort(np.concatenate([store.ids(split) for split in set(scoring.splits)]))
    if len(block_ids) == 0:
        raise StoreError(f"no block in {', '.join(scoring.splits)} to score", where=str(store.path))
    described = _described(scoring.settings, comparison if second else None)
    wanted = _wanted(store, scoring, models, described, len(block_ids), reference_flops)
    path = store.path / SCORES_FOLDER / scoring.name
    if _is_there(store.path, wanted, replace=replace):
        sweep(path)
        return read_table(store.path, scoring.name)
    with building_lock(path, "making these scores") as folder:
        Journal(folder, wanted.model_dump(mode="json"))  # removes another call's chunks
        work = _Scoring(store, scoring, models, comparison, folder, block_ids)
        columns = work.run(on_progress)
        table = write_table(
            store.path,
            wanted.model_copy(
                update={"num_null": {n: int(c.is_null.sum()) for n, c in columns.items()}}
            ),
            block_ids=block_ids,
            columns={name: column.values for name, column in columns.items()},
            is_null={name: column.is_null for name, column in columns.items()},
            reasons=null_reasons(columns),
        )
        files.remove(folder)
    return table


def _wanted(
    store: Store,
    scoring: BlockScoring,
    models: Sequence[Model],
    columns: dict[str, ScoreColumn],
    num_blocks: int,
    reference_flops: float,
) -> ScoreTable:
    """The table that is asked for, its values not yet known."""
    sources = tuple(each.source for each in models)
    return ScoreTable(
        name=scoring.name,
        store_fingerprint=store.fingerprint,
        splits=scoring.splits,
        num_blocks=num_blocks,
        num_null={},
        columns=columns,
        settings={
            "top_k": scoring.settings.top_k,
            "mask": scoring.settings.mask,
            "batch_blocks": scoring.batch_blocks,
        },
        sources=sources,
        scoring_flops=sum(source.scoring_flops for source in sources),
        reference_flops=reference_flops,
    )


class _Scoring:
    """The work of one call, chunk by chunk."""

    def __init__(
        self,
        store: Store,
        scoring: BlockScoring,
        models: Sequence[Model],
        comparison: Comparison,
        folder: Path,
        block_ids: NDArray[np.uint32],
    ) -> None:
        self._store, self._scoring, self._models = store, scoring, models
        self._comparison, self._folder, self._block_ids = comparison, folder, block_ids
        self._names = [*scoring.settings.column_names, *([comparison] if len(models) > 1 else [])]
        self._began, self._num_before, self._num_done = time.perf_counter(), 0, 0

    def run(self, on_progress: OnProgress | None) -> dict[str, BlockScores]:
        """Every column over all blocks."""
        chunk_blocks = CHUNK_BATCHES * self._scoring.batch_blocks
        parts = []
        for number, start in enumerate(range(0, len(self._block_ids), chunk_blocks)):
            path = self._folder / f"chunk-{number:06d}.npy"
            ids = self._block_ids[start : start + chunk_blocks]
            if path.exists():
                self._num_before += len(ids)
                self._num_done += len(ids)
            else:
                _write_whole(path, self._chunk(ids, on_progress))
            parts.append(np.load(path, allow_pickle=False))
        values, reasons = np.concatenate(parts, axis=2)
        return {
            name: BlockScores(values[row], reasons[row].astype(np.uint8))
            for row, name in enumerate(self._names)
        }

    def _chunk(
        self, block_ids: NDArray[np.uint32], on_progress: OnProgress | None
    ) -> NDArray[np.float64]:
        """[2, columns, blocks]: values, and the codes of why there is none."""
        parts = []
        for start in range(0, len(block_ids), self._scoring.batch_blocks):
            ids = block_ids[start : start + self._scoring.batch_blocks]
            columns = self._batch(ids)
            parts.append(
                np.array(
                    [
                        [columns[name].values for name in self._names],
                        [columns[name].reasons for name in self._names],
                    ]
                )
            )
            self._num_done += len(ids)
            if on_progress is not None:
                on_progress(self._progress())
        return np.concatenate(parts, axis=2)

    def _batch(self, block_ids: NDArray[np.uint32]) -> dict[str, BlockScores]:
        tokens_BT = self._store.read(block_ids)
        first, *others = self._models
        columns = score_blocks(first.scorer.token_losses(tokens_BT), self._scoring.settings)
        for other in others:
            theirs = loss_columns(other.scorer.token_losses(tokens_BT))["loss_mean"]
            differs = learnability if self._comparison == LEARNABILITY else excess_loss
            columns[self._comparison] = differs(columns["loss_mean"], theirs)
        return columns

    def _progress(self) -> ScoringProgress:
        seconds = max(time.perf_counter() - self._began, 1e-9)
        rate = (self._num_done - self._num_before) / seconds
        num_left = len(self._block_ids) - self._num_done
        left_seconds = num_left / rate if rate > 0 else None
        return ScoringProgress(self._num_done, len(self._block_ids), rate, left_seconds)


def _described(settings: ModelScores, comparison: Comparison | None) -> dict[str, ScoreColumn]:
    """What the columns mean, in order."""
    loss = "of the losses of a block's predicted tokens"
    described = dict(
        zip(
            LOSS_COLUMNS,
            (f"mean {loss}", *(f"{p} {loss}" for p in ("median", "10th", "90th percentile"))),
            strict=True,
        )
    )
    higher = dict.fromkeys(LOSS_COLUMNS, "harder")
    if settings.top_k is not None:
        described[SALT_DS] = (
            f"median over tokens of the loss, tokens outside the model's top {settings.top_k} "
            f"{settings.mask}"
        )
        higher[SALT_DS] = "more challenging yet learnable"
    if comparison == LEARNABILITY:
        described[LEARNABILITY] = "mean loss under the early checkpoint minus the late one's"
        higher[LEARNABILITY] = "more learned by the model"
    elif comparison == EXCESS_LOSS:
        described[EXCESS_LOSS] = "mean loss under the current model minus the reference's"
        higher[EXCESS_LOSS] = "more still to be learned"
    return {
        name: ScoreColumn(unit="nats", higher_is=higher[name], describes=text)
        for name, text in described.items()
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


def _write_whole(path: Path, values: NDArray[np.float64]) -> None:
    """Write an array whole."""
    content = io.BytesIO()
    np.save(content, values)
    files.write_whole(path, content.getvalue())
