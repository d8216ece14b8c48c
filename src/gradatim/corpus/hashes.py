"""Hashes of texts, and a set of 64-bit ones in one flat array.

The set takes at most 27 bytes a hash, where Python's takes 70: open addressing with linear probing,
at most 60 % full, grown by doubling. Zero marks an empty place, so the hash 0 is stored as 1.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.numba_cache import KEPT

_SMALLEST_CAPACITY = 1024
_MOST_FULL = 0.6

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]


def hash64(data: bytes) -> int:
    """A 64-bit hash of some bytes, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


@njit(cache=KEPT)
def _place(table: Hashes, key: np.uint64) -> np.uint64:
    """Where the key is, or the empty place where it would go.

    The first place tried is the upper half of a product with 2^64 over the golden ratio, which
    scatters hashes however they are made (D. Knuth, The Art of Computer Programming 3, 6.4).
    """
    mask = np.uint64(table.size - 1)
    product = key * np.uint64(0x9E3779B97F4A7C15)
    place = (product >> np.uint64(32)) & mask
    while table[place] != 0 and table[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=KEPT)
def _insert(table: Hashes, hashes: Hashes, is_new: Flags) -> int:
    num_new = 0
    for i in range(hashes.size):
        key = max(hashes[i], np.uint64(1))
        place = _place(table, key)
        is_new[i] = table[place] == 0
        if is_new[i]:
            table[place] = key
            num_new += 1
    return num_new


@njit(cache=KEPT)
def _find(table: Hashes, hashes: Hashes, places: NDArray[np.int64]) -> None:
    for i in range(hashes.size):
        key = max(hashes[i], np.uint64(1))
        place = _place(table, key)
        places[i] = np.int64(place) if table[place] == key else np.int64(-1)


class HashSet:
    """A growing set of unsigned 64-bit hashes."""

    def __init__(self) -> None:
        self._table: Hashes = np.zeros(_SMALLEST_CAPACITY, np.uint64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def num_bytes(self) -> int:
        return self._table.nbytes

    @property
    def capacity(self) -> int:
        """One more than the largest place `places` can give, until the next `add`."""
        return self._table.size

    def add(self, hashes: Hashes) -> Flags:
        """Put the hashes in; true where one was not there before (nor earlier in `hashes`)."""
        is_new = np.empty(hashes.size, np.bool_)
        self._reserve(self._size + hashes.size)
        self._size += _insert(self._table, hashes, is_new)
        return is_new

    def is_new(self, data: bytes) -> bool:
        """Put the hash of some bytes in; whether it was not there before."""
        return bool(self.add(np.array([hash64(data)], np.uint64))[0])

    def places(self, hashes: Hashes) -> NDArray[np.int64]:
        """A number in [0, capacity) that is each hash's own, or -1 where it is not in the set."""
        places = np.empty(hashes.size, np.int64)
        _find(self._table, hashes, places)
        return places

    def values(self) -> Hashes:
        """The hashes in the set, in no particular order."""
        values: Hashes = self._table[self._table != 0]
        return values

    def _reserve(self, size: int) -> None:
        capacity = self._table.size
        while size > capacity * _MOST_FULL:
            capacity *= 2
        if capacity == self._table.size:
            return
        values = self.values()
        self._table = np.zeros(capacity, np.uint64)
        _insert(self._table, values, np.empty(values.size, np.bool_))
