"""Random numbers as a pure function of (key, stream, position).

The bits are the raw output of the counter-based Philox generator (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3"), which numpy keeps stable; the mapping from bits to integers
and permutations is ours, so that an order of blocks depends on no library's distribution code, and
resuming is a number.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

WORDS_PER_COUNTER = 4  # Philox 4x64 gives four 64-bit words a counter value
CHUNK_WORDS = 1024  # amortises the cost of making a generator; not visible in the numbers


def run_key(seed: int, rung: str) -> str:
    """Whose numbers a run draws: its seed's at its rung, so that rungs are independent."""
    return f"{seed}/{rung}"


class Stream:
    """One endless sequence of 64-bit words, addressed by position.

    Args:
        key: whose numbers they are: a run's (`run_key`), or a seed.
        name: what the numbers are for; streams of different names are independent.
    """

    def __init__(self, key: int | str, name: str) -> None:
        digest = blake2b(f"{key}/{name}".encode(), digest_size=16).digest()
        self._key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
        self._chunk: list[int] = []
        self._chunk_start = 0

    def words(self, start: int, count: int) -> NDArray[np.uint64]:
        """The words at positions start .. start + count - 1."""
        counter, offset = divmod(start, WORDS_PER_COUNTER)
        philox = np.random.Philox(counter=counter, key=self._key)
        return np.asarray(philox.random_raw(offset + count)[offset:], dtype=np.uint64)

    def ahead(self, start: int, count: int) -> list[int]:
        """The same as Python integers, cheap when asked for a few at a time in rising order."""
        offset = start - self._chunk_start
        if offset < 0 or offset + count > len(self._chunk):
            self._chunk_start, offset = start, 0
            self._chunk = self.words(start, max(count, CHUNK_WORDS)).tolist()
        return self._chunk[offset : offset + count]

    def permutation(self, count: int) -> NDArray[np.intp]:
        """A uniformly random order of 0 .. count - 1."""
        return np.argsort(self.words(0, count), kind="stable")
