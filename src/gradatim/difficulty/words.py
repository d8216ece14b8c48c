"""One word of a text: where it ends, what it is made of, what it adds to the counts.

A *word* is a run of letters and digits, held together by single apostrophes, hyphens and points,
and by commas and colons between digits: `don't`, `well-known`, `e.g.`, `3.14`, `10:30` and `1,000`
are one word each. Everything else parts words: spaces, dashes (`--`, en, em), ellipses.
"""

from __future__ import annotations

import numpy as np

from gradatim.difficulty import columns as c
from gradatim.difficulty.characters import (
    APOSTROPHE,
    ASCII_SYMBOLS,
    DIGIT,
    HYPHEN,
    JOINER,
    LOWER,
    NOTHING,
    STOP,
    UPPER,
    Bytes,
    folded,
    kind_at,
    point_at,
    symbol_at,
)
from gradatim.difficulty.compiled import inlined, inner
from gradatim.difficulty.lexicon import (
    KIND_MASK,
    KIND_SHIFT,
    SYLLABLES_MASK,
    begin_hash,
    end_hash,
    extend_hash,
)
from gradatim.difficulty.lookup import (
    Counts,
    Scratch,
    Tables,
    enter,
    is_unfamiliar,
    most_distinct,
    slot_of,
    tally_part,
)
from gradatim.difficulty.syllables import APOSTROPHE_SYMBOL, MOST_LETTERS, PLAIN, SHORTENED, TITLE

_I, _M = 9, 13
_CAPITAL_I, _SMALL_A = ord("I"), ord("a")
_LATIN_END, _LATIN_MORE, _LATIN_MORE_END = 0x250, 0x1E00, 0x1F00
_MAY_GO_ON = np.zeros(256, np.bool_)
"""Bytes after a run of letters that need a second look: the word may go on behind them."""
_MAY_GO_ON[128:] = True
_MAY_GO_ON[[ord(sign) for sign in "0123456789'`-.,:"]] = True
_IS_ALNUM = np.zeros(256, np.bool_)
_IS_ALNUM[[ord(sign) for sign in "0123456789"]] = True
_IS_ALNUM |= ASCII_SYMBOLS > 0


@inlined
def _joins(kind: int, before: int, after: int) -> bool:
    """Whether a sign between two characters holds them together in one word."""
    if kind in (APOSTROPHE, HYPHEN, STOP):
        return LOWER <= after <= DIGIT
    return kind == JOINER and before == DIGIT and after == DIGIT


@inlined
def _syllables_of(known: np.uint64, num_letters: int, is_capitals: bool) -> int:
    """A part without a vowel is spelled if it is in capitals, else spoken as one syllable."""
    syllables = int(known) & SYLLABLES_MASK
    if syllables:
        return syllables
    return num_letters if is_capitals else 1


@inner
def _close_part(
    value: np.uint64, part: tuple[int, int, int], is_name: bool, stamp: np.uint64,
    scratch: Scratch, tables: Tables, tally: Counts,
) -> tuple[int, int, bool]:  # fmt: skip
    """End a part of a word whose letters are in `scratch`; `part` is its letters, capitals, digits.

    Returns:
        Its syllables, digits left out; its kind before a full stop; whether it is unfamiliar.
    """
    n, num_capitals, num_digits = part
    if n == 0:
        return 0, PLAIN, False
    if num_digits:  # 3rd, B2: a number with letters
        return n if num_capitals == n else 1, PLAIN, False
    value = end_hash(value)
    slot, is_new = slot_of(value, stamp, scratch.slots)
    if is_new:
        if tally[c.DISTINCT] >= most_distinct(scratch):
            return 1, PLAIN, False  # one word alone fills the table; the text is begun again
        enter(slot, value, n, stamp, scratch, tables, tally)
    known = tally_part(slot, is_name, scratch, tally)
    syllables = _syllables_of(known, n, num_capitals == n)
    return syllables, int(known) >> KIND_SHIFT & KIND_MASK, is_unfamiliar(known)


@inlined
def _begins_name(data: Bytes, i: int, end: int) -> bool:
    """Whether the word at `i` has one capital, in front; neither `I` nor `I'll` is a name."""
    kind, width = kind_at(data, i, end)
    if kind != UPPER:
        return False
    behind, _ = kind_at(data, i + width, end)
    return behind != UPPER and (behind == LOWER or data[i] != _CAPITAL_I)


@inner
def _read_word(
    data: Bytes, i: int, end: int, is_name: bool, stamp: np.uint64, scratch: Scratch,
    tables: Tables, tally: Counts,
) -> tuple[int, int]:  # fmt: skip
    """Read any word, which begins at `i`, and count it.

    Returns:
        Where it ends, and its kind before a full stop.
    """
    letters = scratch.letters
    value = begin_hash()
    num_letters = num_digits = num_syllables = n = num_capitals = part_digits = 0
    has_stop = is_strange = is_joined = False
    before = NOTHING
    while True:
        kind, width = kind_at(data, i, end)
        if LOWER <= kind <= UPPER:
            num_letters += 1
            num_capitals += kind == UPPER
            symbol = symbol_at(data, i, end)
            if width == 1:
                value = extend_hash(value, symbol)
            else:
                point, _ = point_at(data, i, end)
                value = extend_hash(value, folded(point))
                is_foreign = point >= _LATIN_END and not _LATIN_MORE <= point < _LATIN_MORE_END
                tally[c.FOREIGN] += is_foreign
            if n < MOST_LETTERS:
                n += 1
                letters[n] = symbol
        elif kind == DIGIT:
            num_digits += 1
            part_digits += 1
        else:
            after, _ = kind_at(data, i + width, end)
            if i >= end or not _joins(kind, before, after):
                break
            if kind == APOSTROPHE and 0 < n < MOST_LETTERS:
                tally[c.APOSTROPHES] += 1
                n += 1
                letters[n] = APOSTROPHE_SYMBOL
                value = extend_hash(value, APOSTROPHE_SYMBOL)
            else:
                tally[c.HYPHENS] += kind == HYPHEN
                part = (n, num_capitals, part_digits)
                done = _close_part(value, part, is_name, stamp, scratch, tables, tally)
                num_syllables += done[0]
                is_strange = is_strange or done[2]
                n = num_capitals = part_digits = 0
                value = begin_hash()
                is_joined = True
                has_stop = has_stop or kind == STOP
        before = kind
        tally[c.CHARACTERS] -= width - 1
        i += width
    part = (n, num_capitals, part_digits)
    done = _close_part(value, part, is_name, stamp, scratch, tables, tally)
    is_strange = is_strange or done[2]
    word_kind = done[1] if n == num_letters else PLAIN
    if n == 1 and (has_stop or num_letters + num_digits == 1):
        word_kind = _kind_of_letter(int(letters[1]), has_stop, num_capitals == 0)
    tally[c.DIGITS] += num_digits
    tally[c.NUMBERS] += num_digits > 0
    num_syllables += done[0] + num_digits
    _tally_word(tally, num_letters, num_syllables, is_name, is_strange, is_joined)
    return i, word_kind


