"""Words, sentences and syllables against counts made by hand, and against a dictionary."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradatim.difficulty.counts import COUNT_NAMES, count, count_batch
from gradatim.difficulty.learn import learn_patterns, read_pronunciations

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
    assert (counts.num_words, counts.num_sentences) == (num_words, num_sentences)


SYLLABLES = {
    1: "the walked makes whole yes I'll don't queen fled eyes hmm I",
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
    assert count(word).num_syllables == num_syllables


def test_a_passage_counted_by_hand() -> None:
    text = (
        "“It is a truth,” said Mr. Bell, “that 2.5 cats can't out-run a dog.” Nobody laughed.\n\n"
        "He bowed... and left!"
    )
    counts = count(text)
    assert counts.num_bytes == len(text.encode())
    assert counts.num_words == 20
    assert counts.num_sentences == 3
    # It is a truth said Mr.(2) Bell that 2.5(2) cats can't out-run(2) a dog nobody(3) laughed
    # he bowed and left
    assert counts.num_syllables == 20 + 1 + 1 + 1 + 2
    assert counts.num_letters == 69


def test_letters_of_other_alphabets_are_letters() -> None:
    assert count("Привет мир").num_letters == 9
    assert count("Привет мир").num_words == 2
    assert count("naïve Ærø").num_letters == 8


def test_a_column_a_slice_and_a_list_give_the_same_counts() -> None:
    texts = ["One two.", None, "", "Thrée — four? Five!", "x" * 100]
    expected = {name: column.tolist() for name, column in count_batch(texts).items()}
    assert expected["num_words"] == [2, 0, 0, 3, 1]
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(["padding", *texts], kind)[1:]
        chunked = pa.chunked_array([array[:2], array[2:2], array[2:]])
        dictionary = array.dictionary_encode()
        for column in (array, chunked, dictionary):
            counts = count_batch(column)
            assert {name: values.tolist() for name, values in counts.items()} == expected
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
        assert [int(counts[name][i]) for name in COUNT_NAMES] == [
            getattr(one, name) for name in COUNT_NAMES
        ]
        assert one.num_bytes == len(text.encode())
        assert (one.num_words == 0) == (one.num_sentences == 0)
        assert one.num_sentences <= one.num_words <= one.num_syllables
        assert one.num_words <= len(text)


@settings(deadline=None)  # the first call may compile
@given(ODD_TEXTS, ODD_TEXTS)
def test_counts_of_two_paragraphs_are_the_sums(first: str, second: str) -> None:
    both = count(f"{first}\n\n{second}")
    for name in COUNT_NAMES[1:]:
        assert getattr(both, name) == getattr(count(first), name) + getattr(count(second), name)


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
