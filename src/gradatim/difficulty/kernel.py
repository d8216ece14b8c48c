"""One pass over UTF-8 bytes that counts what a reader of English would count.

A *word* is a run of letters and digits, held together by single apostrophes, hyphens and points,
and by commas and colons between digits: `don't`, `well-known`, `e.g.`, `3.14`, `10:30` and `1,000`
are one word each. Everything else parts words: spaces, dashes (`--`, en, em), ellipses.

A *sentence* is a run of at least one word that ends at a full stop, question or exclamation mark,
an ellipsis, a blank line, or the end of the text. A mark ends no sentence when a small letter
follows (`"Where?" he asked`), except that a plain full stop does; a full stop ends none after a
title (`Mr.`), an initial (`J. Smith`, `U.S. Army`), a list number at the start of a sentence, nor,
unless a capital follows, after the likes of `etc.` and `p.m.`

*Syllables* are runs of vowel letters less silent final e's, corrected by letter patterns learned
from a pronouncing dictionary (see `gradatim.difficulty.patterns`). A digit counts as one syllable,
so does each letter of a vowelless word in capitals.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty.characters import (
    APOSTROPHE,
    ASCII_SYMBOLS,
    CLOSER,
    DASH,
    DIGIT,
    ELLIPSIS,
    HYPHEN,
    JOINER,
    LOWER,
    NEWLINE,
    NOTHING,
    OPENER,
    SPACE,
    STOP,
    UPPER,
    Bytes,
    kind_at,
    symbol_at,
)

_BYTES, _LETTERS, _WORDS, _SENTENCES, _SYLLABLES = range(5)

PLAIN, TITLE, SHORTENED = 0, 1, 2
"""Kinds of words before a full stop: any; ends no sentence; ends one if a capital follows."""

# Letters of a word in the buffer: a = 1 … z = 26, apostrophe 27; 0 stands at both borders.
BORDER = 0
_A, _C, _D, _E, _G, _H, _I, _L = 1, 3, 4, 5, 7, 8, 9, 12
_M, _O, _Q, _R, _S, _T, _U, _X, _Y, _Z = 13, 15, 17, 18, 19, 20, 21, 24, 25, 26
APOSTROPHE_SYMBOL = 27
NUM_SYMBOLS = 28
CHANGE, KIND = 30, 31  # columns of the automaton; the change is stored with 128 added
CHANGE_ZERO = 128
_MOST_LETTERS = 62  # a longer run of letters is no word of English: its beginning is counted
_MEMO_LETTERS = 12  # as many as fit into 64 bits
_MEMO_BITS = 13

Counts = NDArray[np.int64]
Patterns = NDArray[np.uint16]
"""By state one row of 32, which is a cache line: the next state by symbol, and two values."""
Memo = NDArray[np.uint64]
"""By slot: the letters of a word, 5 bits each, and its syllables and kind."""


_IS_VOWEL = np.isin(np.arange(NUM_SYMBOLS), [_A, _E, _I, _O, _U, _Y])


@njit(cache=True)
def _is_silent_e(word: Bytes, n: int, at: int) -> bool:
    """Whether letter `at` is an e with nothing behind it, or an -s or -d that leaves it silent."""
    if word[at] != _E or at < 3 or _IS_VOWEL[word[at - 1]]:
        return False
    before = word[at - 1]
    if before in (_L, _R) and not _IS_VOWEL[word[at - 2]] and word[at - 2] != before:
        return False  # ta-ble, a-cre, hun-dred
    if at == n:
        return True
    if word[n] == _D:
        return before not in (_T, _D)
    if word[n] != _S:
        return False
    hissed = before in (_S, _Z, _X, _C, _G) or (before == _H and word[at - 2] in (_C, _S))
    return not hissed


@njit(cache=True)
def base_syllables(word: Bytes, n: int) -> int:
    """Vowel groups of word[1 : n + 1] (borders at 0 and n + 1) without silent final e's."""
    num_groups = 0
    in_group = False
    for i in range(1, n + 1):
        is_vowel = _IS_VOWEL[word[i]]
        if word[i] == _Y and _IS_VOWEL[word[i + 1]]:
            is_vowel = i > 1 and not in_group  # no in yes and be-yond; yes in can-yon
        elif word[i] == _U and word[i - 1] == _Q:
            is_vowel = False
        num_groups += is_vowel and not in_group
        in_group = is_vowel
    if n > 2 and (_is_silent_e(word, n, n) or _is_silent_e(word, n, n - 1)):
        num_groups -= 1
    return num_groups


