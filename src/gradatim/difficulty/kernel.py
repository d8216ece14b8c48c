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

_BYTES, _LETTERS, _WORDS, _SENTENCES, _SYLLABLES = range(5)

PLAIN, TITLE, SHORTENED = 0, 1, 2
"""Kinds of words before a full stop: any; ends no sentence; ends one if a capital follows."""

# Kinds of characters; letters and digits, and the marks that may end a sentence, are ranges.
_SPACE, _NEWLINE, _LOWER, _UPPER, _DIGIT, _APOSTROPHE, _HYPHEN, _DASH = range(8)
_STOP, _MARK, _ELLIPSIS, _CLOSER, _OPENER, _JOINER, _OTHER, _NOTHING = range(8, 16)

# Letters of a word in the buffer: a = 1 … z = 26, apostrophe 27; 0 stands at both borders.
BORDER = 0
_A, _C, _D, _E, _G, _H, _I, _L = 1, 3, 4, 5, 7, 8, 9, 12
_M, _O, _Q, _R, _S, _T, _U, _X, _Y, _Z = 13, 15, 17, 18, 19, 20, 21, 24, 25, 26
APOSTROPHE = 27
NUM_SYMBOLS = 28
CHANGE, KIND = 30, 31  # columns of the automaton; the change is stored with 128 added
CHANGE_ZERO = 128
_MOST_LETTERS = 62  # a longer run of letters is no word of English: its beginning is counted
_MEMO_LETTERS = 12  # as many as fit into 64 bits
_MEMO_BITS = 13

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]
Patterns = NDArray[np.uint16]
"""By state one row of 32, which is a cache line: the next state by symbol, and two values."""
Memo = NDArray[np.uint64]
"""By slot: the letters of a word, 5 bits each, and its syllables and kind."""


def _ascii_kinds() -> Bytes:
    kinds = np.full(128, _OTHER, np.uint8)
    groups = {
        _SPACE: " \t\r\f\v\x1c\x1d\x1e\x1f\x00",
        _NEWLINE: "\n",
        _LOWER: "abcdefghijklmnopqrstuvwxyz",
        _UPPER: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        _DIGIT: "0123456789",
        _APOSTROPHE: "'",
        _HYPHEN: "-",
        _STOP: ".",
        _MARK: "!?",
        _CLOSER: '")]}*_',
        _OPENER: "([{",
        _JOINER: ",:",
    }
    # A bracket that opens also stands before a sentence; one that closes, after it. The straight
    # quote, star and underscore do both, and are looked for in both places.
    for kind, characters in groups.items():
        for character in characters:
            kinds[ord(character)] = kind
    return kinds


_ASCII_KINDS = _ascii_kinds()
_ASCII_SYMBOLS = np.zeros(256, np.uint8)
_ASCII_SYMBOLS[65:91] = _ASCII_SYMBOLS[97:123] = np.arange(1, 27)
_IS_VOWEL = np.isin(np.arange(NUM_SYMBOLS), [_A, _E, _I, _O, _U, _Y])
# The letters from À to ÿ as plain ones; accented e's as i, a vowel that is never silent.
_LATIN = np.array(
    [
        ord(letter) - 96
        for letter in "aaaaaaisiiiiiiiidnoooooxouuuuytsaaaaaaisiiiiiiiidnoooooxouuuuyty"
    ],
    np.uint8,
)


@njit(cache=True)
def _character(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """Code point and width at `i`; a broken sequence is taken as single bytes."""
    first = int(data[i])
    if first < 0x80:
        return first, 1
    if first < 0xE0 and i + 1 < end:
        return (first & 0x1F) << 6 | (data[i + 1] & 0x3F), 2
    if first < 0xF0 and i + 2 < end:
        return (first & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F), 3
    if i + 3 < end:
        high = (first & 0x07) << 18 | (data[i + 1] & 0x3F) << 12
        return high | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F), 4
    return first, 1


@njit(cache=True)
def _wide_kind(point: int) -> int:
    """Kind of a character outside ASCII; what is not known to be a sign is a letter."""
    if point < 0xC0:
        if point in (0x85, 0xA0):
            return _SPACE
        if point in (0xAA, 0xB5, 0xBA):
            return _LOWER
        return _NOTHING if point == 0xAD else _CLOSER if point == 0xBB else _OTHER
    if point < 0x100:
        if point in (0xD7, 0xF7):
            return _OTHER
        return _UPPER if point < 0xDF else _LOWER
    if 0x300 <= point < 0x370 or 0x200B <= point < 0x2010 or 0xFE00 <= point < 0xFE10:
        return _NOTHING  # combining marks, zero widths, variation selectors
    if 0x2000 <= point < 0x2070:
        return _general_punctuation(point)
    if 0x2070 <= point < 0x2C00 or 0x1F000 <= point < 0x20000:
        return _OTHER  # signs, arrows, boxes, emoji
    if point in (0x3002, 0xFF01, 0xFF0E, 0xFF1F, 0x061F, 0x0964):
        return _MARK
    if point == 0x3000:
        return _SPACE
    if 0x3001 <= point < 0x3040 or 0xFF02 <= point < 0xFF10 or 0xE000 <= point < 0xF900:
        return _OTHER
    return _LOWER


