"""One pass over UTF-8 bytes that counts what a reader of English would count.

What a word is: `gradatim.difficulty.words`; a sentence: `gradatim.difficulty.sentences`; a
syllable: `gradatim.difficulty.syllables`; what the counts are: `gradatim.difficulty.columns`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty import columns as c
from gradatim.difficulty.characters import (
    APOSTROPHE,
    CLOSER,
    DASH,
    DIGIT,
    ELLIPSIS,
    LOWER,
    MARK,
    NEWLINE,
    OPENER,
    STOP,
    Bytes,
    kind_at,
)
from gradatim.difficulty.compiled import inlined, inner
from gradatim.difficulty.diversity import mattr, mtld
from gradatim.difficulty.lexicon import Table
from gradatim.difficulty.lookup import (
    NUM_ZIPF_BINS,
    ZIPF_BIN_CENTI,
    Counts,
    Scratch,
    Tables,
    most_distinct,
    zipf_percentile,
)
from gradatim.difficulty.sentences import ends_sentence
from gradatim.difficulty.syllables import MOST_LETTERS, PLAIN, Patterns
from gradatim.difficulty.words import count_word
from gradatim.numba_cache import KEPT

_FEWEST_SLOTS = 2048
_LINE, _PARAGRAPH, _SENTENCE = range(3)
NUM_COUNTS, NUM_MEASURES = len(c.COUNT_NAMES), len(c.MEASURE_NAMES)


def _sign_columns() -> NDArray[np.int64]:
    """By ASCII byte outside words, the column that counts it."""
    columns = np.full(128, c.SYMBOLS)
    groups = {
        c.STOPS: ".", c.QUESTIONS: "?", c.EXCLAMATIONS: "!", c.COMMAS: ",", c.SEMICOLONS: ";",
        c.COLONS: ":", c.QUOTES: "\"'`", c.BRACKETS: "()[]", c.DASHES: "-",
    }  # fmt: skip
    for column, signs in groups.items():
        columns[[ord(sign) for sign in signs]] = column
    return columns


_SIGN_COLUMNS = _sign_columns()


@inlined
def _tally_sign(data: Bytes, i: int, begin: int, kind: int, tally: Counts) -> None:
    """Count a sign outside words; three points in a row are one ellipsis, two hyphens one dash."""
    byte = data[i]
    if byte < 128:
        column = _SIGN_COLUMNS[byte]
        if column in (c.DASHES, c.STOPS) and i > begin and data[i - 1] == byte:
            if column == c.STOPS and (i - 1 == begin or data[i - 2] != byte):
                tally[c.STOPS] -= 1
                tally[c.ELLIPSES] += 1
            return
        tally[column] += 1
    elif kind in (CLOSER, OPENER, APOSTROPHE):
        tally[c.QUOTES] += 1
    elif kind == MARK:
        tally[c.STOPS] += 1
    elif kind == DASH:
        tally[c.DASHES] += 1
    elif kind == ELLIPSIS:
        tally[c.ELLIPSES] += 1
    else:
        tally[c.SYMBOLS] += 1


@inlined
def _end_line(tally: Counts, since: Counts, num_newlines: int) -> None:
    """Count the line, paragraph and sentence that end at the given newline in a row."""
    num_words = tally[c.WORDS]
    tally[c.LINES] += num_words > since[_LINE]
    since[_LINE] = num_words
    if num_newlines >= 2:
        tally[c.PARAGRAPHS] += num_words > since[_PARAGRAPH]
        since[_PARAGRAPH] = num_words
        _end_sentence(tally, since, False)


@inlined
def _end_sentence(tally: Counts, since: Counts, is_marked: bool) -> None:
    """Count the sentence that ends here, if a word has come since the last one ended."""
    num_words = tally[c.WORDS] - since[_SENTENCE]
    since[_SENTENCE] = tally[c.WORDS]
    tally[c.SENTENCES] += num_words > 0
    tally[c.MARKED] += num_words > 0 and is_marked
    tally[c.SQUARED_WORDS] += num_words * num_words
    tally[c.MAX_WORDS] = max(tally[c.MAX_WORDS], num_words)


@inner
def _count_text(
    data: Bytes, begin: int, end: int, stamp: np.uint64, scratch: Scratch, tables: Tables,
    tally: Counts,
) -> bool:  # fmt: skip
    """Count one text; False if its distinct words were too many for the table."""
    since = scratch.since
    since[:] = 0
    tally[c.BYTES] = tally[c.CHARACTERS] = end - begin
    i = begin
    num_newlines = 0  # since the last visible character
    is_judged = True  # whether a mark after the last word was looked at
    is_quoted = False  # whether an opening sign stood before
    word_kind = PLAIN
    while i < end:
        kind, width = kind_at(data, i, end)
        if LOWER <= kind <= DIGIT:
            is_first = tally[c.WORDS] == since[_SENTENCE]
            i, word_kind = count_word(
                data, i, end, is_first, is_quoted, stamp, scratch, tables, tally
            )
            if tally[c.DISTINCT] >= most_distinct(scratch):
                return False
            num_newlines = 0
            is_judged = is_quoted = False
            continue
        tally[c.CHARACTERS] -= width - 1
        tally[c.SPACES] += kind <= NEWLINE
        if kind == NEWLINE:
            num_newlines += 1
            _end_line(tally, since, num_newlines)
        elif kind > NEWLINE:
            num_newlines = 0
            is_quoted = kind in (OPENER, CLOSER, APOSTROPHE)
            _tally_sign(data, i, begin, kind, tally)
            if STOP <= kind <= ELLIPSIS and not is_judged:
                is_judged = True
                if ends_sentence(data, i + width, end, kind, word_kind):
                    _end_sentence(tally, since, True)
        i += width
    _end_line(tally, since, 2)
    return True


@inner
def _summarise(scratch: Scratch, tally: Counts) -> None:
    """Frequencies of the text's common parts, from their bins."""
    bins = scratch.zipf
    tally[c.BELOW_3] = bins[: 300 // ZIPF_BIN_CENTI].sum()
    tally[c.BELOW_4] = bins[: 400 // ZIPF_BIN_CENTI].sum()
    tally[c.BELOW_5] = bins[: 500 // ZIPF_BIN_CENTI].sum()
    tally[c.ZIPF_P5] = zipf_percentile(bins, tally[c.COMMON], 0.05)
    tally[c.ZIPF_P10] = zipf_percentile(bins, tally[c.COMMON], 0.10)
    tally[c.ZIPF_P25] = zipf_percentile(bins, tally[c.COMMON], 0.25)
    tally[c.ZIPF_P50] = zipf_percentile(bins, tally[c.COMMON], 0.50)
    bins[:] = 0


@njit(cache=KEPT)
def _make_scratch(num_slots: int, most_bytes: int) -> Scratch:
    return Scratch(
        np.zeros(MOST_LETTERS + 2, np.uint8),
        np.zeros((num_slots, 4), np.uint64),
        np.empty(most_bytes // 2 + 1, np.int32),
        np.empty(num_slots, np.int32),
        np.empty(num_slots, np.int32),
        np.zeros(NUM_ZIPF_BINS, np.int64),
        np.zeros(3, np.int64),
    )


@njit(cache=KEPT, nogil=True)
def count_texts(
    data: Bytes, offsets: NDArray[np.int64], patterns: Patterns, lexicon: Table, shift: np.uint64
) -> tuple[Counts, NDArray[np.float64]]:
    """Counts of the texts data[offsets[i] : offsets[i + 1]].

    Args:
        data: UTF-8.
        patterns: the automaton of `gradatim.difficulty.patterns`.
        lexicon: the table of `gradatim.difficulty.lexicon`, and its shift.

    Returns:
        Whole numbers of shape [num_texts, len(COUNT_NAMES)], and real ones of shape
        [num_texts, len(MEASURE_NAMES)], NaN where there is none.
    """
    num_texts = offsets.size - 1
    counts = np.zeros((num_texts, NUM_COUNTS), np.int64)
    measures = np.empty((num_texts, NUM_MEASURES), np.float64)
    tables = Tables(patterns, lexicon, shift)
    most_bytes = 0
    for text in range(num_texts):
        most_bytes = max(most_bytes, offsets[text + 1] - offsets[text])
    scratch = _make_scratch(_FEWEST_SLOTS, most_bytes)
    for text in range(num_texts):
        begin, end = offsets[text], offsets[text + 1]
        tally = counts[text]
        while not _count_text(data, begin, end, np.uint64(text + 1), scratch, tables, tally):
            tally[:] = 0
            scratch = _make_scratch(4 * scratch.slots.shape[0], most_bytes)
        _summarise(scratch, tally)
        measures[text, 0] = mtld(scratch.ids, tally[c.PARTS], scratch.seen)
        measures[text, 1] = mattr(scratch.ids, tally[c.PARTS], scratch.occurrences)
    return counts, measures