@njit(cache=True)
def _look_up(word: Bytes, n: int, patterns: Patterns) -> tuple[int, int]:
    """Syllables of a run of letters, 0 if it has no vowel, and its kind before a full stop."""
    word[n + 1] = BORDER
    num_syllables = base_syllables(word, n)
    is_vowelless = num_syllables == 0
    state = np.uint16(0)
    for i in range(n + 2):
        state = patterns[state, word[i]]
        num_syllables += int(patterns[state, CHANGE]) - CHANGE_ZERO
    kind = int(patterns[state, KIND])
    if is_vowelless and num_syllables <= 0:
        return 0, kind
    return max(num_syllables, 1), kind


@njit(cache=True)
def _close_part(
    word: Bytes, n: int, num_capitals: int, patterns: Patterns, memo: Memo
) -> tuple[int, int]:
    """`_look_up`, remembered: few words make up most of any text."""
    if n == 0:
        return 0, PLAIN
    if n > _MEMO_LETTERS:
        num_syllables, kind = _look_up(word, n, patterns)
    else:
        key = np.uint64(0)
        for i in range(1, n + 1):
            key = key << np.uint64(5) | np.uint64(word[i])
        slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _MEMO_BITS)
        if memo[slot, 0] != key:
            num_syllables, kind = _look_up(word, n, patterns)
            memo[slot, 0] = key
            memo[slot, 1] = np.uint64(num_syllables) << np.uint64(2) | np.uint64(kind)
        value = int(memo[slot, 1])
        num_syllables, kind = value >> 2, value & 3
    if num_syllables == 0:
        return n if num_capitals == n else 1, kind
    return num_syllables, kind


@njit(cache=True)
def _look_ahead(data: Bytes, i: int, end: int) -> tuple[int, int, bool]:
    """What stands behind the mark that ends at `i`.

    Returns:
        The kind of the next letter, digit or other sign, or NEWLINE where the paragraph ends, or
        NOTHING where no space parts it from the mark; the number of further marks; and whether a
        closing quote or bracket followed the mark.
    """
    num_more = 0
    num_newlines = 0
    is_parted = False
    is_closed = False
    while i < end:
        kind, width = kind_at(data, i, end)
        if kind == NEWLINE:
            num_newlines += 1
            if num_newlines > 1:
                return NEWLINE, num_more, is_closed
        elif STOP <= kind <= ELLIPSIS:
            num_more += 1
            num_newlines = 0
        elif kind in (CLOSER, APOSTROPHE) and not is_parted:
            is_closed = True
        elif kind not in (SPACE, CLOSER, OPENER, APOSTROPHE, NOTHING, DASH, HYPHEN):
            return kind if is_parted else NOTHING, num_more, is_closed
        is_parted = is_parted or kind in (SPACE, NEWLINE, DASH, HYPHEN)
        i += width
    return NEWLINE, num_more, is_closed


@njit(cache=True)
def _ends_sentence(data: Bytes, i: int, end: int, mark: int, word_kind: int) -> bool:
    """Whether the mark that ends at `i`, after a word of that kind, ends its sentence."""
    following, num_more, is_closed = _look_ahead(data, i, end)
    if following == NEWLINE:
        return True
    if following == NOTHING:
        return False
    is_plain_stop = mark == STOP and num_more == 0
    if is_plain_stop and word_kind == TITLE:
        return False
    if is_plain_stop and word_kind == SHORTENED:
        return following == UPPER
    if following == LOWER:
        return is_plain_stop and not is_closed
    return True


@njit(cache=True)
def _joins(kind: int, before: int, after: int) -> bool:
    """Whether a sign between two characters holds them together in one word."""
    if kind in (APOSTROPHE, HYPHEN, STOP):
        return LOWER <= after <= DIGIT
    return kind == JOINER and before == DIGIT and after == DIGIT


