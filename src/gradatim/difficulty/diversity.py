"""Lexical diversity of a text from the numbers of its words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.compiled import inner

MTLD_THRESHOLD_PERCENT = 72
MATTR_WINDOW_WORDS = 50

Ids = NDArray[np.int32]


@inner
def _factors(ids: Ids, num_words: int, step: int, segment: int, seen: Ids) -> tuple[float, int]:
    """How many factors the words make, read forwards (step 1) or backwards (−1)."""
    at = 0 if step == 1 else num_words - 1
    num_factors = 0.0
    num_types = 0
    length = 0
    for _ in range(num_words):
        word = np.uint32(ids[at])
        num_types += seen[word] != segment  # without a branch: it would be a coin toss
        seen[word] = segment
        length += 1
        if 100 * num_types < MTLD_THRESHOLD_PERCENT * length:
            num_factors += 1.0
            num_types = 0
            length = 0
            segment += 1
        at += step
    if length:
        num_factors += (1.0 - num_types / length) / (1.0 - MTLD_THRESHOLD_PERCENT / 100)
    return num_factors, segment + 1


@inner
def mtld(ids: Ids, num_words: int, seen: Ids) -> float:
    """Measure of textual lexical diversity: mean words a factor, both ways; NaN without a factor.

    A factor is a run of words whose type–token ratio falls below 0.72; the rest counts in part.
    P. M. McCarthy and S. Jarvis, "MTLD, vocd-D, and HD-D", Behavior Research Methods 42 (2010).

    Args:
        ids: number of each running word.
        num_words: how many of `ids` count.
        seen: scratch by number of word, all 0.
    """
    forwards, segment = _factors(ids, num_words, 1, 1, seen)
    backwards, _ = _factors(ids, num_words, -1, segment, seen)
    if forwards <= 0.0 or backwards <= 0.0:
        return np.nan
    return 0.5 * (num_words / forwards + num_words / backwards)


@inner
def mattr(ids: Ids, num_words: int, occurrences: Ids) -> float:
    """Moving-average type–token ratio over windows of 50 words; NaN for a shorter text.

    M. A. Covington and J. D. McFall, "Cutting the Gordian knot: the moving-average type–token
    ratio (MATTR)", Journal of Quantitative Linguistics 17 (2010).

    Args:
        ids: number of each running word.
        num_words: how many of `ids` count.
        occurrences: scratch by number of word, all 0.
    """
    if num_words < MATTR_WINDOW_WORDS:
        return np.nan
    num_types = 0
    for i in range(MATTR_WINDOW_WORDS):
        word = np.uint32(ids[i])
        num_types += occurrences[word] == 0
        occurrences[word] += 1
    sum_types = num_types
    for i in range(MATTR_WINDOW_WORDS, num_words):
        word, left = np.uint32(ids[i]), np.uint32(ids[i - MATTR_WINDOW_WORDS])
        num_types += occurrences[word] == 0
        occurrences[word] += 1
        occurrences[left] -= 1
        num_types -= occurrences[left] == 0
        sum_types += num_types
    windows = num_words - MATTR_WINDOW_WORDS + 1
    return float(sum_types / (windows * MATTR_WINDOW_WORDS))
