"""What runs that read their text more than twice learned and forgot, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.blocks.store import TRAIN, Store
from gradatim.record.read import Record
from gradatim.record.visits import FORGOTTEN, KINDS, Drift, Visits

NUM_TIMES = 20
MAX_DRAWS = 20_000_000
MAX_SOURCES = 12

Rows = list[dict[str, Any]]


def visiting(records: Sequence[Record], store: Store) -> dict[str, Rows]:
    """What became of the blocks that every arm reads, at every rung.

    One run stands for its arm and rung, the one with the lowest seed. Runs that drew each of their
    blocks at most twice in the mean are left out, as are runs on another budget or under their own
    best rate, and where no run is left there are no rows.

    Returns:
        visits: arm, rung, progress (share of the draws), label (of `KINDS`), share of the blocks;
        visit_kinds: at the end, of which text: arm, rung, of (`training` or `held out`),
        is_less_drift, share of every kind, share_forgotten_again (of those forgotten);
        visit_labels: at the end: arm, rung, label (`band 1`, `source x`), share of every kind.
    """
    first: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: record.spec.seed):
        operation = record.spec.operation
        if operation.budget_multiple == 1 and not operation.is_tuned:
            first.setdefault((record.spec.arm, record.spec.rung), record)
    found: dict[str, Rows] = {"visits": [], "visit_kinds": [], "visit_labels": []}
    for (arm, rung), record in first.items():
        drawn = record.drawn_blocks()
        ids = np.unique(drawn)  # a run may go over a part of the blocks
        if drawn.size > MAX_DRAWS or drawn.size <= 2 * len(ids):
            continue
        visits = Visits.of(drawn, record.block_losses(), ids)
        place = {"arm": arm, "rung": rung}
        found["visits"] += [place | row for row in _over_time(visits)]
        found["visit_kinds"] += [place | row for row in _at_the_end(visits, Drift.of(record))]
        found["visit_labels"] += [place | row for row in _by_label(visits, ids, record, store)]
    return found


def _over_time(visits: Visits) -> Iterator[dict[str, Any]]:
    for time in np.linspace(0, 1, NUM_TIMES + 1)[1:].tolist():
        kinds, _ = visits.until(time).kinds()
        shares = np.bincount(kinds, minlength=len(KINDS)) / visits.num_blocks
        for label, share in zip(KINDS, shares.tolist(), strict=True):
            yield {"progress": time, "label": label, "share": share}


def _at_the_end(visits: Visits, drift: Drift | None) -> Iterator[dict[str, Any]]:
    texts = [("training", False, visits)]
    if drift is not None:
        held_out = drift.as_visits(visits.typical_times())
        texts += [
            ("held out", False, held_out),
            ("training", True, visits.less(drift)),
            ("held out", True, held_out.less(drift)),
        ]
    for of, is_less_drift, found in texts:
        kinds, num_forgotten = found.kinds()
        shares = np.bincount(kinds, minlength=len(KINDS)) / found.num_blocks
        again = num_forgotten[kinds == FORGOTTEN] > 1
        yield {
            "of": of,
            "is_less_drift": is_less_drift,
            **dict(zip(KINDS, shares.tolist(), strict=True)),
            "share_forgotten_again": float(again.mean()) if len(again) else None,
        }


def _by_label(
    visits: Visits, ids: NDArray[np.uint32], record: Record, store: Store
) -> Iterator[dict[str, Any]]:
    kinds, _ = visits.kinds()
    rows = np.searchsorted(store.ids(TRAIN), ids)
    bands = store.bands(record.spec.evaluation.num_bands, TRAIN)[rows]
    groups = [(f"band {band}", bands == band) for band in np.unique(bands).tolist()]
    sources = store.labels("source", TRAIN)
    code_of_block = sources.codes[rows]
    codes = np.unique(code_of_block).tolist()
    if 1 < len(codes) <= MAX_SOURCES:
        names = {code: f"source {sources.names[code] or 'none'}" for code in codes}
        groups += [(names[code], code_of_block == code) for code in codes]
    for label, is_in in groups:
        shares = np.bincount(kinds[is_in], minlength=len(KINDS)) / np.count_nonzero(is_in)
        yield {"label": label, **dict(zip(KINDS, shares.tolist(), strict=True))}
