"""How often words occur in a corpus, and how rare by that measure the words of a text are.

Words are those parts of words that frequencies are of (`gradatim.difficulty.columns`), but here
every run of letters counts, names too, and an apostrophe holds its letters together; counts of
two corpora add up.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty.characters import (
    APOSTROPHE,
    ASCII_SYMBOLS,
    LOWER,
    UPPER,
    Bytes,
    folded,
    kind_at,
    point_at,
)
from gradatim.difficulty.compiled import inner
from gradatim.difficulty.lexicon import begin_hash, end_hash, extend_hash
from gradatim.difficulty.plain import plain_texts, text_bytes
from gradatim.difficulty.syllables import APOSTROPHE_SYMBOL
from gradatim.numba_cache import KEPT

Hashes = NDArray[np.uint64]
WordCounts = NDArray[np.int64]


def count_words(texts: pa.Array) -> tuple[Hashes, WordCounts]:
    """64-bit hashes of the lower-cased words of some texts, sorted, and how often each occurs."""
    data, offsets = text_bytes(plain_texts(texts))
    hashes, _ = _hash_words(data, offsets)
    found, counts = np.unique(hashes, return_counts=True)
    return found, counts.astype(np.int64)


def corpus_rarity(texts: pa.Array, hashes: Hashes, counts: WordCounts, num_words: int) -> pa.Array:
    """Mean of −log2 of the words' share of the corpus, float32; null without a word.

    Args:
        hashes: of the words that were counted, sorted.
        counts: how often each occurs.
        num_words: of the corpus in all; a word that is not among the hashes counts as one.
    """
    data, offsets = text_bytes(plain_texts(texts))
    words, num_words_each = _hash_words(data, offsets)
    at = np.searchsorted(hashes, words)
    is_counted = at < hashes.size
    is_counted[is_counted] = hashes[at[is_counted]] == words[is_counted]
    occurrences = np.ones(words.size, np.int64)
    occurrences[is_counted] = counts[at[is_counted]]
    bits = np.log2(max(num_words, 1)) - np.log2(occurrences)
    is_empty = num_words_each == 0
    filled = np.flatnonzero(~is_empty)
    mean = np.zeros(num_words_each.size)
    if filled.size:
        starts = (np.cumsum(num_words_each) - num_words_each)[filled]
        mean[filled] = np.add.reduceat(bits, starts) / num_words_each[filled]
    return pa.array(np.ma.MaskedArray(mean.astype(np.float32), is_empty), pa.float32())


@njit(cache=KEPT, nogil=True)
def _hash_words(data: Bytes, offsets: NDArray[np.int64]) -> tuple[Hashes, WordCounts]:
    """Hashes of all running words, one text after the other, and how many each text has."""
    num_texts = offsets.size - 1
    hashes = np.empty((offsets[num_texts] - offsets[0]) // 2 + num_texts, np.uint64)
    num_words = np.zeros(num_texts, np.int64)
    n = 0
    for text in range(num_texts):
        first = n
        i, end = offsets[text], offsets[text + 1]
        while i < end:
            value, i = _next_word(data, i, end)
            if value:
                hashes[n] = value
                n += 1
        num_words[text] = n - first
    return hashes[:n], num_words


@inner
def _next_word(data: Bytes, i: int, end: int) -> tuple[np.uint64, int]:
    """Hash of the first word at or behind `i`, 0 if there is none, and where it ends."""
    value = begin_hash()
    has_letter = False
    while i < end:
        if ASCII_SYMBOLS[data[i]]:
            value = extend_hash(value, int(ASCII_SYMBOLS[data[i]]))
            has_letter = True
            i += 1
            continue
        kind, width = kind_at(data, i, end)
        if LOWER <= kind <= UPPER:
            point, _ = point_at(data, i, end)
            value = extend_hash(value, folded(point))
            has_letter = True
        elif has_letter:
            behind, _ = kind_at(data, i + width, end)
            if kind != APOSTROPHE or not LOWER <= behind <= UPPER:
                return end_hash(value), i
            value = extend_hash(value, APOSTROPHE_SYMBOL)
        i += width
    return (end_hash(value) if has_letter else np.uint64(0)), i
