"""The published formulas against their own arithmetic, and against the levels of real books."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gradatim.corpus.documents import read_documents
from gradatim.difficulty.counts import TextCounts, count, count_batch
from gradatim.difficulty.formulas import (
    METRICS,
    flesch_kincaid_grade,
    flesch_reading_ease,
    reading_age_years,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
HUNDRED_WORDS = TextCounts(
    num_bytes=560, num_letters=450, num_words=100, num_sentences=5, num_syllables=150
)


def test_the_formulas_are_those_published() -> None:
    assert flesch_reading_ease(HUNDRED_WORDS) == pytest.approx(206.835 - 20.3 - 126.9)
    assert flesch_kincaid_grade(HUNDRED_WORDS) == pytest.approx(7.8 + 17.7 - 15.59)
    assert reading_age_years(HUNDRED_WORDS) == pytest.approx(7.8 + 17.7 - 10.59)


def test_the_easiest_text_there_can_be_has_the_documented_ends() -> None:
    assert flesch_reading_ease(count("Go. Go.")) == pytest.approx(121.22)
    assert flesch_kincaid_grade(count("Go. Go.")) == pytest.approx(-3.4)
    assert reading_age_years(count("Go. Go.")) == pytest.approx(1.6)


@pytest.mark.parametrize("name", METRICS)
def test_a_text_without_words_has_no_difficulty(name: str) -> None:
    assert METRICS[name](count("...")) is None
    column = METRICS[name](count_batch(["", "A cat.", None]))
    assert column.mask.tolist() == [True, False, True]
    assert not np.isnan(column.data).any()
    assert pa.array(column).to_pylist() == [None, METRICS[name](count("A cat.")), None]


@pytest.mark.parametrize("name", METRICS)
def test_a_column_has_the_values_of_its_texts(name: str) -> None:
    texts = ["The cat sat.", "Incomprehensibility notwithstanding, we persevered."]
    assert METRICS[name](count_batch(texts)).tolist() == [METRICS[name](count(t)) for t in texts]


def test_nothing_is_clipped() -> None:
    age = reading_age_years(count("word " * 200))
    assert age == pytest.approx(0.39 * 200 + 11.8 - 10.59)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is absent")
def test_reading_age_rises_with_the_intended_reader_of_real_books() -> None:
    documents = list(read_documents(DATA / "books.parquet"))
    ages = reading_age_years(count_batch([document.text for document in documents]))
    levels = np.array([document.level for document in documents])
    means = [ages[levels == x].mean() for x in ("primer", "child", "youth", "adult", "scholar")]
    assert means == sorted(means)
    # Flesch-Kincaid grades of the same books by another program: 1.7, 5.4, 7.6, 8.5, 14.5.
    assert np.allclose(means, [6.7, 10.4, 12.6, 13.5, 19.5], atol=0.7)
