"""The order of a run: what a curriculum may know, and whether what happened is what it planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradatim.blocks.store import TRAIN, Store
from gradatim.clock import Clock
from gradatim.record.read import Record
from gradatim.timelines.data.check import consumed, multiset_hash, order_hash, used_fraction
from gradatim.timelines.data.door import BlockTable, Curriculum, OpensGradually

T = TypeVar("T")

DIFFICULTIES = ("reading_age", "flesch_kincaid_grade")
LABELS = ("level", "source")
MAX_LABELS = 50  # of one kind, told one by one

STARTING_POOL = "starting_pool"
"""Beside the bands: the blocks open at the start, of which the ceiling's rule speaks."""


class _Columns(Mapping[str, T]):
    """Columns that are read whenever they are asked for, and not kept."""

    def __init__(self, names: Sequence[str], read: Callable[[str], T]) -> None:
        self._names, self._read = names, read

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def block_table(store: Store, metrics: Sequence[str] = ()) -> BlockTable:
    """The training blocks of a store as the arrays a curriculum may see, read as it asks for them.

    Args:
        store: an open store.
        metrics: columns a data timeline reads; those of scores beside the store, `TABLE/COLUMN`,
            come with the store's own.
    """
    names = (
        *DIFFICULTIES,
        *store.difficulty_columns,
        *(metric for metric in metrics if "/" in metric),
    )
    return BlockTable(
        store.ids(TRAIN),
        _Columns(names, lambda name: store.column(name, TRAIN)),
        _Columns(LABELS, lambda name: store.labels(name, TRAIN)),
    )


def order_report(
    record: Record, replayed: Curriculum, store: Store, clock: Clock
) -> dict[str, Any]:
    """What the `finish` event says of the order.

    Args:
        record: the run, all its steps taken.
        replayed: the run's curriculum before its first draw.
        store: the run's store.
        clock: the run's steps.

    Returns order_hash, multiset_hash, matches_plan, consumed, fed and passes. The plan is compared
    by drawing everything once more, at the same progress and with the losses on record. `fed` has
    the share of each band, level and source in all draws and in those of the last quarter, `passes`
    how often each was read: draws over blocks; under the names that evaluations use for them.
    """
    drawn, losses_nats = record.drawn_blocks(), record.block_losses()
    norms = record.update_norms()
    ramp = replayed.plan.get("ramp")
    num_steps_in_ramp = 0
    matches_plan = len(drawn) == clock.num_draws
    for step in range(clock.steps_of(len(drawn))):
        progress = clock.timeline_progress(step)
        of_step = slice(clock.draws(step), clock.draws(step + 1))
        again = replayed.draw(progress, len(drawn[of_step]))
        norm = float(norms[step]) if len(norms) else None
        replayed.observe(drawn[of_step], losses_nats[of_step], norm)
        matches_plan &= np.array_equal(again, drawn[of_step])
        num_steps_in_ramp += ramp is not None and progress < ramp
    last_quarter = clock.num_steps - max(1, clock.num_steps // 4)
    ids, bands = store.ids(TRAIN), store.bands(record.spec.evaluation.num_bands, TRAIN)

    def shares(part: NDArray[np.uint32]) -> dict[str, float]:
        by_band = consumed(part, ids, bands)
        if ramp and isinstance(replayed, OpensGradually):
            by_band[STARTING_POOL] = used_fraction(part, replayed.starting_ids)
        return by_band

    return {
        "order_hash": order_hash(drawn),
        "multiset_hash": multiset_hash(drawn),
        "matches_plan": matches_plan,
        "consumed": {
            "when_full": shares(drawn[: clock.draws(num_steps_in_ramp)]) if ramp else None,
            "at_end": shares(drawn),
        },
        "fed": {
            "whole": fed(drawn, store, bands),
            "last_quarter": fed(drawn[clock.draws(last_quarter) :], store, bands),
        },
        "passes": passes(drawn, store, bands),
    }


def fed(
    drawn: NDArray[np.uint32], store: Store, bands: NDArray[np.integer[Any]]
) -> dict[str, float]:
    """The share of every band, level and source in these draws, as `band/1`, `level/a`, ...

    Args:
        drawn: block ids.
        store: the run's store.
        bands: the difficulty band of each training block.
    """
    counts = _counts(drawn, store, bands)
    return {name: num_drawn / drawn.size for name, (num_drawn, _) in counts.items() if num_drawn}


def passes(
    drawn: NDArray[np.uint32], store: Store, bands: NDArray[np.integer[Any]]
) -> dict[str, float]:
    """How often every band, level and source was read: draws over its training blocks."""
    counts = _counts(drawn, store, bands)
    return {name: num_drawn / num_blocks for name, (num_drawn, num_blocks) in counts.items()}


def _counts(
    drawn: NDArray[np.uint32], store: Store, bands: NDArray[np.integer[Any]]
) -> dict[str, tuple[int, int]]:
    """Draws and training blocks of every band, level and source that has blocks."""
    rows = np.searchsorted(store.ids(TRAIN), drawn)
    labels = {kind: store.labels(kind, TRAIN) for kind in LABELS}
    codes = {"band": bands} | {kind: label.codes for kind, label in labels.items()}
    found = {}
    for kind, code_of_block in codes.items():
        if kind in labels and len(labels[kind].names) > MAX_LABELS:
            continue
        there = np.bincount(code_of_block)
        counts = np.bincount(code_of_block[rows], minlength=len(there))
        for code in np.flatnonzero(there):
            name = labels[kind].names[code] or "none" if kind in labels else str(code)
            found[f"{kind}/{name}"] = (int(counts[code]), int(there[code]))
    return found