@inlined
def _kind_of_letter(letter: int, has_stop: bool, is_small: bool) -> int:
    """Kind of a word that ends in a single letter: a.m.; e.g., U.S.; J. Smith; so do I."""
    if has_stop:
        return SHORTENED if is_small and letter == _M else TITLE
    if is_small:
        return SHORTENED
    return PLAIN if letter == _I else TITLE


@inlined
def _tally_word(
    tally: Counts, num_letters: int, num_syllables: int, is_name: bool, is_strange: bool,
    is_joined: bool,
) -> None:  # fmt: skip
    tally[c.WORDS] += 1
    tally[c.LETTERS] += num_letters
    tally[c.SQUARED_LETTERS] += num_letters * num_letters
    tally[c.LONG] += num_letters > 6
    tally[c.SYLLABLES] += num_syllables
    tally[c.MONOSYLLABLES] += num_syllables == 1
    is_polysyllable = num_syllables >= 3
    tally[c.POLYSYLLABLES] += is_polysyllable
    tally[c.COMPLEX] += is_polysyllable and not is_name and not is_joined
    tally[c.NAMES] += is_name
    tally[c.UNFAMILIAR] += is_strange
    tally[c.UNFAMILIAR_NAMES] += is_strange and is_name


@inlined
def _read_plain_word(
    data: Bytes, start: int, i: int, value: np.uint64, is_name: bool, stamp: np.uint64,
    scratch: Scratch, tables: Tables, tally: Counts,
) -> int:  # fmt: skip
    """Count the word data[start:i] of ASCII letters alone; returns its kind before a full stop."""
    num_letters = i - start
    value = end_hash(value)
    slot, is_new = slot_of(value, stamp, scratch.slots)
    if is_new:
        n = min(num_letters, MOST_LETTERS)
        for k in range(n):
            scratch.letters[k + 1] = ASCII_SYMBOLS[data[start + k]]
        enter(slot, value, n, stamp, scratch, tables, tally)
    known = tally_part(slot, is_name, scratch, tally)
    syllables = int(known) & SYLLABLES_MASK
    if syllables == 0:
        syllables = _spelled(data, start, i)
    _tally_word(tally, num_letters, syllables, is_name, is_unfamiliar(known), False)
    if num_letters == 1:
        return _kind_of_letter(int(ASCII_SYMBOLS[data[start]]), False, data[start] >= _SMALL_A)
    return int(known) >> KIND_SHIFT & KIND_MASK


@inlined
def _spelled(data: Bytes, start: int, i: int) -> int:
    """Syllables of a word without a vowel: one, or its letters if all are capitals."""
    for k in range(start, i):
        if data[k] >= _SMALL_A:
            return 1
    return min(i - start, MOST_LETTERS)


@inlined
def _ends_word(data: Bytes, i: int, end: int) -> bool:
    """Whether a run of letters that ends at `i` is the whole word; at once clear for most."""
    if i >= end or not _MAY_GO_ON[data[i]]:
        return True
    if data[i] >= 128 or _IS_ALNUM[data[i]]:
        return False
    return i + 1 >= end or (data[i + 1] < 128 and not _IS_ALNUM[data[i + 1]])


@inlined
def count_word(
    data: Bytes, start: int, end: int, is_first: bool, is_quoted: bool, stamp: np.uint64,
    scratch: Scratch, tables: Tables, tally: Counts,
) -> tuple[int, int]:  # fmt: skip
    """Count the word that begins at `start`.

    Returns:
        Where it ends, and its kind before a full stop.
    """
    i = start
    value = begin_hash()
    while i < end and ASCII_SYMBOLS[data[i]]:
        value = extend_hash(value, int(ASCII_SYMBOLS[data[i]]))
        i += 1
    is_name = False
    if data[start] < _SMALL_A or data[start] >= 128:
        kind, _ = kind_at(data, start, end)
        tally[c.CAPITALS] += kind == UPPER
        is_name = not is_first and not is_quoted and _begins_name(data, start, end)
    num_letters = tally[c.LETTERS]
    if i > start and _ends_word(data, i, end):
        word_kind = _read_plain_word(data, start, i, value, is_name, stamp, scratch, tables, tally)
    else:
        i, word_kind = _read_word(data, start, end, is_name, stamp, scratch, tables, tally)
    if is_first and (i == start + 1 or tally[c.LETTERS] == num_letters):
        return i, TITLE  # the number of a list
    return i, word_kind
