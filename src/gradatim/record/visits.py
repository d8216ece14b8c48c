"""What became of every block, by the losses of its visits.

Prakriya et al. 2024 (arXiv 2409.06131) profile a run of several epochs so: a block is `learned`
when its loss falls from visit to visit, `unlearned` when it never falls, `forgotten` when it falls
and then rises, and may be forgotten several times. To these are added `late`, which rises and then
falls, and blocks visited `once` or `unread`.

A loss at a visit also moves because the network as a whole does. The loss of text that is never
trained on, at the same moment, is that drift, and can be taken off first; and such text is
classified beside, as if it had been visited as often: what it shows of forgetting is no forgetting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.record.read import Record

KINDS = ("learned", "forgotten", "late", "unlearned", "once", "unread")
LEARNED, FORGOTTEN, LATE, UNLEARNED, ONCE, UNREAD = range(len(KINDS))


@dataclass(frozen=True)
class Visits:
    """Visits of blocks, sorted by block and then by time.

    Attributes:
        num_blocks: how many blocks there are, visited or not.
        rows: [num_visits] the block, as its row.
        times: [num_visits] share of the run's draws before it.
        losses_nats: [num_visits] its mean loss.
    """

    num_blocks: int
    rows: NDArray[np.intp]
    times: NDArray[np.float64]
    losses_nats: NDArray[np.float64]

    @classmethod
    def of(
        cls, drawn: NDArray[np.uint32], losses_nats: NDArray[np.float32], ids: NDArray[np.uint32]
    ) -> Visits:
        """Of a run.

        Args:
            drawn: ids in the order drawn, any shape.
            losses_nats: of each, the same shape.
            ids: of all blocks, rising.
        """
        rows = np.searchsorted(ids, drawn.ravel())
        order = np.argsort(rows, kind="stable")
        losses = losses_nats.ravel()[order].astype(np.float64)
        return cls(len(ids), rows[order], order / max(1, len(order)), losses)

    def less(self, drift: Drift) -> Visits:
        """The same with the loss of held-out text at that moment taken off."""
        return Visits(
            self.num_blocks, self.rows, self.times, self.losses_nats - drift.mean_at(self.times)
        )

    def until(self, time: float) -> Visits:
        """Those before a time."""
        kept = self.times < time
        return Visits(self.num_blocks, self.rows[kept], self.times[kept], self.losses_nats[kept])

    def kinds(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """What became of each block, as a place in `KINDS`, and how often it was forgotten.

        It is forgotten once for every rise that follows a fall; visits of equal loss are neither.
        """
        num_visits = np.bincount(self.rows, minlength=self.num_blocks)
        change = np.sign(np.diff(self.losses_nats))
        moved = np.flatnonzero((np.diff(self.rows) == 0) & (change != 0))
        row, rises = self.rows[1:][moved], change[moved] > 0
        again = np.flatnonzero((np.diff(row) == 0) & rises[1:] & ~rises[:-1])
        num_forgotten = np.bincount(row[1:][again], minlength=self.num_blocks)
        num_falls, num_rises = (
            np.bincount(row[which], minlength=self.num_blocks) for which in (~rises, rises)
        )
        kinds = np.full(self.num_blocks, UNLEARNED, np.uint8)
        kinds[(num_falls > 0) & (num_rises == 0)] = LEARNED
        kinds[(num_falls > 0) & (num_rises > 0)] = LATE
        kinds[num_forgotten > 0] = FORGOTTEN
        kinds[num_visits == 1] = ONCE
        kinds[num_visits == 0] = UNREAD
        return kinds, num_forgotten

    def typical_times(self) -> NDArray[np.float64]:
        """When the blocks that were visited had their first, second, ... visit: the medians.

        There are as many as a block has visits in the middle.
        """
        starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        sizes = np.diff([*starts, len(self.rows)])
        if len(sizes) == 0:
            return np.empty(0)
        number = np.arange(len(self.rows)) - np.repeat(starts, sizes)
        typical = round(float(np.median(sizes)))
        return np.array([np.median(self.times[number == k]) for k in range(typical)])


@dataclass(frozen=True)
class Drift:
    """The losses of held-out blocks over a run.

    Attributes:
        times: [num_points] share of the run's draws.
        losses_nats: [num_points, num_blocks] mean loss a predicted token.
    """

    times: NDArray[np.float64]
    losses_nats: NDArray[np.float64]

    @classmethod
    def of(cls, record: Record) -> Drift | None:
        """Of a run's evaluations after its first step; None where they did not keep blocks."""
        events: Sequence[dict[str, Any]] = [
            event
            for event in record.events("evaluate")
            if event["step"] and None not in event.get("held_out_losses", [None])
        ]
        if len(events) < 2 or not events[-1]["tokens"]:
            return None
        times = np.array([event["tokens"] / events[-1]["tokens"] for event in events])
        return cls(times, np.array([event["held_out_losses"] for event in events]))

    def mean_at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Their mean loss, between evaluations on a straight line."""
        means: NDArray[np.float64] = self.losses_nats.mean(axis=1)
        return np.asarray(np.interp(times, self.times, means))

    def as_visits(self, times: NDArray[np.float64]) -> Visits:
        """These blocks as if visited at the evaluations nearest to those times."""
        nearest = np.unique(np.abs(self.times - times[:, None]).argmin(axis=1))
        num_blocks = self.losses_nats.shape[1]
        return Visits(
            num_blocks,
            np.repeat(np.arange(num_blocks), len(nearest)),
            np.tile(self.times[nearest], num_blocks),
            self.losses_nats[nearest].T.ravel(),
        )
