"""What each curriculum fed when: the share of every level or band in the blocks drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradatim.blocks.columns import Labels
from gradatim.blocks.store import Store
from gradatim.record.read import Record

NUM_INTERVALS = 40


def block_labels(store: Store, num_bands: int, *, by: str | None) -> Labels:
    """A label for each block of the store: what stages mix, else its difficulty band.

    Args:
        store: the study's store.
        num_bands: difficulty bands where no arm has stages.
        by: `level` or `source`, where an arm has stages over them.
    """
    if by is not None:
        labels = store.labels(by)
        return Labels(tuple(f"{by} {label or 'none'}" for label in labels.names), labels.codes)
    bands = store.bands(num_bands)
    return Labels(tuple(f"band {band}" for band in range(num_bands + 1)), bands)


def feeding(records: Sequence[Record], store: Store) -> list[dict[str, Any]]:
    """Shares of each label over the course of training.

    One run stands for its arm and rung, the one with the lowest seed: the plan is the same for all.
    Runs of the baseline on another budget are left out.

    Returns:
        Rows of arm, rung, progress (middle of one of `NUM_INTERVALS` intervals), label, share.
    """
    first: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.spec.seed):
        operation = record.spec.operation
        if operation.budget_multiple == 1 and not operation.is_tuned:
            first.setdefault((record.spec.arm, record.spec.rung), record)
    groupings = [by for record in records for by in record.spec.recipe.data.groupings]
    by = groupings[0] if groupings else None
    rows = []
    for (arm, rung), record in first.items():
        names, codes = block_labels(store, record.spec.evaluation.num_bands, by=by)
        in_order = sorted(np.unique(codes).tolist(), key=names.__getitem__)
        drawn, clock = record.drawn_blocks(), record.spec.clock()
        num_intervals = min(NUM_INTERVALS, clock.num_steps)
        edges = np.linspace(0, clock.num_steps, num_intervals + 1).astype(int)
        for start, stop in pairwise(edges.tolist()):
            of_interval = slice(clock.draws(start), clock.draws(stop))
            counts = np.bincount(codes[drawn[of_interval]], minlength=len(names))
            middle = (clock.timeline_progress(start) + clock.timeline_progress(stop)) / 2
            shares = counts / counts.sum()
            place = {"arm": arm, "rung": rung, "progress": middle}
            rows += [place | {"label": names[c], "share": float(shares[c])} for c in in_order]
    return rows
