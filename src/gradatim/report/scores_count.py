"""Two passes over the rows: who is there, then how their values lie; nothing grows with the rows.

What is kept are counts by source, level, reason, bin and band, and for every band and tail the few
rows that will be shown. Which rows are shown, and which the agreement is measured on, depends on a
hash of their place in the corpus alone, so that the same scores give the same page.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradatim.report.scores_bands import Bands
from gradatim.report.scores_folder import Metric, ScoresFolder

Census = dict[str, Counter[str]]

MAX_GROUPS = 12
NUM_BINS = 480  # fine, for medians; drawn ten to a step
OTHER = "other"
_TAIL_SEED = 1
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_REASON = (
    pl.when(pl.col("is_prose").fill_null(True))
    .then(None)
    .otherwise(pl.col("not_prose_reason").fill_null("no reason given"))
    .alias("reason")
)


@dataclass(frozen=True)
class Groups:
    """The named groups of a column, largest first, and those joined as the last one.

    `first` is the row of the first of them in every histogram.
    """

    kind: str
    first: int
    names: Sequence[str]
    num_joined: int

    @classmethod
    def of(cls, kind: str, first: int, sizes: Mapping[str, int]) -> Self:
        ranked = list(by_frequency(sizes))
        if len(ranked) <= MAX_GROUPS + 1:  # joining one alone would name nothing
            return cls(kind, first, ranked, 0)
        return cls(kind, first, ranked[:MAX_GROUPS], len(ranked) - MAX_GROUPS)

    @property
    def labels(self) -> list[str]:
        return [*self.names, *([f"{self.num_joined} {OTHER}s"] if self.num_joined else [])]

    def rows_of(self, column: pl.Series) -> NDArray[np.int64]:
        """The histogram's row of each value's group; −1 where it is of none."""
        places = {name: self.first + place for place, name in enumerate(self.names)}
        joined = self.first + len(places)
        found = column.replace_strict(places, default=joined, return_dtype=pl.Int64)
        return np.where(column.is_null().to_numpy(), -1, found.to_numpy())


@dataclass(frozen=True)
class Histogram:
    """Counts of a metric's values in equal bins of [low, high], and of those outside.

    The counts are of the groups one after the other, of all rows, and of the rows in no group;
    shape (groups + 2, 1 + NUM_BINS + 1), filled by `add`.
    """

    low: float
    high: float
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, metric: Metric, num_groups: int) -> Self:
        """Without a value yet; from the lowest to the highest hundredth, and a little more."""
        low, high = metric.quantile(0.01), metric.quantile(0.99)
        if high <= low:
            low, high = low - 0.5, low + 0.5
        margin = 0.02 * (high - low)  # keeps whole numbers at the ends off the border
        shape = (num_groups + 2, NUM_BINS + 2)
        return cls(low - margin, high + margin, np.zeros(shape, np.int64))

    def add(self, values: NDArray[np.float64], groups: Sequence[NDArray[np.int64]]) -> None:
        """Count values, NaN for null, in all rows and in those of their groups, −1 for none."""
        is_known = ~np.isnan(values)
        width = (self.high - self.low) / NUM_BINS
        bins = 1 + np.floor((values[is_known] - self.low) / width).clip(-1, NUM_BINS).astype(int)
        num_groups, num_bins = self.counts.shape
        for group in (*groups, np.full(len(values), num_groups - 2)):
            cells = (group[is_known] % num_groups) * num_bins + bins
            self.counts.ravel()[:] += np.bincount(cells, minlength=self.counts.size)

    def num_values(self, group: int) -> int:
        return int(self.counts[group].sum())

    def steps(self, group: int, num_steps: int) -> NDArray[np.int64]:
        """Counts within [low, high], several bins to a step."""
        found: NDArray[np.int64] = self.counts[group, 1:-1].reshape(num_steps, -1).sum(axis=1)
        return found

    def median(self, group: int) -> float | None:
        """To within a bin; an end of the range when it lies outside."""
        half = self.num_values(group) / 2
        if half == 0:
            return None
        cumulated = np.cumsum(self.counts[group])
        place = int(np.searchsorted(cumulated, half))
        within = 1 - (cumulated[place] - half) / self.counts[group, place]
        share = (place - 1 + float(within)) / NUM_BINS
        return self.low + (self.high - self.low) * min(1.0, max(0.0, share))


@dataclass(frozen=True)
class Slot:
    """Rows of a band or a tail: how many, their bytes, and why some are not prose."""

    num_rows: int
    num_bytes: int
    reasons: Mapping[str, int]

    @property
    def num_not_prose(self) -> int:
        return sum(self.reasons.values())

    @property
    def share_not_prose(self) -> float:
        return self.num_not_prose / self.num_rows if self.num_rows else 0.0


@dataclass(frozen=True)
class Counts:
    """Pass two.

    Attributes:
        groups: sources, and levels if there are any.
        histograms: by metric name; groups are those of `groups` one after the other, then all.
        slots: 0 the easiest tail, 1… the bands, then the hardest tail.
        chosen: the rows to show; columns slot, piece, row, id, source, level, value, reason.
    """

    groups: Sequence[Groups]
    histograms: Mapping[str, Histogram]
    slots: Sequence[Slot]
    chosen: pl.DataFrame

    @property
    def filled_bands(self) -> list[int]:
        """The bands that hold a row."""
        return [band for band, slot in enumerate(self.slots[1:-1], 1) if slot.num_rows]


def take_census(folder: ScoresFolder) -> Census:
    """Pass one: rows of every source, level, and reason for not being prose."""
    found: Census = {"source": Counter(), "level": Counter(), "reason": Counter()}
    for batch in folder.batches(["source", "level", "is_prose", "not_prose_reason"]):
        for column, counter in found.items():
            values = batch.with_columns(_REASON)[column].drop_nulls()
            counter.update(dict(values.value_counts().iter_rows()))
    return found


def count_rows(folder: ScoresFolder, census: Census, bands: Bands, *, num_shown: int = 5) -> Counts:
    """Pass two: histograms of every metric, and the bands of one with the rows to show."""
    sources = Groups.of("source", 0, census["source"])
    levels = Groups.of("level", len(sources.labels), census["level"])
    groups = [group for group in (sources, levels) if group.names]
    num_groups = len(sources.labels) + len(levels.labels)
    histograms = {m.name: Histogram.of(m, num_groups) for m in folder.filled_metrics}
    tally: defaultdict[int, dict[str | None, NDArray[np.int64]]] = defaultdict(dict)
    chosen: list[pl.DataFrame] = []
    keys = ["id", "source", "level", "num_bytes", "is_prose", "not_prose_reason"]
    for batch in folder.batches([*keys, *histograms]):
        rows_of_groups = [group.rows_of(batch[group.kind]) for group in groups]
        for name, histogram in histograms.items():
            histogram.add(values_of(batch[name]), rows_of_groups)
        rows = _slotted(batch, bands)
        sums = rows.group_by("slot", "reason").agg(pl.len(), pl.col("num_bytes").sum())
        for slot, reason, *size in sums.iter_rows():
            tally[slot][reason] = tally[slot].get(reason, 0) + np.array(size)
        chosen = [_first_of_slots(pl.concat([*chosen, rows]), num_shown)]
    slots = [_slot(tally[slot]) for slot in range(bands.num_bands + 2)]
    return Counts(groups, histograms, slots, chosen[0])


def values_of(column: pl.Series) -> NDArray[np.float64]:
    """Values as floats, NaN where null."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def priorities(batch: pl.DataFrame, *, seed: int = 0) -> NDArray[np.uint64]:
    """A hash of every row's place in the corpus (splitmix64), the same on every machine."""
    place = (batch["piece"].to_numpy() << 36) + batch["row"].to_numpy()
    mixed = (place + ((seed << 60) + 1)) * np.uint64(_MIX[0])
    mixed = (mixed ^ (mixed >> 30)) * np.uint64(_MIX[1])
    mixed = (mixed ^ (mixed >> 27)) * np.uint64(_MIX[2])
    return np.asarray(mixed ^ (mixed >> 31), np.uint64)


