"""How much of the held-out text stands in the training text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus.overlap import NgramOverlap, ngram_hashes


def words_of(text: str) -> list[str]:
    return text.lower().split()


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.sampled_from(["a", "B", "cc", "d3", "語"]), max_size=40), st.integers(1, 5))
def test_equal_ngrams_and_only_those_have_equal_hashes(words: list[str], num_words: int) -> None:
    grams = [tuple(words_of(w)[0] for w in words[i : i + num_words]) for i in range(len(words))]
    grams = [gram for gram in grams if len(gram) == num_words]
    hashes = ngram_hashes(" ".join(words), num_words).tolist()
    assert len(hashes) == len(grams)
    assert len(set(zip(grams, hashes, strict=True))) == len(set(grams)) == len(set(hashes))


def test_case_and_punctuation_make_no_difference() -> None:
    plain = ngram_hashes("the cat s hat is red", 3)
    dressed = ngram_hashes("“The cat’s — HAT, is... red!”", 3)
    assert plain.tolist() == dressed.tolist()


def test_the_overlap_is_the_share_of_distinct_held_out_ngrams() -> None:
    overlap = NgramOverlap(num_words=3)
    overlap.add_held_out("one two three four five six")  # 4 n-grams
    overlap.add_held_out("one two three")
    overlap.add_training("zero one two three four, and three four six")
    overlap.add_training("One two three!")
    assert (overlap.num_held_out, overlap.num_seen) == (4, 2)
    assert overlap.seen_fraction == 0.5


def test_ngrams_do_not_reach_over_the_end_of_a_text() -> None:
    overlap = NgramOverlap(num_words=3)
    overlap.add_held_out("one two three")
    overlap.add_training("one two")
    overlap.add_training("three")
    assert overlap.seen_fraction == 0.0


def test_without_a_long_enough_held_out_text_there_is_no_share() -> None:
    overlap = NgramOverlap()
    overlap.add_held_out("too short")
    overlap.add_training("too short")
    assert overlap.seen_fraction is None


def test_a_bounded_sample_gives_nearly_the_same_share() -> None:
    text = " ".join(f"w{i}" for i in range(20_000))
    training = " ".join(f"w{i}" for i in range(5_000))
    overlap = NgramOverlap(max_ngrams=4_000)
    overlap.add_held_out(text)
    overlap.add_held_out(" ".join(f"w{i}" for i in range(20_000, 20_500)))
    overlap.add_training(training)
    assert 1_000 < overlap.num_held_out <= 4_000
    assert overlap.seen_fraction == pytest.approx(0.25, abs=0.03)
