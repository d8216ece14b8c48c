"""Which texts were in a step, how hard they are, and what each one cost the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradatim.blocks.store import Store
from gradatim.errors import RecordError
from gradatim.record.lines import REMEDY
from gradatim.record.read import Record
from gradatim.record.write import BLOCKS, check_beginnings
from gradatim.train.checkpoint import read_checkpoint


def explain(run_folder: Path | str, step: int, *, store: Store) -> list[dict[str, Any]]:
    """The blocks of one step, highest loss first.

    Args:
        run_folder: a run, finished or not.
        step: from 1 to the steps taken, as in the record's `step` events.
        store: the one the run's specification names, open.

    Returns rows of block_id, text, reading_age (years), the corpus's own difficulty columns,
    level, source, loss_nats (mean over the block at that visit).

    Raises:
        RecordError: the run has no such step, or what it read or wrote is damaged. What a run that
            is not finished wrote after its last checkpoint carries no checksum yet.
    """
    record = Record.read(run_folder)
    if not record.is_finished and (checkpoint := read_checkpoint(record.folder)):
        check_beginnings(record.folder, checkpoint.offsets, checkpoint.hashes)
    blocks, losses = record.drawn_blocks(), record.block_losses()
    clock = record.spec.clock()
    num_steps = clock.steps_of(min(len(blocks), len(losses)))
    if not 1 <= step <= num_steps:
        raise RecordError(
            "the record has no such step",
            where=str(run_folder),
            expected=f"a step from 1 to {num_steps}" if num_steps else "a run that took a step",
            got=str(step),
        )
    of_step = slice(clock.draws(step - 1), clock.draws(step))
    if (largest := int(blocks[of_step].max())) >= store.num_blocks:
        raise RecordError(
            "is damaged: it names a block that the store does not have",
            where=str(record.folder / BLOCKS),
            expected=f"ids below {store.num_blocks}",
            got=str(largest),
            remedy=REMEDY,
        )
    difficulties = {name: store.column(name) for name in ("reading_age", *store.difficulty_columns)}
    level, source = store.labels("level"), store.labels("source")
    rows = [
        {
            "block_id": block_id,
            "text": store.text(block_id),
            **{
                name: float(values[block_id]) if np.isfinite(values[block_id]) else None
                for name, values in difficulties.items()
            },
            "level": level.names[level.codes[block_id]] or None,
            "source": source.names[source.codes[block_id]],
            "loss_nats": loss_nats,
        }
        for block_id, loss_nats in zip(
            blocks[of_step].tolist(), losses[of_step].tolist(), strict=True
        )
    ]
    return sorted(rows, key=lambda row: -row["loss_nats"])