def by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _slotted(batch: pl.DataFrame, bands: Bands) -> pl.DataFrame:
    """Every row once for its band, and once more where it lies in a tail."""
    difficulty = bands.metric.sign * values_of(batch[bands.metric.name])
    columns = ("piece", "row", "id", "source", "level", "num_bytes")
    frame = batch.select(*columns, _REASON, value=bands.metric.name)

    def taken(slot: Any, is_in: NDArray[np.bool_], seed: int) -> pl.DataFrame:
        place = {"slot": slot, "priority": pl.Series(priorities(batch, seed=seed))}
        return frame.with_columns(**place).filter(pl.Series(is_in))

    band = bands.band_of(difficulty)
    last = pl.lit(bands.num_bands + 1, pl.Int64)
    return pl.concat(
        [
            taken(pl.Series(band), band > 0, 0),
            taken(pl.lit(0, pl.Int64), difficulty <= bands.tails[0], _TAIL_SEED),
            taken(last, difficulty >= bands.tails[1], _TAIL_SEED),
        ]
    )


def _first_of_slots(rows: pl.DataFrame, num_shown: int) -> pl.DataFrame:
    """The first rows of every slot: one of each source, then a second of each, and so on.

    Kept rows stay ahead of dropped ones whatever comes later, so batches do not matter.
    """
    turn = pl.col("priority").rank("ordinal").over("slot", "source")
    return (
        rows.with_columns(turn=turn)
        .filter(pl.col("turn") <= num_shown)
        .sort("slot", "turn", "priority")
        .group_by("slot", maintain_order=True)
        .head(num_shown)
        .select(rows.columns)
    )


def _slot(sizes: Mapping[str | None, NDArray[np.int64]]) -> Slot:
    num_rows, num_bytes = sum(sizes.values(), start=np.zeros(2, np.int64)).tolist()
    reasons = {reason: int(size[0]) for reason, size in sizes.items() if reason is not None}
    return Slot(num_rows, num_bytes, by_frequency(reasons))
