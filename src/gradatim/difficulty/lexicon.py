"""A table of words by their 64-bit hashes, for compiled code.

Everything the counting kernel wants to know of a word is packed into one number beside its hash.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty.characters import ASCII_SYMBOLS, Bytes, folded, point_at, symbol_at
from gradatim.difficulty.compiled import inlined, inner
from gradatim.difficulty.syllables import APOSTROPHE_SYMBOL, MOST_LETTERS, Patterns, look_up
from gradatim.numba_cache import KEPT

Table = NDArray[np.uint64]
"""Shape [slots, 2], slots a power of two: the hash of a word (0 = free slot), and what is known."""

# What is known of a word, packed: syllables, kind before a full stop, flags, age, frequency.
KIND_SHIFT, FLAG_SHIFT, AGE_SHIFT, ZIPF_SHIFT = 6, 8, 16, 24
SYLLABLES_MASK, KIND_MASK, AGE_MASK = 63, 3, 255
KNOWN, FAMILIAR, FAMILIAR_EARLY, FUNCTION, PERSONAL = 1, 2, 4, 8, 16
"""Flags: has a frequency; on the list of familiar words; on the list for the first four grades;
an English function word; a personal pronoun."""

ZIPF_OF_UNKNOWN_CENTI = 100
"""Frequency given to a word that `wordfreq` does not list: one in a hundred million."""
_TABLE_BITS = 20

_QUOTE = ord("'")
_SEED = np.uint64(0xCBF29CE484222325)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The table, and the number of bits that a hash is shifted by to find its slot."""

    table: Table
    shift: int


@inlined
def begin_hash() -> np.uint64:
    """The hash of no letter."""
    return _SEED


@inlined
def extend_hash(value: np.uint64, symbol: int) -> np.uint64:
    """The hash with one more letter: 1 to 26, 27 for an apostrophe, else a code point."""
    return (value ^ np.uint64(symbol)) * _FACTOR


@inlined
def end_hash(value: np.uint64) -> np.uint64:
    """The finished hash, never 0."""
    value = (value ^ (value >> np.uint64(32))) * _FACTOR
    return np.uint64(value | np.uint64(1))


@inner
def symbols_of(data: Bytes, i: int, end: int, word: Bytes) -> tuple[int, np.uint64]:
    """Letters and apostrophes of data[i:end] into `word`, from 1 on: how many, and the hash."""
    value = begin_hash()
    n = 0
    while i < end:
        width = 1
        if ASCII_SYMBOLS[data[i]]:
            symbol = int(ASCII_SYMBOLS[data[i]])
            value = extend_hash(value, symbol)
        elif data[i] == _QUOTE:
            symbol = APOSTROPHE_SYMBOL
            value = extend_hash(value, symbol)
        else:
            point, width = point_at(data, i, end)
            symbol = symbol_at(data, i, end)
            value = extend_hash(value, folded(point))
        if n < MOST_LETTERS:
            n += 1
            word[n] = symbol
        i += width
    return n, end_hash(value)


@inner
def known_of(value: np.uint64, table: Table, shift: np.uint64) -> np.uint64:
    """What the table knows of a hashed word; 0 if nothing."""
    mask = np.uint64(table.shape[0] - 1)
    slot = value >> shift
    while table[slot, 0] != 0:
        if table[slot, 0] == value:
            return np.uint64(table[slot, 1])
        slot = (slot + np.uint64(1)) & mask
    return np.uint64(0)


@inlined
def pack(syllables: int, kind: int, flags: int, age: int, zipf_centi: int) -> np.uint64:
    """All that is known of a word as one number, never 0 for a word with a frequency."""
    low = np.uint64(syllables) | np.uint64(kind) << np.uint64(KIND_SHIFT)
    middle = np.uint64(flags) << np.uint64(FLAG_SHIFT) | np.uint64(age) << np.uint64(AGE_SHIFT)
    return low | middle | np.uint64(zipf_centi) << np.uint64(ZIPF_SHIFT)


@njit(cache=KEPT)
def _fill(
    data: Bytes,
    spans: NDArray[np.int64],
    details: NDArray[np.int64],
    patterns: Patterns,
    table: Table,
    shift: np.uint64,
) -> None:
    """Put words into the table; `details` has columns flags, age, frequency."""
    mask = np.uint64(table.shape[0] - 1)
    word = np.zeros(64, np.uint8)
    for i in range(details.shape[0]):
        num_letters, value = symbols_of(data, spans[i, 0], spans[i, 1], word)
        if num_letters == 0:
            continue
        syllables, kind = look_up(word, num_letters, patterns)
        slot = value >> shift
        while table[slot, 0] != 0 and table[slot, 0] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot, 0] == 0:  # a spelling that comes again is the rarer one
            table[slot, 0] = value
            table[slot, 1] = pack(syllables, kind, details[i, 0], details[i, 1], details[i, 2])


def make_lexicon(words: list[str], details: NDArray[np.int64], patterns: Patterns) -> Lexicon:
    """A lexicon of words in small letters.

    Args:
        words: of letters and apostrophes; of two with the same hash the first counts.
        details: shape [num_words, 3]: flags; age in tenths of a year, to 255; frequency in
            hundredths of the Zipf scale.
        patterns: the syllable automaton.
    """
    data = np.frombuffer("".join(f"{word} " for word in words).encode(), np.uint8)
    ends = np.flatnonzero(data == ord(" "))
    spans = np.stack([np.concatenate([[0], ends[:-1] + 1]), ends], axis=1)
    table = np.zeros((1 << _TABLE_BITS, 2), np.uint64)
    shift = 64 - _TABLE_BITS
    _fill(data, spans, details, patterns, table, np.uint64(shift))
    return Lexicon(table, shift)
