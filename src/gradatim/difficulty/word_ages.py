"""The age of a word: about how old the readers are whose books use it.

Learned by `gradatim.difficulty.fitting.reading_age` from books of known reader level and shipped as
`word_ages.json`: some 22,500 words with an age of their own, and a rule of frequency and length
for all others. It is no age of acquisition as psychologists measure it. Function words and other
very frequent ones have no age: they stand in books for readers of all ages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FREQUENT_ZIPF_CENTI = 500
"""Words so frequent or more have no age."""

YOUNGEST_TENTHS, OLDEST_TENTHS = 50, 200
_MOST_LETTERS = 14


def word_ages_tenths(words: Sequence[str], zipf_centi: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ages in tenths of a year, 50 to 200, and 0 for words without one; shape [num_words].

    Args:
        words: in small letters.
        zipf_centi: their frequencies in hundredths of the Zipf scale.
    """
    return ages_with(*_table(), words, zipf_centi)


def ages_with(
    rule: NDArray[np.float64],
    own_tenths: Mapping[str, int],
    words: Sequence[str],
    zipf_centi: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The same by another table: coefficients of `rule_inputs`, and words with their own age."""
    years = rule_inputs(words, zipf_centi) @ rule
    tenths = np.clip(np.rint(10 * years), YOUNGEST_TENTHS, OLDEST_TENTHS).astype(np.int64)
    for i, word in enumerate(words):
        if word in own_tenths:
            tenths[i] = own_tenths[word]
    tenths[zipf_centi >= FREQUENT_ZIPF_CENTI] = 0
    return tenths


def rule_inputs(words: Sequence[str], zipf_centi: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the rule is linear in, [num_words, 5]: one, frequency, length, and where they bend."""
    zipf = zipf_centi / 100
    letters = np.minimum([len(word) for word in words], _MOST_LETTERS).astype(np.float64)
    bends = np.maximum(3 - zipf, 0), np.maximum(letters - 7, 0)
    return np.stack([np.ones_like(zipf), zipf, letters, *bends], axis=1)


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[np.float64], dict[str, int]]:
    file = resources.files("gradatim.difficulty") / "word_ages.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    own = {word: int(tenths) for tenths, words in table["words"].items() for word in words.split()}
    return np.array(table["rule_years"], np.float64), own
