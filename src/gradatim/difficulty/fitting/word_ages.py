"""Learns the ages of words from documents of known reader.

The age of a word is the mean age of the documents that use it, each weighed by the root of the
word's share in it, all levels of a source alike; shrunk towards a rule of frequency and length,
the more the fewer documents have the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gradatim.difficulty.english import english_lexicon, listed_words
from gradatim.difficulty.fitting.sources import ANCHOR_YEARS, INFORMATION_LEVELS, WordUse
from gradatim.difficulty.lexicon import Lexicon
from gradatim.difficulty.word_ages import (
    FREQUENT_ZIPF_CENTI,
    OLDEST_TENTHS,
    YOUNGEST_TENTHS,
    ages_with,
    rule_inputs,
)

Floats = NDArray[np.float64]

_MIN_DOCUMENTS = 3
"""A word with an age of its own is in so many documents."""
_RULE_DOCUMENTS = 5.0
"""The rule's age weighs as much as so many documents."""
_MOST_DOCUMENTS = 30.0
"""Words of so many documents and more weigh alike for the rule."""
_FULL_WORDS = 20_000
"""A document of so many words and more weighs fully."""
_LEAST_DIFFERENCE_TENTHS = 5
"""Nearer to the rule's age a word has none of its own."""
_KIND_SHARE = 0.5
"""So much of the difference in age between information and literature is taken out of the ages of
documents: else words of reports were old because all that informs is written for the old."""
_SOURCE_WEIGHT = {"books": 1.0, "onestop": 0.6, "storybooks": 0.6, "turkcorpus": 0.3}


@dataclass(frozen=True)
class WordAges:
    """Coefficients of the rule, and the words with an age of their own, in tenths of a year."""

    rule: Floats
    own_tenths: dict[str, int]

    @cached_property
    def lexicon(self) -> Lexicon:
        words, zipf_centi = listed_words()
        ages = ages_with(self.rule, self.own_tenths, words, zipf_centi)
        return english_lexicon(words, zipf_centi, ages)


class WordAgeLearner:
    """Documents by words, from which word ages are learned without some of the folds."""

    def __init__(self, uses: Sequence[WordUse]) -> None:
        words, zipf_centi = listed_words()
        index = {w: i for i, w in enumerate(words) if zipf_centi[i] < FREQUENT_ZIPF_CENTI}
        self._words, self._zipf_centi = words, zipf_centi
        self._inputs = rule_inputs(words, zipf_centi)
        self._uses = uses
        rows, columns, rates = [], [], []
        for row, use in enumerate(uses):
            total = use.occurrences.total()
            for word, number in use.occurrences.items():
                if word in index:
                    rows.append(row)
                    columns.append(index[word])
                    rates.append(np.sqrt(number / total))  # a word is no older for its repetition
        shape = (len(uses), len(words))
        self._rates = sparse.csr_matrix((rates, (rows, columns)), shape)
        self._total_words = np.array([use.occurrences.total() for use in uses])

    def learn(self, *, without_folds: Iterable[int] = (), sources: Iterable[str] = ()) -> WordAges:
        """The mean age of the documents that use a word, levels weighing alike, and the rule."""
        keep = np.array(
            [
                use.fold not in set(without_folds) and (not sources or use.source in set(sources))
                for use in self._uses
            ]
        )
        weight = self._document_weights(keep)
        years = self._years_apart_from_kind(weight)
        total = self._rates.T @ weight
        mean_years = (self._rates.T @ (weight * years)) / np.maximum(total, 1e-12)
        num_documents = np.asarray((self._rates[keep] > 0).sum(axis=0)).ravel()
        is_met = (num_documents >= _MIN_DOCUMENTS) & (total > 0)
        root = np.sqrt(np.minimum(num_documents[is_met], _MOST_DOCUMENTS))
        rule, *_ = np.linalg.lstsq(
            self._inputs[is_met] * root[:, None], mean_years[is_met] * root, rcond=None
        )
        rule = np.array([round(number, 4) for number in rule.tolist()])
        by_rule = np.clip(self._inputs @ rule, YOUNGEST_TENTHS / 10, OLDEST_TENTHS / 10)
        share = num_documents / (num_documents + _RULE_DOCUMENTS)
        tenths = np.rint(10 * (share * mean_years + (1 - share) * by_rule)).astype(int)
        differs = np.abs(tenths - 10 * by_rule) >= _LEAST_DIFFERENCE_TENTHS
        return WordAges(
            rule, {self._words[i]: int(tenths[i]) for i in np.flatnonzero(is_met & differs)}
        )

    def _years_apart_from_kind(self, weight: Floats) -> Floats:
        """Ages of the documents, those of information and of literature moved to one another."""
        years = np.array([ANCHOR_YEARS[use.level] for use in self._uses])
        informs = np.array([use.level in INFORMATION_LEVELS for use in self._uses])
        moved = years.copy()
        for kind in (informs, ~informs):
            if weight[kind].any():
                difference = np.average(years[kind], weights=weight[kind])
                difference -= np.average(years, weights=weight)
                moved[kind] -= _KIND_SHARE * difference
        return moved

    def _document_weights(self, keep: NDArray[np.bool_]) -> Floats:
        weight = np.zeros(len(self._uses))
        kinds = [(use.source, use.level) for use in self._uses]
        for source, level in sorted(set(kinds)):
            here = np.array([kind == (source, level) for kind in kinds]) & keep
            if here.any():
                long = np.minimum(1, self._total_words[here] / _FULL_WORDS)
                weight[here] = _SOURCE_WEIGHT[source] * long / long.sum()
        return weight
