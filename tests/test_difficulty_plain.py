"""A text counts as what a reader sees of it, however its characters are written."""

from __future__ import annotations

import random
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.difficulty.counts import count, count_batch
from gradatim.difficulty.plain import plain_texts, text_bytes
from gradatim.difficulty.surface import SurfaceMetrics, surface_columns
from gradatim.difficulty.vocabulary import count_words

SENTENCE = (
    "The first office in the village finds that five of the fish traps it offered don't fill "
    "when the river's flow is low, so the chief asks a well-known fisher from the café."
)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def plain(text: str) -> str:
    (found,) = plain_texts(column([text])).to_pylist()
    assert isinstance(found, str)
    return found


def written(text: str, forms: dict[str, str]) -> str:
    for letters, form in forms.items():
        text = text.replace(letters, form)
    return text


SMALL = range(ord("a"), ord("z") + 1)
DISGUISES = {
    "ligatures": {"ffi": "ﬃ", "ff": "ﬀ", "fi": "ﬁ", "fl": "ﬂ"},
    "full width": {chr(c): chr(c + 0xFEE0) for c in SMALL} | {"-": "－", "'": "＇", ".": "．"},
    "mathematical letters": {chr(c): chr(c - 97 + 0x1D41A) for c in SMALL},
    "small letters above": {"n": "ⁿ", "h": "ʰ"},
    "long s": {"s": "ſ"},
    "decomposed": {"é": "e\u0301"},
    "accents of no letter": {"x": "x\u0338", "o": "o\u20dd"},
    "soft hyphens": {"l": "\u00adl", "-": "\u00ad-\u00ad", "'": "'\u00ad"},
    "zero widths": {"e": "\u200be\u200d", " ": " \u200c", ".": "\ufeff.", "'": "\u2060'\u2060"},
    "marks of direction": {"a": "\u202aa\u202c", "T": "T\u200f", ",": "\u2066,"},
    "variation selectors": {"i": "i\ufe0f", "r": "r\U000e0100"},
    "apostrophe grave": {"'": "`"},
    "apostrophe acute": {"'": "´"},
    "apostrophe opening": {"'": "‘"},
    "apostrophe letter": {"'": "ʼ"},
    "apostrophe closing": {"'": "’"},
    "prime": {"'": "′"},
    "spaces": {" ": "\u00a0"},
    "thin spaces": {" ": "\u2009"},
    "hyphens": {"-": "‐"},
    "hyphens that do not break": {"-": "‑"},
    "minus signs": {"-": "−"},
}


@pytest.mark.parametrize("name", DISGUISES)
def test_a_text_counts_as_its_plain_form(name: str) -> None:
    text = written(SENTENCE, DISGUISES[name])
    assert text != SENTENCE
    # A neighbour on either side: one text is replaced, the others stay.
    neighbours = ["Before, naïve.", "", "Behind — “it”."]
    metrics = SurfaceMetrics(counts=True)
    found = surface_columns(column([*neighbours[:2], text, neighbours[2]]), metrics)
    expected = surface_columns(column([*neighbours[:2], SENTENCE, neighbours[2]]), metrics)
    num_bytes = [len(t.encode()) for t in (*neighbours[:2], text, neighbours[2])]
    assert found.pop("num_bytes").to_pylist() == num_bytes
    del expected["num_bytes"]
    assert found == expected
    for mine, theirs in zip(
        count_words(column([text])), count_words(column([SENTENCE])), strict=True
    ):
        assert mine.tolist() == theirs.tolist()


@settings(deadline=None)
@given(st.text("Ifix'é- .!?\n\"sT1,ö", max_size=80), st.randoms(use_true_random=False))
def test_any_disguise_of_any_text_counts_as_the_text(text: str, chance: random.Random) -> None:
    forms = [form for name in DISGUISES for form in DISGUISES[name].items()]
    singles: dict[str, list[str]] = {}
    for letters, form in forms:
        singles.setdefault(letters, [letters]).append(form)
    disguised = "".join(chance.choice(singles.get(letter, [letter])) for letter in text)
    disguised = disguised.replace("fi", chance.choice(["fi", "ﬁ"]))
    found, expected = count_batch([disguised, text]).whole[:, 1:]
    assert found.tolist() == expected.tolist()


@given(st.text(max_size=100))
def test_the_plain_form_has_no_other(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("½ cup, 3¼", "½ cup, 3¼"),  # NFKC would make 31⁄4 of it
        ("Lego™ … “so”—he’s", "Lego™ … “so”—he’s"),
        ("x² №5 Ⅳ ①", "x2 No5 IV 1"),
        ("ŉ ″ ⁇ ﹣", "'n \" ?? -"),
        ("ｶﾞ 각", "ガ 각"),
        ("¨ ¸", "¨ ¸"),
        ("\u1e9b\u0323", "ṩ"),
    ],
)
def test_what_stands_for_what(text: str, form: str) -> None:
    assert plain(text) == normalize("NFC", form)


@pytest.mark.parametrize(
    "sign", ["\ufffd", chr(0xD800), "\x07", "\x1b", "\x7f", "\x00", "\x90", "\ue000", "ˌ"]
)
def test_what_cannot_be_read_is_a_sign(sign: str) -> None:
    counts = count(f"na{sign}ve {sign} dog")
    assert counts["num_symbols"] == 2
    assert counts["num_letters"] == 7
    assert counts["num_words"] == 3


def test_a_plain_column_is_not_copied() -> None:
    texts = column(["It’s — “naïve”… ½", "", "Żółć 語 Привет\u00a0мир 😀"])
    assert plain_texts(texts) is texts
    assert plain_texts(texts[1:]).to_pylist() == texts[1:].to_pylist()


def test_a_character_is_found_wherever_it_stands() -> None:
    for before in range(20):
        for behind in range(12):
            texts = column(["a" * before, "b" * behind + "ﬁ", "cé" * behind])
            assert plain_texts(texts)[1].as_py() == "b" * behind + "fi"
    data, offsets = text_bytes(column([]))
    assert (data.size, offsets.tolist()) == (0, [0])
    assert plain_texts(pa.array([None, "ﬁ"])).to_pylist() == ["", "fi"]
    assert np.array_equal(count_batch(["e\u0301" * 9])["num_characters"], [9])
