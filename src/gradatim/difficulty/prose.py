"""Whether a text is running English prose, so that a readability number means something.

Each rule is a threshold on shares of the counts; the first that speaks is the reason. They were
set so that of passages of books, news, encyclopedias, speeches and children's stories fewer than
one in a hundred is refused; the measured shares are on the documentation's page on difficulty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.counts import Counts

Shares = NDArray[np.float64]

FEWEST_WORDS = 10
_MOST_FOREIGN, _MOST_DIGITS, _MOST_SIGNS, _FEWEST_LETTERS = 0.25, 0.20, 0.06, 0.80
_MOST_SENTENCE_WORDS, _FEWEST_LINE_WORDS, _FEWEST_MARKED = 120.0, 4.0, 0.5
_FEWEST_FUNCTION_WORDS, _FEWEST_WORDS_OF_A_LANGUAGE, _FEWEST_LINES = 0.15, 20, 5


def not_prose_reasons(counts: Counts) -> NDArray[Any]:
    """Why each text is not prose: a few words, or None where it is. Shape [num_texts], objects."""
    words = counts["num_words"]
    letters = counts["num_letters"]
    strokes = counts["num_characters"] - counts["num_spaces"]
    signs = counts["num_symbols"] + counts["num_brackets"]
    line_words = _share(words, counts["num_lines"])
    is_marked = _share(counts["num_marked_sentences"], counts["num_sentences"]) >= _FEWEST_MARKED
    is_narrow = (line_words < _FEWEST_LINE_WORDS) & ~is_marked
    is_column = line_words < _FEWEST_LINE_WORDS / 2
    has_lines = counts["num_lines"] >= _FEWEST_LINES
    is_strange = _share(counts["num_function_words"], words) < _FEWEST_FUNCTION_WORDS
    rules: list[tuple[str, NDArray[np.bool_]]] = [
        ("no words", words == 0),
        ("another script", _share(counts["num_foreign_letters"], letters) > _MOST_FOREIGN),
        ("numbers", _share(counts["num_digits"], letters + counts["num_digits"]) > _MOST_DIGITS),
        ("code or markup", _share(signs, strokes) > _MOST_SIGNS),
        ("mostly signs", _share(letters, strokes) < _FEWEST_LETTERS),
        ("fewer than ten words", words < FEWEST_WORDS),
        ("a list", has_lines & (is_narrow | is_column)),
        ("sentences without end", _share(words, counts["num_sentences"]) > _MOST_SENTENCE_WORDS),
        ("not English", is_strange & (words >= _FEWEST_WORDS_OF_A_LANGUAGE)),
    ]
    reasons = np.full(len(counts), None, object)
    for reason, applies in reversed(rules):
        reasons[applies] = reason
    return reasons


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Shares:
    share: Shares = part / np.maximum(whole, 1)
    return share
