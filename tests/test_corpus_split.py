"""The held-out split and the check of what leaks through it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus.split import NgramOverlap, ngram_hashes, split_of


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_the_held_out_share_is_the_one_asked_for(fraction: float) -> None:
    held_out = [split_of(f"book {i}", fraction) == "held_out" for i in range(10_000)]
    assert abs(sum(held_out) / 10_000 - fraction) < 0.015


def test_the_split_is_the_same_everywhere_and_for_ever() -> None:
    held_out = [i for i in range(100) if split_of(f"pg{i}", 0.05, seed=3) == "held_out"]
    assert held_out == [6, 19, 22, 49, 54, 66, 71, 97]


@settings(deadline=None)  # the first call may compile
@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_fraction_keeps_what_was_held_out(name: str, first: float, more: float) -> None:
    if split_of(name, first) == "held_out":
        assert split_of(name, first + more) == "held_out"


def test_documents_of_one_id_fall_together() -> None:
    for i in range(200):
        assert split_of(f"{i}~2", 0.5) == split_of(f"{i}~17", 0.5) == split_of(f"{i}", 0.5)


def test_seeds_differ() -> None:
    splits = {tuple(split_of(f"{i}", 0.5, seed=s) for i in range(64)) for s in range(10)}
    assert len(splits) == 10


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
