"""Random numbers as a pure function of (key, stream, position).

The bits are the raw output of the counter-based Philox generator (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3"), which numpy keeps stable; the mapping from bits to integers
and permutations is ours, so that an order of blocks depends on no library's distribution code, and
resuming is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

WORDS_PER_COUNTER = 4  # Philox 4x64 gives four 64-bit words a counter value
CHUNK_WORDS = 1024  # amortises the cost of making a generator; not visible in the numbers
PART_ROWS = 1 << 17  # of a long array that is worked through in parts; not visible either


def run_key(seed: int, rung: str) -> str:
    """Whose numbers a run draws: its seed's at its rung, so that rungs are independent."""
    return f"{seed}/{rung}"


def parts(num_rows: int) -> Iterator[slice]:
    """Slices that cover a long array, so that what is computed on the way stays small."""
    return (
        slice(start, min(start + PART_ROWS, num_rows)) for start in range(0, num_rows, PART_ROWS)
    )


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

    def permutation(self, count: int) -> NDArray[np.uint32]:
        """A uniformly random order of 0 .. count - 1: the positions, lowest word first.

        Takes 12 bytes a position at most: position and word are sorted in place as one number, the
        position instead of the word's lowest bits.
        """
        num_bits = max(count - 1, 0).bit_length()
        packed = self.words(0, count)
        packed >>= np.uint64(num_bits)
        packed <<= np.uint64(num_bits)
        for part in parts(count):
            packed[part] |= np.arange(part.start, part.stop, dtype=np.uint64)
        packed.sort()
        self._part_equal_words(packed, num_bits)
        positions = np.empty(count, dtype=np.uint32)
        for part in parts(count):
            positions[part] = packed[part] & np.uint64((1 << num_bits) - 1)
        return positions

    def _part_equal_words(self, packed: NDArray[np.uint64], num_bits: int) -> None:
        """Put right what sorting by the highest bits of words left in the order of positions."""
        pairs = [np.empty(0, dtype=np.intp)]
        for part in parts(len(packed)):
            words = packed[part.start : part.stop + 1] >> np.uint64(num_bits)
            pairs.append(part.start + np.flatnonzero(words[1:] == words[:-1]))
        first = np.concatenate(pairs)
        at = np.union1d(first, first + 1)
        positions = packed[at] & np.uint64((1 << num_bits) - 1)
        words = np.array([self.words(place, 1)[0] for place in positions.tolist()], np.uint64)
        packed[at] = packed[at][np.lexsort((positions, words))]
