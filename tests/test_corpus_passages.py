"""Passages: where they are cut, that nothing is lost, and that repeats are dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus.documents import Document
from gradatim.corpus.hashes import HashSet
from gradatim.corpus.passages import Deduplicator, cut
from gradatim.errors import SpecError

TEXTS = st.one_of(
    st.text(),
    st.text("ab.!?’” \n\t\rä語", max_size=400),
    st.lists(st.text("abc d.", max_size=60)).map("\n\n".join),
)


def pieces(text: str, max_bytes: int = 40, min_bytes: int | None = 8) -> list[str]:
    document = Document("d", text, "s")
    return [p.text for p in cut(document, max_bytes=max_bytes, min_bytes=min_bytes)]


@settings(deadline=None)  # the first call may compile
@given(TEXTS, st.integers(16, 80))
def test_only_whitespace_lies_between_the_passages(text: str, max_bytes: int) -> None:
    position = 0
    for piece in pieces(text, max_bytes, max_bytes // 4):
        assert piece == piece.strip()
        assert 0 < len(piece.encode()) <= max_bytes
        found = text.index(piece, position)
        assert not text[position:found].strip()
        position = found + len(piece)
    assert not text[position:].strip()


@settings(deadline=None)  # the first call may compile
@given(st.text("ab.", min_size=200), st.integers(16, 80))
def test_passages_of_a_text_without_spaces_keep_their_minimum(text: str, max_bytes: int) -> None:
    sizes = [len(piece) for piece in pieces(text, max_bytes, max_bytes // 2)]
    assert min(sizes) >= max_bytes // 2


def test_a_short_document_is_one_passage_with_the_document_s_labels() -> None:
    document = Document("d", " Short.\n\nTwo. ", "s", "child", "train")
    (passage,) = cut(document)
    assert passage.text == "Short.\n\nTwo."
    assert (passage.document_id, passage.index) == ("d", 0)
    assert (passage.source, passage.level, passage.split) == ("s", "child", "train")


def test_a_blank_document_has_no_passage() -> None:
    assert pieces("") == []
    assert pieces(" \n" * 100) == []


def test_paragraphs_go_together_as_long_as_they_fit() -> None:
    assert pieces("First one.\n\nSecond one.\n \nThird one is here.\n\nFourth.") == [
        "First one.\n\nSecond one.",
        "Third one is here.\n\nFourth.",
    ]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    assert pieces("He came in. “Who is it?” Nobody said a word to him. It rained.") == [
        "He came in. “Who is it?”",
        "Nobody said a word to him. It rained.",
    ]


@pytest.mark.parametrize("name", ["Mr. Brown", "J. Brown", "St. Brown", "Messrs. Brown"])
def test_a_name_is_not_cut_after_its_title(name: str) -> None:
    assert pieces(f"It was cold. We all saw {name} go over the hill.")[0] == "It was cold."


def test_a_long_sentence_is_cut_between_lines_else_between_words() -> None:
    assert pieces("a line of verse\nanother line of verse\na third line of verse") == [
        "a line of verse\nanother line of verse",
        "a third line of verse",
    ]
    assert pieces("many words without any end to them at all here") == [
        "many words without any end to them at",
        "all here",
    ]


def test_the_last_passage_is_not_left_a_crumb() -> None:
    assert pieces("aaaa bbbb cccc dddd eeee ffff gggg hhhh i", 40, 12) == [
        "aaaa bbbb cccc dddd eeee ffff",
        "gggg hhhh i",
    ]


def test_characters_are_never_parted() -> None:
    assert "".join(pieces("語" * 100, 16, 0)) == "語" * 100


@pytest.mark.parametrize(("max_bytes", "min_bytes"), [(15, 0), (100, 51), (100, -1)])
def test_sizes_that_do_not_fit_are_refused(max_bytes: int, min_bytes: int) -> None:
    with pytest.raises(SpecError, match="passage sizes do not fit together"):
        pieces("text", max_bytes, min_bytes)


def test_repeats_are_dropped_whatever_their_spaces() -> None:
    seen = Deduplicator()
    texts = ["One two.", " One\n two. ", "One  two!", "One two."]
    assert [seen.is_new(text) for text in texts] == [True, False, True, False]
    assert (seen.num_dropped, seen.num_dropped_bytes) == (2, 11 + 8)


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_the_hash_set_is_a_set(first: list[int], second: list[int]) -> None:
    ours, reference = HashSet(), set[int]()
    for values in (first, second):
        is_new = ours.add(np.array(values, np.uint64))
        for value, new in zip(values, is_new, strict=True):
            # 0 marks an empty place, so 0 and 1 are one hash.
            assert new == (max(value, 1) not in reference)
            reference.add(max(value, 1))
    assert set(ours.values().tolist()) == reference
    assert len(ours) == len(reference)


def test_the_hash_set_grows_and_stays_small() -> None:
    values = np.arange(1, 200_001, dtype=np.uint64) << np.uint64(20)
    ours = HashSet()
    assert ours.add(values).all()
    assert not ours.add(values[::3]).any()
    places = ours.places(np.append(values, np.uint64(3)))
    assert places[-1] == -1
    assert len(set(places[:-1].tolist())) == 200_000
    assert ours.num_bytes <= 27 * 200_000
