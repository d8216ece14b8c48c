"""What each character is to the counting kernel, and which letter it stands for.

numba keeps compiled code beside the file of a function and notices changes of that file alone:
after a change here, delete `__pycache__`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.compiled import inlined, inner

Bytes = NDArray[np.uint8]

# Kinds of characters; letters and digits, and the marks that may end a sentence, are ranges.
SPACE, NEWLINE, LOWER, UPPER, DIGIT, APOSTROPHE, HYPHEN, DASH = range(8)
STOP, MARK, ELLIPSIS, CLOSER, OPENER, JOINER, OTHER, NOTHING = range(8, 16)

_A, _G, _I, _O, _Q, _U = 1, 7, 9, 15, 17, 21


def _ascii_kinds() -> Bytes:
    kinds = np.full(128, OTHER, np.uint8)
    groups = {
        SPACE: " \t\r\f\v\x1c\x1d\x1e\x1f",
        NEWLINE: "\n",
        LOWER: "abcdefghijklmnopqrstuvwxyz",
        UPPER: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        DIGIT: "0123456789",
        APOSTROPHE: "'`",
        HYPHEN: "-",
        STOP: ".",
        MARK: "!?",
        CLOSER: '")]}*_',
        OPENER: "([{",
        JOINER: ",:",
    }
    # A bracket that opens also stands before a sentence; one that closes, after it. The straight
    # quote, star and underscore do both, and are looked for in both places.
    for kind, characters in groups.items():
        for character in characters:
            kinds[ord(character)] = kind
    return kinds


_ASCII_KINDS = _ascii_kinds()
ASCII_SYMBOLS = np.zeros(256, np.uint8)
ASCII_SYMBOLS[65:91] = ASCII_SYMBOLS[97:123] = np.arange(1, 27)
# The letters from À to ÿ as plain ones; accented e's as i, a vowel that is never silent.
_LATIN = np.array(
    [
        ord(letter) - 96
        for letter in "aaaaaaisiiiiiiiidnoooooxouuuuytsaaaaaaisiiiiiiiidnoooooxouuuuyty"
    ],
    np.uint8,
)


@inner
def point_at(data: Bytes, i: int, end: int) -> tuple[int, int]:
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


@inlined
def folded(point: int) -> int:
    """A letter outside ASCII as its small one, in Latin, Greek and Cyrillic."""
    if 0xC0 <= point < 0xDF and point != 0xD7:
        return point + 0x20
    if 0x100 <= point < 0x130 or 0x14A <= point < 0x178:
        return point | 1
    if 0x391 <= point < 0x3AA or 0x410 <= point < 0x430:
        return point + 0x20
    return point + 0x50 if 0x400 <= point < 0x410 else point


@inner
def _wide_kind(point: int) -> int:
    """Kind of a character outside ASCII; what is not known to be a sign is a letter.

    Texts come in their plain form (`gradatim.difficulty.plain`), so many never come.
    """
    if point < 0xC0:
        if point in (0x85, 0xA0):
            return SPACE
        return CLOSER if point == 0xBB else OTHER
    if point < 0x100:
        if point in (0xD7, 0xF7):
            return OTHER
        return UPPER if point < 0xDF else LOWER
    if 0x2000 <= point < 0x2070:
        return _general_punctuation(point)
    if 0x2070 <= point < 0x2C00 or 0x1F000 <= point < 0x20000:
        return OTHER  # signs, arrows, boxes, emoji
    if point in (0x3002, 0x061F, 0x0964):
        return MARK
    if point == 0x3000:
        return SPACE
    if 0x2B9 <= point < 0x300 or 0x3001 <= point < 0x3040 or 0xE000 <= point < 0xF900:
        return OTHER  # signs of pronunciation, of Japanese, for private use
    if 0xFFF0 <= point < 0x10000 or point >= 0xE0000:
        return OTHER  # what could not be decoded, first of all
    return LOWER


@inner
def _general_punctuation(point: int) -> int:
    if point <= 0x200A or point in (0x2028, 0x2029, 0x202F, 0x205F):
        return NEWLINE if point in (0x2028, 0x2029) else SPACE
    if 0x2012 <= point <= 0x2015:
        return DASH
    if point in (0x2018, 0x2019):
        return APOSTROPHE
    if point in (0x201D, 0x203A):
        return CLOSER
    if point in (0x201A, 0x201C, 0x201E, 0x2039):
        return OPENER
    if point == 0x2026:
        return ELLIPSIS
    return MARK if 0x203C <= point <= 0x203D else OTHER


@inlined
def kind_at(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """Kind and width of the character at `i`; beyond the end there is blank space."""
    if i >= end:
        return NEWLINE, 1
    if data[i] < 128:
        return int(_ASCII_KINDS[data[i]]), 1
    point, width = point_at(data, i, end)
    return _wide_kind(point), width


@inner
def symbol_at(data: Bytes, i: int, end: int) -> int:
    """The letter at `i` as 1 to 26; of other alphabets all are one consonant."""
    if data[i] < 128:
        return (int(data[i]) | 32) - 96
    point, _ = point_at(data, i, end)
    if 0xC0 <= point < 0x100:
        return int(_LATIN[point - 0xC0])
    if 0x100 <= point <= 0x105:
        return _A
    if 0x112 <= point <= 0x131:
        return _G if 0x11C <= point <= 0x127 else _I
    if 0x14C <= point <= 0x153:
        return _O
    return _U if 0x168 <= point <= 0x173 else _Q