@njit(cache=True)
def _read_word(
    data: Bytes, i: int, end: int, word: Bytes, patterns: Patterns, memo: Memo
) -> tuple[int, int, int, int, int]:
    """Read the word that begins at `i`.

    Returns:
        Where it ends; its letters, digits and syllables; its kind before a full stop.
    """
    num_letters = num_digits = num_syllables = n = num_capitals = 0
    has_stop = False
    before = NOTHING
    while i < end:
        while i < end and ASCII_SYMBOLS[data[i]] and n < _MOST_LETTERS:  # the common case
            n += 1
            word[n] = ASCII_SYMBOLS[data[i]]
            num_capitals += data[i] < 97
            num_letters += 1
            before = LOWER
            i += 1
        kind, width = kind_at(data, i, end)
        if LOWER <= kind <= UPPER:
            num_letters += 1
            if n < _MOST_LETTERS:
                n += 1
                word[n] = symbol_at(data, i, end)
                num_capitals += kind == UPPER
        elif kind == DIGIT:
            num_digits += 1
        elif kind != NOTHING:
            after, _ = kind_at(data, i + width, end)
            if not _joins(kind, before, after):
                break
            if kind == APOSTROPHE and 0 < n < _MOST_LETTERS:
                n += 1
                word[n] = APOSTROPHE_SYMBOL
            else:
                num_syllables += _close_part(word, n, num_capitals, patterns, memo)[0]
                n = num_capitals = 0
                has_stop = has_stop or kind == STOP
        before = kind
        i += width
    syllables, word_kind = _close_part(word, n, num_capitals, patterns, memo)
    if n == 1 and (has_stop or num_letters + num_digits == 1):
        is_small = num_capitals == 0
        if has_stop:
            word_kind = SHORTENED if is_small and word[1] == _M else TITLE  # a.m.; e.g., U.S.
        else:
            word_kind = SHORTENED if is_small else PLAIN if word[1] == _I else TITLE
    elif n != num_letters:
        word_kind = PLAIN
    return i, num_letters, num_digits, num_syllables + syllables + num_digits, word_kind


@njit(cache=True)
def _count_text(
    data: Bytes,
    span: tuple[int, int],
    word: Bytes,
    patterns: Patterns,
    memo: Memo,
    counts: Counts,
) -> None:
    i, end = span
    num_newlines = 0  # since the last visible character
    sentence_words = 0  # since the last sentence ended
    is_judged = True  # whether a mark after the last word was looked at
    word_kind = PLAIN
    while i < end:
        kind, width = kind_at(data, i, end)
        if LOWER <= kind <= DIGIT:
            i, letters, digits, syllables, word_kind = _read_word(
                data, i, end, word, patterns, memo
            )
            counts[_LETTERS] += letters
            counts[_WORDS] += 1
            counts[_SYLLABLES] += syllables
            sentence_words += 1
            if sentence_words == 1 and (letters == 0 or letters + digits == 1):
                word_kind = TITLE  # the number of a list
            num_newlines = 0
            is_judged = False
            continue
        i += width
        if kind == NEWLINE:
            num_newlines += 1
            if num_newlines == 2 and sentence_words:
                counts[_SENTENCES] += 1
                sentence_words = 0
        elif kind > NEWLINE and kind != NOTHING:
            num_newlines = 0
            if STOP <= kind <= ELLIPSIS and not is_judged:
                is_judged = True
                if sentence_words and _ends_sentence(data, i, end, kind, word_kind):
                    counts[_SENTENCES] += 1
                    sentence_words = 0
    counts[_SENTENCES] += sentence_words > 0


@njit(cache=True, nogil=True)
def count_texts(data: Bytes, offsets: NDArray[np.int64], patterns: Patterns) -> Counts:
    """Counts of the texts data[offsets[i] : offsets[i + 1]].

    Args:
        data: UTF-8.
        patterns: the automaton of `gradatim.difficulty.patterns`.

    Returns:
        Array of shape [num_texts, 5]: bytes, letters, words, sentences, syllables.
    """
    counts = np.zeros((offsets.size - 1, 5), np.int64)
    word = np.zeros(_MOST_LETTERS + 2, np.uint8)
    memo = np.zeros((1 << _MEMO_BITS, 2), np.uint64)
    for text in range(offsets.size - 1):
        span = (offsets[text], offsets[text + 1])
        counts[text, _BYTES] = span[1] - span[0]
        _count_text(data, span, word, patterns, memo, counts[text])
    return counts
