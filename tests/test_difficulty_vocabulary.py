"""Words counted in a corpus, against counting in plain Python."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradatim.difficulty.vocabulary import corpus_rarity, count_words

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
TEXTS = st.lists(st.text("abAB éÉж'’-1. \n😀", max_size=60), max_size=6)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def words_of(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


@given(TEXTS)
@example(["The cat's tail. The CAT’S tale; naïve", "", "1 2 3", "rock 'n' roll"])
def test_words_are_counted_as_in_plain_python(texts: list[str]) -> None:
    expected = Counter(word for text in texts for word in words_of(text))
    hashes, counts = count_words(column(texts))
    assert sorted(counts.tolist()) == sorted(expected.values())
    assert (np.diff(hashes.astype(object)) > 0).all()
    for word, number in expected.items():
        (one,), _ = count_words(column([word]))
        assert counts[np.searchsorted(hashes, one)] == number


@given(TEXTS)
@example(["a b a", "", "a", "zebra"])
def test_rarity_is_the_mean_surprise_of_the_words(texts: list[str]) -> None:
    number = Counter(word for text in texts for word in words_of(text))
    total = max(number.total(), 1)
    found = corpus_rarity(column(texts), *count_words(column(texts)), total).to_pylist()
    for text, value in zip(texts, found, strict=True):
        bits = [-np.log2(number[word] / total) for word in words_of(text)]
        assert value == (pytest.approx(np.mean(bits), abs=1e-5) if bits else None)


def test_a_word_that_was_not_counted_counts_as_one() -> None:
    hashes, counts = count_words(column(["a a a b"]))
    assert corpus_rarity(column(["unseen"]), hashes, counts, 8).to_pylist() == [3.0]


def test_the_rarity_of_a_text_does_not_depend_on_its_neighbours() -> None:
    texts = ["one two three " * k for k in range(50)]
    table = (*count_words(column(texts)), 3675)
    together = corpus_rarity(column(texts), *table).to_pylist()
    assert together == [corpus_rarity(column([text]), *table).to_pylist()[0] for text in texts]
