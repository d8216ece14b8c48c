"""Two passes over the rows: who is there, then how their values lie; nothing grows with the rows.

What is kept are counts by source, level, reason, bin and band, and for every band and tail the few
rows that will be shown. Which rows are shown, and which the agreement is measured on, depends on a
hash of their place in the corpus alone, so that the same scores give the same page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradatim.report.scores_bands import Bands
from gradatim.report.scores_folder import Batch, Metric, ScoresFolder

MAX_GROUPS = 12
NUM_BINS = 480  # fine, for medians; drawn ten to a step
OTHER = "other"
_UNKNOWN_REASON = "no reason given"
_TAIL_SEED = 1
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True)
class Census:
    """Pass one: rows and bytes of every source and level, and what is not prose, with reasons."""

    sources: Mapping[str, tuple[int, int]]
    levels: Mapping[str, tuple[int, int]]
    reasons: Mapping[str, int]

    @property
    def num_not_prose(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True)
class Histogram:
    """Counts of a metric's values in equal bins of [low, high]; one row a group.

    `below` and `above` count what lies outside, by group. Shapes: counts (groups, NUM_BINS).
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]

    def num_values(self, group: int) -> int:
        return int(self.counts[group].sum() + self.below[group] + self.above[group])

    def median(self, group: int) -> float | None:
        """To within a bin; an end of the range when it lies outside."""
        half = self.num_values(group) / 2
        if half == 0:
            return None
        cumulated = np.concatenate([[0], np.cumsum(self.counts[group])]) + self.below[group]
        if cumulated[0] >= half:
            return self.low
        if cumulated[-1] < half:
            return self.high
        place = int(np.searchsorted(cumulated, half))
        within = (half - cumulated[place - 1]) / (cumulated[place] - cumulated[place - 1])
        return self.low + (self.high - self.low) * (place - 1 + float(within)) / NUM_BINS


@dataclass(frozen=True)
class Groups:
    """The named groups of a column, largest first, and those joined as the last one."""

    kind: str
    names: Sequence[str]
    num_joined: int = 0

    @classmethod
    def of(cls, kind: str, sizes: Mapping[str, tuple[int, int]]) -> Groups:
        ranked = sorted(sizes, key=lambda name: (-sizes[name][0], name))
        if len(ranked) <= MAX_GROUPS + 1:  # joining one alone would name nothing
            return cls(kind, ranked)
        return cls(kind, ranked[:MAX_GROUPS], len(ranked) - MAX_GROUPS)

    @property
    def labels(self) -> list[str]:
        joined = [f"{self.num_joined} {OTHER}s"] if self.num_joined else []
        return [*self.names, *joined]

    def codes(self, column: pl.Series) -> NDArray[np.int64]:
        """The group of each row; len(labels) where the row is of none."""
        places = {name: place for place, name in enumerate(self.names)}
        missing = len(self.labels)
        unknown = len(self.names) if self.num_joined else missing
        if not places:
            return np.full(len(column), missing)
        found = column.replace_strict(places, default=unknown, return_dtype=pl.Int64)
        return np.where(column.is_null().to_numpy(), missing, found.to_numpy())


@dataclass(frozen=True)
class Tail:
    """Rows of the easiest or hardest hundredth: how many, and why some are not prose."""

    num_rows: int
    reasons: Mapping[str, int]

    @property
    def share_not_prose(self) -> float:
        return sum(self.reasons.values()) / self.num_rows if self.num_rows else 0.0


@dataclass(frozen=True)
class Counts:
    """Pass two.

    Attributes:
        histograms: by metric name; groups are those of `groups` one after the other, then all.
        groups: sources, and levels if there are any.
        band_rows: rows of each band, from band 1; shape (bands,).
        band_bytes: their bytes; shape (bands,).
        band_not_prose: how many of them are not prose; shape (bands,).
        tails: the easiest and the hardest hundredth.
        chosen: the rows to show; columns slot (0 the easiest tail, 1… the bands, then the hardest
            tail), piece, row, id, source, level, value, is_prose, not_prose_reason.
    """

    histograms: Mapping[str, Histogram]
    groups: Sequence[Groups]
    band_rows: NDArray[np.int64]
    band_bytes: NDArray[np.int64]
    band_not_prose: NDArray[np.int64]
    tails: tuple[Tail, Tail]
    chosen: pl.DataFrame


