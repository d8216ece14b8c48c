"""What is known of each word of English: how frequent it is, how it sounds, who is taught it.

Word frequencies are those of `wordfreq` (R. Speer, 2022, doi:10.5281/zenodo.7199437; data CC BY-SA
4.0), on the Zipf scale of W. J. B. van Heuven et al. (Quarterly Journal of Experimental
Psychology 67, 2014): the decimal logarithm of occurrences in a thousand million words. `the` has
7.7, a word seen once in a million words 3.

The lexicon is a table of 64-bit hashes made once a process. Everything the counting kernel wants
to know of a word is packed into one number beside its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import wordfreq
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty.characters import ASCII_SYMBOLS, Bytes, folded, point_at, symbol_at
from gradatim.difficulty.compiled import inlined, inner
from gradatim.difficulty.patterns import automaton
from gradatim.difficulty.syllables import APOSTROPHE_SYMBOL, MOST_LETTERS, Patterns, look_up
from gradatim.difficulty.word_ages import word_ages_tenths

Table = NDArray[np.uint64]
"""Shape [slots, 2], slots a power of two: the hash of a word (0 = free slot), and what is known."""

# What is known of a word, packed: syllables, kind before a full stop, flags, age, frequency.
KIND_SHIFT, FLAG_SHIFT, AGE_SHIFT, ZIPF_SHIFT = 6, 8, 16, 24
SYLLABLES_MASK, KIND_MASK, FLAGS_MASK, AGE_MASK = 63, 3, 255, 255
KNOWN, FAMILIAR, FAMILIAR_EARLY, FUNCTION, PERSONAL = 1, 2, 4, 8, 16
"""Flags: has a frequency; on the list of familiar words; on the list for the first four grades;
an English function word; a personal pronoun."""

ZIPF_OF_UNKNOWN_CENTI = 100
"""Frequency given to a word that `wordfreq` does not list: one in a hundred million."""
_MOST_ZIPF_CENTI = 900
_TABLE_BITS = 20

_QUOTE = ord("'")
_SEED = np.uint64(0xCBF29CE484222325)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

_FUNCTION_WORDS = """
the of and to a in that it is was for on with he be at by this not are but from or have an they
which you his had we were her she as all there their has one would been will what if so no can
out up when who more them do its into than then him about my your our me us did any only other
some could these may such where how very much those upon through before after over down
"""

_PERSONAL = """
i me my mine myself you your yours yourself he him his himself she her hers herself we us our ours
ourselves
"""


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


@njit(cache=True)
def _fill(
    data: Bytes,
    offsets: NDArray[np.int64],
    details: NDArray[np.int64],
    patterns: Patterns,
    table: Table,
    shift: np.uint64,
) -> None:
    """Put words into the table; `details` has columns flags, age, frequency."""
    mask = np.uint64(table.shape[0] - 1)
    word = np.zeros(64, np.uint8)
    for i in range(offsets.size - 1):
        num_letters, value = symbols_of(data, offsets[i], offsets[i + 1], word)
        if num_letters == 0:
            continue
        syllables, kind = look_up(word, num_letters, patterns)
        slot = value >> shift
        while table[slot, 0] != 0 and table[slot, 0] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot, 0] == 0:  # a spelling that comes again is the rarer one
            table[slot, 0] = value
            table[slot, 1] = pack(syllables, kind, details[i, 0], details[i, 1], details[i, 2])


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon of English, about 300 thousand words; made at the first call (half a second)."""
    words, zipf_centi = listed_words()
    return make_lexicon(words, zipf_centi, word_ages_tenths(words, zipf_centi))


@lru_cache(maxsize=1)
def listed_words() -> tuple[list[str], NDArray[np.int64]]:
    """The words of English that have a frequency, and it, in hundredths of the Zipf scale."""
    words: list[str] = []
    zipf_centi: list[int] = []
    # Bucket b holds words of frequency 10 ** (-b / 100).
    for bucket, found in enumerate(wordfreq.get_frequency_list("en", "large")):
        kept = [word for word in found if _is_word(word)]
        words += kept
        zipf_centi += [900 - bucket] * len(kept)
    return words, np.minimum(np.array(zipf_centi, np.int64), _MOST_ZIPF_CENTI)


def make_lexicon(
    words: list[str], zipf_centi: NDArray[np.int64], age_tenths: NDArray[np.int64]
) -> Lexicon:
    """A lexicon of these words, with ages from 0 to 255 tenths of a year."""
    details = np.zeros((len(words), 3), np.int64)
    details[:, 0] = KNOWN
    details[:, 1] = age_tenths
    details[:, 2] = zipf_centi
    numbers = {word: i for i, word in enumerate(words)}
    for flag, listed in _lists().items():
        at = [numbers[word] for word in listed if word in numbers]
        details[at, 0] |= flag
    encoded = [word.encode() for word in words]
    offsets = np.concatenate([[0], np.cumsum([len(word) for word in encoded])])
    table = np.zeros((1 << _TABLE_BITS, 2), np.uint64)
    shift = 64 - _TABLE_BITS
    data = np.frombuffer(b"".join(encoded), np.uint8)
    _fill(data, offsets, details, automaton(), table, np.uint64(shift))
    return Lexicon(table, shift)


def _is_word(word: str) -> bool:
    return word.isalpha() or word.replace("'", "").isalpha()


def _lists() -> dict[int, frozenset[str]]:
    """Flag to the words that bear it."""
    path = resources.files("gradatim.difficulty").joinpath("familiar_words.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        FAMILIAR: frozenset(line.removesuffix(" *") for line in lines),
        FAMILIAR_EARLY: frozenset(line.removesuffix(" *") for line in lines if line.endswith("*")),
        FUNCTION: frozenset(_FUNCTION_WORDS.split()),
        PERSONAL: frozenset(_PERSONAL.split()),
    }
