"""Quantiles of the columns of many parquet files, exact, in memory that stays bounded.

By counting: a first reading counts the upper eighteen bits of every value, which tells in which of
262,144 bins each quantile lies; a second counts the values within those bins, which are at most
16,384 a bin. Counts of different files add up, so the result does not depend on who read what.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradatim.corpus.storage import open_input
from gradatim.scoring.engines import Engine
from gradatim.scoring.word_counts import merged_counts

PERCENTILES = 100

Keys = NDArray[np.uint32]
Counts = NDArray[np.int64]
_LOW_BITS = 14
_NUM_BINS = 1 << (32 - _LOW_BITS)
_MOST_WAITING = 1_000_000


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of one column; a quantile is a value that occurs, the smallest of its rank.

    Attributes:
        num_values: rows that have one.
        values: minimum, 1 %, ..., 99 %, maximum: 101 numbers.
        edges: the values that part the rows into bands of equal size.
    """

    num_values: int
    values: tuple[float, ...]
    edges: tuple[float, ...]


def exact_quantiles(
    paths: Sequence[str], names: Sequence[str], num_bands: int, engine: Engine
) -> dict[str, Quantiles]:
    """Of float32 columns, in two readings; columns without any value are left out."""
    counted = {name: _Column(num_bands) for name in names}
    for _, found in engine.map(partial(_count_bins, names=names), paths):
        for name, packed in found.items():
            counted[name].add_bins(*_unpacked(packed))
    bins = {name: column.wanted_bins() for name, column in counted.items() if column.num_values}
    for _, found in engine.map(partial(_count_keys, bins=bins), paths):
        for name, packed in found.items():
            counted[name].add_keys(*_unpacked(packed))
    return {name: counted[name].quantiles() for name in bins}


def _count_bins(path: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The bins that a file's values lie in, and how many in each, by column."""
    found = {}
    for name, keys in _keys(path, names):
        counts = np.bincount(keys >> np.uint32(_LOW_BITS))
        bins = np.flatnonzero(counts)
        found[name] = _packed(bins.astype(np.uint32), counts[bins])
    return found


def _count_keys(path: str, bins: Mapping[str, Keys]) -> dict[str, list[str]]:
    """Distinct keys within the wanted bins of each column, and how often each occurs."""
    found = {}
    for name, keys in _keys(path, list(bins)):
        is_wanted = np.zeros(_NUM_BINS, np.bool_)
        is_wanted[bins[name]] = True
        wanted = keys[is_wanted[keys >> np.uint32(_LOW_BITS)]]
        found[name] = _packed(*np.unique(wanted, return_counts=True))
    return found


def _keys(path: str, names: Sequence[str]) -> Iterator[tuple[str, Keys]]:
    """The keys of a file's values by column, nulls left out."""
    with open_input(path) as file:
        table = pq.read_table(file, columns=list(names), use_threads=False)
    for name in names:
        yield name, keys_of(table.column(name).drop_null().to_numpy())


def _packed(keys: Keys, counts: Counts) -> list[str]:
    """As an engine can hand it on."""
    return [base64.b64encode(part.tobytes()).decode() for part in (keys, counts.astype(np.int64))]


def _unpacked(packed: Sequence[str]) -> tuple[Keys, Counts]:
    keys, counts = (base64.b64decode(part) for part in packed)
    return np.frombuffer(keys, np.uint32), np.frombuffer(counts, np.int64)


class _Column:
    """The counts of one column, from which its quantiles are read after both readings."""

    def __init__(self, num_bands: int) -> None:
        self._num_bands = num_bands
        self._in_bins = np.zeros(_NUM_BINS, np.int64)
        self._waiting: list[tuple[Keys, Counts]] = []
        self._num_waiting = 0  # since the last merge

    @property
    def num_values(self) -> int:
        return int(self._in_bins.sum())

    def add_bins(self, bins: Keys, counts: Counts) -> None:
        self._in_bins[bins] += counts

    def wanted_bins(self) -> Keys:
        """The bins in which a wanted quantile lies."""
        bins = np.searchsorted(np.cumsum(self._in_bins), self._ranks(), side="left")
        return np.unique(bins).astype(np.uint32)

    def add_keys(self, keys: Keys, counts: Counts) -> None:
        self._waiting.append((keys, counts))
        self._num_waiting += keys.size
        if self._num_waiting > _MOST_WAITING:
            self._waiting, self._num_waiting = [merged_counts(self._waiting)], 0

    def quantiles(self) -> Quantiles:
        keys, counts = merged_counts(self._waiting)
        bins = (keys >> np.uint32(_LOW_BITS)).astype(np.int64)
        before = np.concatenate([[0], np.cumsum(self._in_bins)])[bins]  # values in lower bins
        within = np.cumsum(counts)
        starts = np.searchsorted(bins, bins, side="left")
        within -= np.concatenate([[0], within])[starts]
        found = _values_of(keys[np.searchsorted(before + within, self._ranks(), side="left")])
        return Quantiles(
            self.num_values, tuple(found[: PERCENTILES + 1]), tuple(found[PERCENTILES + 1 :])
        )

    def _ranks(self) -> Counts:
        """Ranks from 1 of the percentiles and of the bands' edges."""
        shares = [(index, PERCENTILES) for index in range(PERCENTILES + 1)]
        shares += [(index, self._num_bands) for index in range(1, self._num_bands)]
        num = self.num_values
        return np.array([max(1, -(-num * part // whole)) for part, whole in shares], np.int64)


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