def take_census(folder: ScoresFolder) -> Census:
    """Pass one."""
    sources: dict[str, list[int]] = {}
    levels: dict[str, list[int]] = {}
    reasons: Counter[str] = Counter()
    for batch in folder.batches(["source", "level", "num_bytes", "is_prose", "not_prose_reason"]):
        for column, sizes in (("source", sources), ("level", levels)):
            grouped = batch.frame.group_by(column).agg(pl.len(), pl.col("num_bytes").sum())
            for name, num_rows, num_bytes in grouped.drop_nulls(column).iter_rows():
                size = sizes.setdefault(name, [0, 0])
                size[0] += num_rows
                size[1] += num_bytes
        reasons.update(_reasons(batch.frame))
    return Census(
        {name: (rows, size) for name, (rows, size) in sorted(sources.items())},
        {name: (rows, size) for name, (rows, size) in sorted(levels.items())},
        _ranked(reasons),
    )


def count_rows(folder: ScoresFolder, census: Census, bands: Bands, *, num_shown: int = 5) -> Counts:
    """Pass two: histograms of every metric, and the bands of one with the rows to show."""
    sources = Groups.of("source", census.sources)
    levels = Groups.of("level", census.levels)
    groups = [sources, levels] if levels.names else [sources]
    metrics = [metric for metric in folder.metrics if metric.quantiles is not None]
    counting = {metric.name: _Counting.of(metric, groups) for metric in metrics}
    slots = _Slots(bands, num_shown)
    keys = ["id", "source", "level", "num_bytes", "is_prose", "not_prose_reason"]
    for batch in folder.batches([*keys, *counting]):
        codes = [group.codes(batch.frame[group.kind]) for group in groups]
        for name, counts in counting.items():
            counts.add(values_of(batch.frame[name]), codes)
        slots.add(batch)
    return Counts(
        histograms={name: counts.histogram() for name, counts in counting.items()},
        groups=groups,
        band_rows=slots.rows,
        band_bytes=slots.bytes,
        band_not_prose=slots.not_prose,
        tails=(slots.tail(0), slots.tail(1)),
        chosen=slots.chosen.drop("priority"),
    )


def values_of(column: pl.Series) -> NDArray[np.float64]:
    """Values as floats, NaN where null."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def priorities(batch: Batch, *, seed: int = 0) -> NDArray[np.uint64]:
    """A hash of every row's place in the corpus (splitmix64), the same on every machine."""
    rows = np.arange(batch.first_row, batch.first_row + len(batch.frame), dtype=np.uint64)
    start = ((seed << 60) + (batch.piece << 36) + 1) % 2**64
    mixed = rows + np.uint64(start)
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX[0])
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX[1])
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _reasons(frame: pl.DataFrame) -> dict[str, int]:
    """How often each reason is given among the rows that are not prose."""
    rows = frame.filter(~pl.col("is_prose").fill_null(True))
    reason = pl.col("not_prose_reason").fill_null(_UNKNOWN_REASON)
    return dict(rows.group_by(reason).agg(pl.len()).iter_rows())


def _ranked(reasons: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


@dataclass
class _Counting:
    """A histogram being filled: two outer bins, then a last group for all rows."""

    low: float
    high: float
    starts: Sequence[int]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, metric: Metric, groups: Sequence[Groups]) -> _Counting:
        low, high = metric.quantile(0.01), metric.quantile(0.99)
        if high <= low:
            low, high = low - 0.5, low + 0.5
        margin = 0.02 * (high - low)  # keeps whole numbers at the ends off the border
        starts = np.cumsum([0, *(len(group.labels) + 1 for group in groups)]).tolist()
        shape = (starts[-1] + 1, NUM_BINS + 2)
        return cls(low - margin, high + margin, starts, np.zeros(shape, np.int64))

    def add(self, values: NDArray[np.float64], codes: Sequence[NDArray[np.int64]]) -> None:
        is_known = ~np.isnan(values)
        width = (self.high - self.low) / NUM_BINS
        scaled = np.floor((values[is_known] - self.low) / width).clip(-1, NUM_BINS)
        bins = scaled.astype(np.int64) + 1
        num_bins = NUM_BINS + 2
        self.counts[-1] += np.bincount(bins, minlength=num_bins)
        for start, end, code in zip(self.starts[:-1], self.starts[1:], codes, strict=True):
            joint = code[is_known] * num_bins + bins
            filled = np.bincount(joint, minlength=(end - start) * num_bins)
            self.counts[start:end] += filled.reshape(end - start, num_bins)

    def histogram(self) -> Histogram:
        """Without the rows that are of no group."""
        keep = np.ones(len(self.counts), bool)
        keep[[end - 1 for end in self.starts[1:]]] = False
        counts = self.counts[keep]
        return Histogram(self.low, self.high, counts[:, 1:-1], counts[:, 0], counts[:, -1])


