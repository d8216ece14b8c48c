"""Quantiles of the columns of many parquet files, in memory that does not grow with the rows.

Exact ones by counting: a first reading counts the upper sixteen bits of every value, which tells
in which of 65,536 bins each quantile lies; a second counts the lower bits within those bins. Counts
of different files add up, so the result does not depend on who read what.

Sketched ones by the KLL sketch of the datasketches library, in one reading, with a stated error.
Its coin cannot be seeded: two runs differ within the error.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from datasketches import kll_floats_sketch
from numpy.typing import NDArray

from gradatim.corpus.storage import open_input

PERCENTILES = 100
SKETCH_SIZE = 4096

Keys = NDArray[np.uint32]
Counts = NDArray[np.int64]
_BINS = 1 << 16


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of one column; a quantile is a value that occurs, the smallest of its rank.

    Attributes:
        method: "exact" or "kll".
        rank_error: the most a quantile's rank is off, as a share of the values, with a
            probability of 99 %; 0 if exact.
        num_values: rows that have one.
        values: minimum, 1 %, ..., 99 %, maximum: 101 numbers.
        edges: the values that part the rows into bands of equal size.
    """

    method: str
    rank_error: float
    num_values: int
    values: tuple[float, ...]
    edges: tuple[float, ...]


def read_columns(path: str, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The values of float32 columns, nulls left out."""
    with open_input(path) as file:
        table = pq.read_table(file, columns=list(names), use_threads=False)
    return {name: table.column(name).drop_null().to_numpy() for name in names}


def high_counts(path: str, names: Sequence[str]) -> dict[str, Counts]:
    """Values in each of the 65,536 bins of a file, by column."""
    return {
        name: np.bincount(keys_of(values) >> np.uint32(16), minlength=_BINS)
        for name, values in read_columns(path, names).items()
    }


def low_counts(path: str, bins: Mapping[str, Keys]) -> dict[str, tuple[Keys, Counts]]:
    """Distinct keys within the wanted bins of each column, and how often each occurs."""
    found = {}
    for name, values in read_columns(path, list(bins)).items():
        keys = keys_of(values)
        is_wanted = np.zeros(_BINS, np.bool_)
        is_wanted[bins[name]] = True
        keys, counts = np.unique(keys[is_wanted[keys >> np.uint32(16)]], return_counts=True)
        found[name] = keys, counts
    return found


class ExactCounts:
    """The counts of one column, from which its quantiles are read after both readings."""

    def __init__(self, num_bands: int) -> None:
        self._num_bands = num_bands
        self._high = np.zeros(_BINS, np.int64)
        self._waiting: list[tuple[Keys, Counts]] = []
        self._num_waiting = 0

    @property
    def num_values(self) -> int:
        return int(self._high.sum())

    def add_high(self, counts: Counts) -> None:
        self._high += counts

    def bins(self) -> Keys:
        """The bins in which a wanted quantile lies."""
        ends = np.cumsum(self._high)
        bins = np.searchsorted(ends, self._ranks(), side="left")
        return np.unique(bins).astype(np.uint32) if self.num_values else np.zeros(0, np.uint32)

    def add_low(self, keys: Keys, counts: Counts) -> None:
        self._waiting.append((keys, counts))
        self._num_waiting += keys.size
        if self._num_waiting > 4_000_000:
            self._merge()

    def quantiles(self) -> Quantiles | None:
        """None where no row has a value."""
        if self.num_values == 0:
            return None
        self._merge()
        ((keys, counts),) = self._waiting
        bins = (keys >> np.uint32(16)).astype(np.int64)
        before = np.concatenate([[0], np.cumsum(self._high)])[bins]  # values in lower bins
        within = np.cumsum(counts)
        starts = np.searchsorted(bins, bins, side="left")
        within -= np.concatenate([[0], within])[starts]
        found = _values_of(keys[np.searchsorted(before + within, self._ranks(), side="left")])
        values, edges = found[: PERCENTILES + 1], found[PERCENTILES + 1 :]
        return Quantiles("exact", 0.0, self.num_values, tuple(values), tuple(edges))

    def _ranks(self) -> Counts:
        """Ranks from 1 of the percentiles and of the bands' edges."""
        shares = [(index, PERCENTILES) for index in range(PERCENTILES + 1)]
        shares += [(index, self._num_bands) for index in range(1, self._num_bands)]
        num = self.num_values
        return np.array([max(1, -(-num * part // whole)) for part, whole in shares], np.int64)

    def _merge(self) -> None:
        keys = np.concatenate([keys for keys, _ in self._waiting])
        counts = np.concatenate([counts for _, counts in self._waiting])
        merged, places = np.unique(keys, return_inverse=True)
        total = np.zeros(merged.size, np.int64)
        np.add.at(total, places, counts)
        self._waiting = [(merged, total)]
        self._num_waiting = 0  # counts only what came since


def sketch_columns(path: str, names: Sequence[str]) -> dict[str, str]:
    """A sketch of each column of a file, as base64."""
    sketches = {}
    for name, values in read_columns(path, names).items():
        sketch = kll_floats_sketch(SKETCH_SIZE)
        sketch.update(values.copy())  # the library wants an array that it may write to
        sketches[name] = base64.b64encode(sketch.serialize()).decode()
    return sketches


class MergedSketch:
    """The sketch of one column over all files."""

    def __init__(self, num_bands: int) -> None:
        self._num_bands = num_bands
        self._sketch = kll_floats_sketch(SKETCH_SIZE)

    def add(self, serialized: str) -> None:
        self._sketch.merge(kll_floats_sketch.deserialize(base64.b64decode(serialized)))

    def quantiles(self) -> Quantiles | None:
        """None where no row has a value."""
        if self._sketch.is_empty():
            return None
        shares = [index / PERCENTILES for index in range(PERCENTILES + 1)]
        bands = [index / self._num_bands for index in range(1, self._num_bands)]
        rank_error = 0.0
        if self._sketch.is_estimation_mode():
            rank_error = float(self._sketch.normalized_rank_error(False))
        values = self._sketch.get_quantiles(shares, True)
        # The ends are known exactly, whatever the sketch has dropped.
        values[0], values[-1] = self._sketch.get_min_value(), self._sketch.get_max_value()
        edges = self._sketch.get_quantiles(bands, True) if bands else []
        num_values = int(self._sketch.n)
        return Quantiles("kll", rank_error, num_values, tuple(values), tuple(edges))


def keys_of(values: NDArray[np.float32]) -> Keys:
    """Whole numbers in the order of the values; 0 and -0 are one."""
    bits = (values + np.float32(0)).view(np.uint32)
    is_negative = (bits >> np.uint32(31)).astype(np.bool_)
    return np.where(is_negative, ~bits, bits | np.uint32(1 << 31))


def _values_of(keys: Keys) -> list[float]:
    is_negative = (keys >> np.uint32(31)) == 0
    bits = np.where(is_negative, ~keys, keys & np.uint32((1 << 31) - 1))
    values: list[float] = bits.astype(np.uint32).view(np.float32).tolist()
    return values
