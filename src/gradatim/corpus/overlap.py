"""How much of the held-out text also stands in the training text, in runs of words.

The split puts no document on both sides. What it cannot see is the same text under another id.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.corpus.hashes import Hashes, HashSet
from gradatim.numba_cache import KEPT


class NgramOverlap:
    """The share of distinct held-out word n-grams that also occur in the training text.

    First every held-out text, then every training text. Words are runs of letters and digits,
    lower-cased where they are ASCII; an n-gram does not reach over the end of a text. At most
    `max_ngrams` hashes are kept: when there are more, only those below a threshold, halved until
    they fit, which is an even sample of the distinct n-grams.

    Args:
        num_words: words an n-gram; 13 is what GPT-3 was checked for contamination with
            (arXiv 2005.14165, appendix C).
        max_ngrams: hashes kept, of about 20 bytes each.
    """

    def __init__(self, num_words: int = 13, *, max_ngrams: int = 4_000_000) -> None:
        self.num_words = num_words
        self._max_ngrams = max_ngrams
        self._threshold = np.uint64(2**64 - 1)
        self._held_out = HashSet()
        self._is_seen: NDArray[np.bool_] | None = None

    def add_held_out(self, text: str) -> None:
        assert self._is_seen is None, "all held-out text comes before the training text"
        hashes = ngram_hashes(text, self.num_words)
        self._held_out.add(hashes[hashes <= self._threshold])
        while len(self._held_out) > self._max_ngrams:
            self._threshold //= np.uint64(2)
            kept = self._held_out.values()
            self._held_out = HashSet()
            self._held_out.add(kept[kept <= self._threshold])

    def add_training(self, text: str) -> None:
        if self._is_seen is None:
            self._is_seen = np.zeros(self._held_out.capacity, np.bool_)
        places = self._held_out.places(ngram_hashes(text, self.num_words))
        self._is_seen[places[places >= 0]] = True

    @property
    def num_held_out(self) -> int:
        """Distinct held-out n-grams looked for."""
        return len(self._held_out)

    @property
    def num_seen(self) -> int:
        """How many of them training text has shown."""
        return 0 if self._is_seen is None else int(self._is_seen.sum())

    @property
    def seen_fraction(self) -> float | None:
        """None when no held-out text is long enough to have an n-gram."""
        return self.num_seen / self.num_held_out if self.num_held_out else None


def ngram_hashes(text: str, num_words: int) -> Hashes:
    """A 64-bit hash of every run of `num_words` words, in order, repeats included."""
    data = np.frombuffer(text.encode(), np.uint8)
    hashes = np.empty(data.size // 2 + 1, np.uint64)  # a word takes two bytes with its space
    return hashes[: _fill_ngram_hashes(data, num_words, hashes)]


@njit(cache=KEPT, nogil=True)
def _fill_ngram_hashes(data: NDArray[np.uint8], num_words: int, hashes: Hashes) -> int:
    """A polynomial in the last words' hashes, rolled on word by word, then mixed."""
    base = np.uint64(0x9E3779B97F4A7C15)
    highest = np.uint64(1)
    for _ in range(num_words):
        highest *= base
    recent = np.zeros(num_words, np.uint64)
    rolling = np.uint64(0)
    num_seen = 0
    num_hashes = 0
    word = np.uint64(0)
    i = 0
    while i <= data.size:
        byte = data[i] if i < data.size else np.uint8(32)
        if 65 <= byte <= 90:
            byte += np.uint8(32)
        is_mark = byte == 0xE2 and i + 2 < data.size and data[i + 1] == 0x80  # U+2000 to U+203F
        if (byte >= 128 and not is_mark) or 97 <= byte <= 122 or 48 <= byte <= 57:
            word = (word ^ np.uint64(byte)) * np.uint64(0x100000001B3) + np.uint64(1)
        elif word:
            word ^= word >> np.uint64(29)
            slot = num_seen % num_words
            rolling = rolling * base + word - recent[slot] * highest
            recent[slot] = word
            num_seen += 1
            word = np.uint64(0)
            if num_seen >= num_words:
                mixed = (rolling ^ (rolling >> np.uint64(32))) * base
                hashes[num_hashes] = mixed ^ (mixed >> np.uint64(29))
                num_hashes += 1
        i += 3 if is_mark else 1
    return num_hashes