@dataclass
class _Slots:
    """Bands and tails being counted, with the best rows of each so far."""

    bands: Bands
    num_shown: int
    rows: NDArray[np.int64] = field(init=False)
    bytes: NDArray[np.int64] = field(init=False)
    not_prose: NDArray[np.int64] = field(init=False)
    chosen: pl.DataFrame = field(init=False)
    _tail_rows: list[int] = field(init=False, default_factory=lambda: [0, 0])
    _tail_reasons: tuple[Counter[str], Counter[str]] = field(init=False)

    def __post_init__(self) -> None:
        num_bands = self.bands.num_bands
        self.rows, self.bytes, self.not_prose = (np.zeros(num_bands, np.int64) for _ in range(3))
        self.chosen = pl.DataFrame()
        self._tail_reasons = (Counter(), Counter())

    def add(self, batch: Batch) -> None:
        metric, frame = self.bands.metric, batch.frame
        difficulty = metric.sign * values_of(frame[metric.name])
        band = self.bands.band_of(difficulty)
        size = self.bands.num_bands + 1
        is_prose = frame["is_prose"].fill_null(True).to_numpy()
        num_bytes = frame["num_bytes"].fill_null(0).to_numpy()
        self.rows += np.bincount(band, minlength=size)[1:]
        self.bytes += np.bincount(band, weights=num_bytes, minlength=size)[1:].astype(np.int64)
        self.not_prose += np.bincount(band[~is_prose], minlength=size)[1:]
        rows = frame.select(
            "id", "source", "level", "is_prose", "not_prose_reason", value=metric.name
        ).with_columns(
            piece=pl.lit(batch.piece, pl.Int64),
            row=pl.int_range(batch.first_row, batch.first_row + len(frame), dtype=pl.Int64),
            slot=pl.Series(band, dtype=pl.Int64),
            priority=pl.Series(priorities(batch)),
        )
        self._keep(rows.filter(pl.col("slot") > 0))
        tail_rows = rows.with_columns(priority=pl.Series(priorities(batch, seed=_TAIL_SEED)))
        for end, is_in in enumerate(
            (difficulty <= self.bands.tails[0], difficulty >= self.bands.tails[1])
        ):
            found = tail_rows.filter(pl.Series(is_in))
            self._tail_rows[end] += len(found)
            self._tail_reasons[end].update(_reasons(found))
            self._keep(found.with_columns(slot=pl.lit(end * size, pl.Int64)))

    def tail(self, end: int) -> Tail:
        return Tail(self._tail_rows[end], _ranked(self._tail_reasons[end]))

    def _keep(self, rows: pl.DataFrame) -> None:
        """The first rows of every slot: one of each source, then a second of each, and so on.

        Kept rows stay ahead of dropped ones whatever comes later, so batches do not matter.
        """
        if rows.is_empty():
            return
        both = rows if self.chosen.is_empty() else pl.concat([self.chosen, rows])
        turn = pl.col("priority").rank("ordinal").over("slot", "source")
        self.chosen = (
            both.with_columns(turn=turn)
            .filter(pl.col("turn") <= self.num_shown)
            .sort("slot", "turn", "priority")
            .group_by("slot", maintain_order=True)
            .head(self.num_shown)
            .select(rows.columns)
        )
