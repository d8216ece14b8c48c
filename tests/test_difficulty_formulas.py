"""The published formulas against their own arithmetic, and against the levels of real books."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gradatim.corpus.documents import read_documents
from gradatim.difficulty.columns import COUNT_NAMES
from gradatim.difficulty.counts import Counts, count_batch
from gradatim.difficulty.formulas import FORMULAS, flesch_kincaid_age, flesch_reading_ease

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

HUNDRED_WORDS = {
    "num_characters": 570,
    "num_spaces": 100,
    "num_letters": 450,
    "num_words": 100,
    "num_sentences": 5,
    "num_syllables": 150,
    "num_polysyllables": 12,
    "num_complex_words": 10,
    "num_long_words": 20,
    "num_unfamiliar_words": 11,
    "num_unfamiliar_names": 3,
    "num_distinct_unfamiliar": 9,
    "num_common_parts": 80,
    "sum_zipf_centi": 80 * 500,
    "zipf_p5_centi": 200,
    "zipf_p10_centi": 300,
}
PUBLISHED = {
    "flesch_reading_ease": 206.835 - 20.3 - 126.9,
    "flesch_kincaid_grade": 7.8 + 17.7 - 15.59,
    "flesch_kincaid_age": 7.8 + 17.7 - 10.59,
    "gunning_fog": 0.4 * (20 + 10),
    "smog": 3.1291 + 1.0430 * 72**0.5,
    "automated_readability_index": 4.71 * 4.7 + 10 - 21.43,
    "coleman_liau": 0.0588 * 450 - 0.296 * 5 - 15.8,
    "linsear_write": (100 + 24) / 5 / 2,
    "new_dale_chall": 0.1579 * 8 + 0.0496 * 20 + 3.6365,
    "lix": 20 + 20,
    "rix": 4,
    "spache": 0.121 * 20 + 0.082 * 9 + 0.659,
    "mtld": 70.0,
    "mattr": 0.8,
    "word_rarity": 4 * np.log2(10),
    "word_rarity_p90": 6 * np.log2(10),
    "word_rarity_p95": 7 * np.log2(10),
}


def counts_of(**named: int) -> Counts:
    whole = [[named.get(name, 0) for name in COUNT_NAMES]]
    return Counts(np.array(whole, np.int64), np.array([[70.0, 0.8]]))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formulas_are_those_published(name: str) -> None:
    assert FORMULAS[name](counts_of(**HUNDRED_WORDS))[0] == pytest.approx(PUBLISHED[name])


def test_the_bends_of_the_formulas_are_where_they_were_published() -> None:
    easy = {**HUNDRED_WORDS, "num_unfamiliar_words": 8, "num_sentences": 10}
    score = FORMULAS["new_dale_chall"](counts_of(**easy))[0]
    assert score == pytest.approx(0.1579 * 5 + 0.0496 * 10)
    grade = FORMULAS["linsear_write"](counts_of(**easy))[0]
    assert grade == pytest.approx((124 / 10 - 2) / 2)


EASIEST = {
    "flesch_reading_ease": 121.22,
    "flesch_kincaid_grade": -3.4,
    "flesch_kincaid_age": 1.6,
    "gunning_fog": 0.4,
    "smog": 3.1291,
    "automated_readability_index": 4.71 + 0.5 - 21.43,
    "coleman_liau": 5.88 - 29.6 - 15.8,
    "linsear_write": -0.5,
    "new_dale_chall": 0.0496,
    "lix": 1.0,
    "rix": 0.0,
}


@pytest.mark.parametrize("name", EASIEST)
def test_the_easiest_text_there_can_be_has_the_documented_end(name: str) -> None:
    value = FORMULAS[name](count_batch(["a\n\na\n\na"]))[0]
    assert value == pytest.approx(EASIEST[name])


@pytest.mark.parametrize("name", FORMULAS)
def test_a_text_without_words_has_no_difficulty(name: str) -> None:
    sentence = "A cat and a dog sat on a mat. " * 10
    column = FORMULAS[name](count_batch(["", sentence, None, "..."]))
    assert column.mask.tolist() == [True, False, True, True]
    assert not np.isnan(column.filled(0)).any()
    assert pa.array(column).null_count == 3


@pytest.mark.parametrize("name", FORMULAS)
def test_a_column_has_the_values_of_its_texts(name: str) -> None:
    texts = ["The cat sat. " * 30, "Incomprehensibility notwithstanding, we persevered. " * 20]
    one_by_one = [FORMULAS[name](count_batch([text]))[0] for text in texts]
    assert FORMULAS[name](count_batch(texts)).tolist() == one_by_one


def test_nothing_is_clipped() -> None:
    (age,) = flesch_kincaid_age(count_batch(["word " * 200]))
    assert age == pytest.approx(0.39 * 200 + 11.8 - 10.59)
    assert flesch_reading_ease(count_batch(["word " * 200]))[0] < 0


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is absent")
def test_grades_rise_with_the_intended_reader_of_real_books() -> None:
    documents = list(read_documents(DATA / "books.parquet"))
    counts = count_batch([document.text for document in documents])
    levels = np.array([document.level for document in documents])
    in_order = ("primer", "child", "youth", "adult", "scholar")
    for name in ("flesch_kincaid_grade", "new_dale_chall", "lix", "coleman_liau"):
        means = [FORMULAS[name](counts)[levels == level].mean() for level in in_order]
        assert means == sorted(means), name
    grades = FORMULAS["flesch_kincaid_grade"](counts)
    means = [grades[levels == level].mean() for level in in_order]
    # Flesch-Kincaid grades of the same books by another program: 1.7, 5.4, 7.6, 8.5, 14.5.
    assert np.allclose(means, [1.7, 5.4, 7.6, 8.5, 14.5], atol=0.7)
