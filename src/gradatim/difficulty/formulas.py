"""Published readability formulas, each a pure function of counts.

A formula takes the counts of one text and gives a number, or None where the text has no word; or
it takes columns of counts and gives a masked float64 column, masked where there is no word
(`pyarrow.array` turns the mask into nulls). There is never a NaN, and nothing is clipped: the
formulas were made for running prose of a hundred words and more, and on lists, code or verse
without full stops they give what they give, an age of 60 years included.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.counts import TextCounts

FloatColumn = np.ma.MaskedArray[Any, np.dtype[np.float64]]
Columns = Mapping[str, NDArray[np.int64]]


class Metric(Protocol):
    """A formula, for one text or for columns."""

    @overload
    def __call__(self, counts: TextCounts) -> float | None: ...

    @overload
    def __call__(self, counts: Columns) -> FloatColumn: ...


def _metric(formula: Callable[[FloatColumn, FloatColumn], FloatColumn]) -> Metric:
    """A formula of words per sentence and syllables per word, as a formula of counts."""

    @overload
    def metric(counts: TextCounts) -> float | None: ...

    @overload
    def metric(counts: Columns) -> FloatColumn: ...

    @functools.wraps(formula)
    def metric(counts: TextCounts | Columns) -> float | FloatColumn | None:
        if isinstance(counts, TextCounts):
            if counts.num_words == 0:
                return None
            return float(metric(_as_columns(counts))[0])
        num_words = counts["num_words"]
        is_empty = num_words == 0
        words_per_sentence = _ratio(num_words, counts["num_sentences"], is_empty)
        return formula(words_per_sentence, _ratio(counts["num_syllables"], num_words, is_empty))

    return metric


def _as_columns(counts: TextCounts) -> Columns:
    return {
        name: np.array([getattr(counts, name)])
        for name in ("num_words", "num_sentences", "num_syllables")
    }


def _ratio(
    numerator: NDArray[np.int64], denominator: NDArray[np.int64], is_empty: NDArray[np.bool_]
) -> FloatColumn:
    return np.ma.MaskedArray(numerator / np.where(is_empty, 1, denominator), is_empty)


@_metric
def flesch_reading_ease(
    words_per_sentence: FloatColumn, syllables_per_word: FloatColumn
) -> FloatColumn:
    """Ease of reading, higher is easier: about 100 for a primer, 30 for scholarly prose.

    206.835 − 1.015 words per sentence − 84.6 syllables per word. R. Flesch, "A new readability
    yardstick", Journal of Applied Psychology 32 (1948). At most 121.22, without a lower end.
    """
    return 206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word


@_metric
def flesch_kincaid_grade(
    words_per_sentence: FloatColumn, syllables_per_word: FloatColumn
) -> FloatColumn:
    """School grade (United States) that a text is written for.

    0.39 words per sentence + 11.8 syllables per word − 15.59. J. P. Kincaid et al., Research
    Branch Report 8-75, Naval Technical Training (1975). At least −3.4, without an upper end.
    """
    return 0.39 * words_per_sentence + 11.8 * syllables_per_word - 15.59


@_metric
def reading_age_years(
    words_per_sentence: FloatColumn, syllables_per_word: FloatColumn
) -> FloatColumn:
    """Age in years of a reader of the Flesch–Kincaid grade: the grade plus 5.

    A child in grade 1 is six years old. At least 1.6, without an upper end.
    """
    return 0.39 * words_per_sentence + 11.8 * syllables_per_word - 15.59 + 5.0


METRICS: dict[str, Metric] = {
    "reading_age": reading_age_years,
    "flesch_kincaid_grade": flesch_kincaid_grade,
    "flesch_reading_ease": flesch_reading_ease,
}
"""Column name → formula."""