@njit(cache=True)
def _general_punctuation(point: int) -> int:
    if point <= 0x200A or point in (0x2028, 0x2029, 0x202F, 0x205F):
        return _NEWLINE if point in (0x2028, 0x2029) else _SPACE
    if point in (0x2010, 0x2011):
        return _HYPHEN
    if 0x2012 <= point <= 0x2015:
        return _DASH
    if point == 0x2019:
        return _APOSTROPHE
    if point in (0x201D, 0x203A):
        return _CLOSER
    if point in (0x2018, 0x201A, 0x201C, 0x201E, 0x2039):
        return _OPENER
    if point == 0x2026:
        return _ELLIPSIS
    return _MARK if 0x203C <= point <= 0x203D else _OTHER


@njit(cache=True)
def _kind_at(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """Kind and width of the character at `i`; beyond the end there is blank space."""
    if i >= end:
        return _NEWLINE, 1
    if data[i] < 128:
        return int(_ASCII_KINDS[data[i]]), 1
    point, width = _character(data, i, end)
    return _wide_kind(point), width


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
        The kind of the next letter, digit or other sign, or _NEWLINE where the paragraph ends, or
        _NOTHING where no space parts it from the mark; the number of further marks; and whether a
        closing quote or bracket followed the mark.
    """
    num_more = 0
    num_newlines = 0
    is_parted = False
    is_closed = False
    while i < end:
        kind, width = _kind_at(data, i, end)
        if kind == _NEWLINE:
            num_newlines += 1
            if num_newlines > 1:
                return _NEWLINE, num_more, is_closed
        elif _STOP <= kind <= _ELLIPSIS:
            num_more += 1
            num_newlines = 0
        elif kind in (_CLOSER, _APOSTROPHE) and not is_parted:
            is_closed = True
        elif kind not in (_SPACE, _CLOSER, _OPENER, _APOSTROPHE, _NOTHING, _DASH, _HYPHEN):
            return kind if is_parted else _NOTHING, num_more, is_closed
        is_parted = is_parted or kind in (_SPACE, _NEWLINE, _DASH, _HYPHEN)
        i += width
    return _NEWLINE, num_more, is_closed


@njit(cache=True)
def _ends_sentence(data: Bytes, i: int, end: int, mark: int, word_kind: int) -> bool:
    """Whether the mark that ends at `i`, after a word of that kind, ends its sentence."""
    following, num_more, is_closed = _look_ahead(data, i, end)
    if following == _NEWLINE:
        return True
    if following == _NOTHING:
        return False
    is_plain_stop = mark == _STOP and num_more == 0
    if is_plain_stop and word_kind == TITLE:
        return False
    if is_plain_stop and word_kind == SHORTENED:
        return following == _UPPER
    if following == _LOWER:
        return is_plain_stop and not is_closed
    return True


@njit(cache=True)
def _symbol(data: Bytes, i: int, end: int) -> int:
    """The letter at `i` as 1 to 26; of other alphabets all are one consonant."""
    if data[i] < 128:
        return (int(data[i]) | 32) - 96
    point, _ = _character(data, i, end)
    if 0xC0 <= point < 0x100:
        return int(_LATIN[point - 0xC0])
    if 0x100 <= point <= 0x105:
        return _A
    if 0x112 <= point <= 0x131:
        return _G if 0x11C <= point <= 0x127 else _I
    if 0x14C <= point <= 0x153:
        return _O
    return _U if 0x168 <= point <= 0x173 else _Q


@njit(cache=True)
def _joins(kind: int, before: int, after: int) -> bool:
    """Whether a sign between two characters holds them together in one word."""
    if kind in (_APOSTROPHE, _HYPHEN, _STOP):
        return _LOWER <= after <= _DIGIT
    return kind == _JOINER and before == _DIGIT and after == _DIGIT


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
    before = _NOTHING
    while i < end:
        while i < end and _ASCII_SYMBOLS[data[i]] and n < _MOST_LETTERS:  # the common case
            n += 1
            word[n] = _ASCII_SYMBOLS[data[i]]
            num_capitals += data[i] < 97
            num_letters += 1
            before = _LOWER
            i += 1
        kind, width = _kind_at(data, i, end)
        if _LOWER <= kind <= _UPPER:
            num_letters += 1
            if n < _MOST_LETTERS:
                n += 1
                word[n] = _symbol(data, i, end)
                num_capitals += kind == _UPPER
        elif kind == _DIGIT:
            num_digits += 1
        elif kind != _NOTHING:
            after, _ = _kind_at(data, i + width, end)
            if not _joins(kind, before, after):
                break
            if kind == _APOSTROPHE and 0 < n < _MOST_LETTERS:
                n += 1
                word[n] = APOSTROPHE
            else:
                num_syllables += _close_part(word, n, num_capitals, patterns, memo)[0]
                n = num_capitals = 0
                has_stop = has_stop or kind == _STOP
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
        kind, width = _kind_at(data, i, end)
        if _LOWER <= kind <= _DIGIT:
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
        if kind == _NEWLINE:
            num_newlines += 1
            if num_newlines == 2 and sentence_words:
                counts[_SENTENCES] += 1
                sentence_words = 0
        elif kind > _NEWLINE and kind != _NOTHING:
            num_newlines = 0
            if _STOP <= kind <= _ELLIPSIS and not is_judged:
                is_judged = True
                if sentence_words and _ends_sentence(data, i, end, kind, word_kind):
                    counts[_SENTENCES] += 1
                    sentence_words = 0
    counts[_SENTENCES] += sentence_words > 0


@njit(cache=True)
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
