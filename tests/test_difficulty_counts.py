"""Words, sentences and syllables against counts made by hand, and against a dictionary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wordfreq import zipf_frequency

from gradatim.difficulty import english
from gradatim.difficulty.columns import COUNT_NAMES, MEASURE_NAMES
from gradatim.difficulty.counts import count, count_batch
from gradatim.difficulty.fitting.syllables import count_words, learn_patterns, read_pronunciations
from gradatim.difficulty.lexicon import ZIPF_OF_UNKNOWN_CENTI
from gradatim.difficulty.plain import plain_texts

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DICTIONARY = DATA / "nltk_data" / "corpora" / "cmudict.zip"

# Text, words, sentences: counted by hand.
WORDS_AND_SENTENCES = [
    ("The cat sat on the mat.", 6, 1),
    ("Line one\nline two\nline three.", 6, 1),
    ("Wait... What? No!", 3, 3),
    ("Is it so?! Yes.", 4, 2),
    # titles, initials, abbreviations, list numbers
    ("Mr. Smith met Dr. J. R. Brown at 3.30 p.m. on Sunday.", 12, 1),
    ("He left at 5 p.m. She stayed.", 7, 2),
    ("She lives with the U.S. Army. It's well-known.", 8, 2),
    ("Apples, pears, etc. are fruit. Plums, etc. They are sweet.", 10, 3),
    ("St. Paul's is old; e.g. see vol. 2, pp. 3-4.", 10, 1),
    ("No. 5 is alive. I said no. He left.", 9, 3),
    ("It was I. Then he came.", 6, 2),
    ("1. Wash the pan. 2. Dry it.", 7, 2),
    # decimals, thousands, times
    ("It cost $3.50, i.e. more than $1,000.75 in all... and so it went.", 13, 1),
    ("Meet at 10:30, room 3.", 5, 1),
    ("Red,green and blue:all.", 5, 1),
    # quotations
    ('"Where are you?" he asked. "Here," she said.', 8, 2),
    ('"Go away!" cried Tom. "Now."', 5, 2),
    ("He said, “I can’t.” Then he left.", 7, 2),
    ("“Stop!”—“Never!” (He ran.) So…", 5, 4),
    ("Oh! what a day.", 4, 1),
    # dashes, ellipses, hyphens
    ("home--and away—at last", 5, 1),
    ("Look . . . there it is . . . gone.", 5, 1),
    ("My mother-in-law's re-entry", 3, 1),
    ("rock 'n' roll, the boys' 'best'", 6, 1),
    # headings and paragraphs
    ("THE END\n\nOnce upon a time there was a king", 10, 2),
    ("LESSON I.\n \t\nThe dog.", 4, 2),
    ("one\n\n\n\ntwo\r\n\r\nthree", 3, 3),
    # without capitals
    ("he ran. she sat. they ate.", 6, 3),
    # nothing to count
    ("", 0, 0),
    (" \n\n ", 0, 0),
    ("... -- !!! ???", 0, 0),
    ("😀 🎉!", 0, 0),
    ("a\u0301b x\u00adyz", 2, 1),
]


@pytest.mark.parametrize(("text", "num_words", "num_sentences"), WORDS_AND_SENTENCES)
def test_words_and_sentences_are_those_counted_by_hand(
    text: str, num_words: int, num_sentences: int
) -> None:
    counts = count(text)
    assert (counts["num_words"], counts["num_sentences"]) == (num_words, num_sentences)


SYLLABLES = {
    1: "the THE walked makes whole yes I'll don't queen fled eyes hmm I",
    2: "people table little create science quiet wanted roses evening something business didn't "
    "couldn't o'clock James's café NATO Mr Mrs beyond poem being hundred sacred well-known TV 25",
    3: "beautiful idea created area BBC McDonald",
    4: "1914 January",
    5: "university",
    6: "re-evaluated",
}


@pytest.mark.parametrize(
    ("word", "num_syllables"),
    [(word, number) for number, words in SYLLABLES.items() for word in words.split()],
)
def test_syllables_are_those_counted_by_hand(word: str, num_syllables: int) -> None:
    assert count(word)["num_syllables"] == num_syllables


def test_a_passage_counted_by_hand() -> None:
    text = (
        "“It is a truth,” said Mr. Bell, “that 2.5 cats can't out-run a dog.” Nobody laughed.\n\n"
        "He bowed... and left!"
    )
    counts = count(text)
    assert counts["num_bytes"] == len(text.encode())
    assert counts["num_words"] == 20
    assert counts["num_sentences"] == 3
    # It is a truth said Mr.(2) Bell that 2.5(2) cats can't out-run(2) a dog nobody(3) laughed
    # he bowed and left
    assert counts["num_syllables"] == 20 + 1 + 1 + 1 + 2
    assert counts["num_letters"] == 69


def test_letters_of_other_alphabets_are_letters() -> None:
    assert count("Привет мир")["num_letters"] == 9
    assert count("Привет мир")["num_words"] == 2
    assert count("naïve Ærø")["num_letters"] == 8


def test_a_column_a_slice_and_a_list_give_the_same_counts() -> None:
    texts = ["One two.", None, "", "Thrée — four? Five!", "x" * 100]
    expected = count_batch(texts)
    assert expected["num_words"].tolist() == [2, 0, 0, 3, 1]
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(["padding", *texts], kind)[1:]
        chunked = pa.chunked_array([array[:2], array[2:2], array[2:]])
        dictionary = array.dictionary_encode()
        for column in (array, chunked, dictionary):
            counts = count_batch(column)
            assert counts.whole.tolist() == expected.whole.tolist()
            assert np.array_equal(counts.measures, expected.measures, equal_nan=True)
    assert count_batch([])["num_words"].tolist() == []
    assert count_batch(pa.chunked_array([], pa.string()))["num_words"].tolist() == []


ODD_TEXTS = st.one_of(
    st.text(max_size=200),
    st.text("aE.!?…'’\"-—(), \n1é語\u0301\x00", max_size=200),
    st.text(st.sampled_from("Mr.aeiouy "), max_size=200),
)


@settings(deadline=None)  # the first call may compile
@given(st.lists(ODD_TEXTS, max_size=5))
@example(["", "\n", "a" * 1000, "'" * 70, "a'" * 70, "\x00"])
def test_any_text_has_possible_counts(texts: list[str]) -> None:
    counts = count_batch(texts)
    for i, text in enumerate(texts):
        one = count(text)
        plain = plain_texts(pa.array([text], pa.large_string()))[0].as_py()
        assert counts.row(i) == one
        assert min(one.values()) >= 0
        assert one["num_bytes"] == len(text.encode())
        assert one["num_characters"] == len(plain)
        assert (one["num_words"] == 0) == (one["num_sentences"] == 0)
        assert one["num_sentences"] <= one["num_words"] <= one["num_syllables"]
        assert one["num_words"] <= len(plain)
        assert one["num_marked_sentences"] <= one["num_sentences"]
        assert one["max_sentence_words"] ** 2 <= one["sum_squared_sentence_words"]
        assert one["num_lines"] <= one["num_words"] >= one["num_paragraphs"]
        assert one["num_distinct_parts"] <= one["num_parts"]
        assert one["num_common_parts"] <= one["num_parts"]
        percentiles = [one[f"zipf_p{p}_centi"] for p in (5, 10, 25, 50)]
        assert percentiles == sorted(percentiles)
    assert not (counts.measures[:, 1] > 1).any()


ADDED = [
    name
    for name in COUNT_NAMES
    if "distinct" not in name and "zipf_p" not in name and not name.startswith("max_")
]
"""Counts of two paragraphs are the sums of theirs; the blank line is two spaces."""


@settings(deadline=None)  # the first call may compile
@given(ODD_TEXTS, ODD_TEXTS)
def test_counts_of_two_paragraphs_are_the_sums(first: str, second: str) -> None:
    both, one, other = count_batch([f"{first}\n\n{second}", first, second]).whole.tolist()
    for name, of_both, of_one, of_other in zip(COUNT_NAMES, both, one, other, strict=True):
        blanks = 2 * (name in ("num_bytes", "num_characters", "num_spaces"))
        if name in ADDED:
            assert of_both == of_one + of_other + blanks, name


COUNTED_BY_HAND = (
    "“Mr. Bell’s well-known dogs, Rex and Bo, ran; I ran too!” said Ann (aged 3)...\n"
    "Was it: “Over”?\n\n"
    "* The BBC paid $5 -- 5% each -- for naïve Æsop."
)
BY_HAND = {
    "num_characters": 143,
    "num_lines": 3,
    "num_paragraphs": 2,
    "num_words": 27,
    "num_sentences": 3,
    "num_marked_sentences": 3,
    "num_long_words": 1,  # well-known
    "num_names": 5,  # Bell’s Rex Bo Ann Æsop; Mr. and Over are quoted, BBC is all capitals
    "num_numbers": 3,
    "max_sentence_words": 15,
    "num_stops": 2,  # Mr. and the last
    "num_questions": 1,
    "num_exclamations": 1,
    "num_commas": 2,
    "num_semicolons": 1,
    "num_colons": 1,
    "num_quotes": 4,
    "num_brackets": 2,
    "num_dashes": 2,
    "num_ellipses": 1,
    "num_symbols": 3,  # * $ %
    "num_hyphens": 1,
    "num_apostrophes": 1,
    "num_digits": 3,
    "num_parts": 25,  # 27 words, one of two parts, less three numbers
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_other_counts_are_those_counted_by_hand(name: str) -> None:
    assert count(COUNTED_BY_HAND)[name] == BY_HAND[name]


def test_common_words_are_no_names_no_numbers_and_known_by_their_frequency() -> None:
    counts = count("The dog saw Rex on 3 qzxv dogs.")
    assert counts["num_common_parts"] == 6
    assert counts["num_unlisted_parts"] == 1
    zipf = [round(100 * zipf_frequency(word, "en")) for word in ["the", "dog", "saw", "on", "dogs"]]
    assert counts["sum_zipf_centi"] == sum(zipf) + ZIPF_OF_UNKNOWN_CENTI
    assert counts["sum_squared_zipf_centi"] == sum(z * z for z in zipf) + ZIPF_OF_UNKNOWN_CENTI**2
    assert counts["sum_name_zipf_centi"] == round(100 * zipf_frequency("rex", "en"))
    assert counts["num_below_zipf_3"] == 1
    assert count("a dog's tail")["num_unlisted_parts"] == 0
    assert count("a kittiwake's tail")["num_unlisted_parts"] == 0  # known by its stem


def test_low_percentiles_of_frequency_are_those_of_the_words() -> None:
    zipf = [zipf_frequency(word, "en") for word in DIVERSE_WORDS]
    counts = count(DIVERSE)
    for percent in (5, 10, 25, 50):
        exact = float(np.quantile(zipf, percent / 100, method="inverted_cdf"))
        assert counts[f"zipf_p{percent}_centi"] == pytest.approx(100 * exact, abs=10)


DIVERSE = (
    "the cat sat on the mat and the dog lay by the door while rain fell upon the old tin roof and "
    "nobody in the house cared to notice that the evening had come or that the fire was out for "
    "good because everyone was asleep but me and the cat who watched the dog dream of rabbits and "
    "long green fields where the sun never sets and the hedges are full of birds"
)
DIVERSE_WORDS = DIVERSE.split(" ")


def reference_mtld(words: list[str]) -> float | None:
    def factors(words: list[str]) -> float:
        number, run = 0.0, []
        for word in words:
            run.append(word)
            if len(set(run)) / len(run) < 0.72:
                number, run = number + 1, []
        return number + ((1 - len(set(run)) / len(run)) / 0.28 if run else 0)

    forwards, backwards = factors(words), factors(words[::-1])
    return (len(words) / forwards + len(words) / backwards) / 2 if forwards and backwards else None


def reference_mattr(words: list[str]) -> float | None:
    windows = [set(words[i : i + 50]) for i in range(len(words) - 49)]
    return float(np.mean([len(window) for window in windows])) / 50 if windows else None


@settings(deadline=None)
@given(st.lists(st.sampled_from(DIVERSE_WORDS), max_size=300))
@example(DIVERSE_WORDS)
@example(DIVERSE_WORDS[:50])
@example(["the"] * 60)
def test_diversity_is_that_of_its_definition(words: list[str]) -> None:
    counts = count_batch([" ".join(words)])
    for name, expected in zip(
        MEASURE_NAMES, (reference_mtld(words), reference_mattr(words)), strict=True
    ):
        assert counts.measure(name).tolist() == [
            None if expected is None else pytest.approx(expected)
        ]


def test_a_text_of_very_many_words_does_not_depend_on_its_neighbours() -> None:
    letters = np.random.default_rng(0).integers(97, 123, (20_000, 5)).astype(np.uint8)
    many = " ".join(row.tobytes().decode() for row in letters)
    assert count(many)["num_distinct_parts"] == len(set(many.split()))
    together = count_batch(["A cat.", many, "A cat."])
    assert together.row(0) == together.row(2) == count("A cat.")
    assert together.row(1) == count(many)


def test_one_word_of_very_many_parts_is_counted() -> None:
    letters = "abcdefghijklmno"
    parts = [a + b + c for a in letters for b in letters for c in letters]
    for sign in "-.":
        counts = count("It is " + sign.join(parts) + " indeed.")
        assert counts["num_words"] == 4
        assert counts["num_distinct_parts"] == len({*parts, "it", "is", "indeed"})


def test_the_table_of_words_is_kept_and_made_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = english.lexicon().table
    monkeypatch.setattr(english, "_digest", lambda: "of-a-test")
    path = Path(english.__file__).parent / "__pycache__" / "lexicon-of-a-test.npy"
    try:
        for damage in (b"", b"no table"):
            path.write_bytes(damage)
            english.lexicon.cache_clear()
            assert np.array_equal(english.lexicon().table, made)
            assert np.array_equal(np.load(path), made)
    finally:
        path.unlink(missing_ok=True)
        english.lexicon.cache_clear()


def test_patterns_are_learned_from_the_words_they_right() -> None:
    # The base takes the final e of each for silent.
    truth = {f"{letter}ecipe": 3 for letter in "bcdfgh"} | {f"{x}ale": 1 for x in "bdgmps"}
    changes = learn_patterns(truth, {})
    assert changes == {"ci": 1} or list(changes.values()) == [1]
    (pattern,) = changes
    assert pattern in "^recipe^"
    assert learn_patterns(truth, {}, min_gain=100) == {}


@pytest.mark.skipif(not DICTIONARY.exists(), reason="the pronouncing dictionary is absent")
def test_syllables_agree_with_the_pronouncing_dictionary() -> None:
    pronunciations = read_pronunciations(str(DICTIONARY))
    words = list(pronunciations)
    assert len(words) > 120_000
    counted = count_batch(words)["num_syllables"].tolist()
    right = [n in pronunciations[word] for word, n in zip(words, counted, strict=True)]
    assert sum(right) / len(right) > 0.95
    running = count_words(text for text in pl.read_parquet(DATA / "clear.parquet")["text"] if text)
    known = [(number, word) for word, number in running.items() if word in pronunciations]
    is_right = dict(zip(words, right, strict=True))
    assert sum(n for n, word in known if is_right[word]) / sum(n for n, _ in known) > 0.97
