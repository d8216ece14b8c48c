"""Columns of a batch: numbers or nulls for any text, and what is prose."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from gradatim.difficulty.columns import COUNT_NAMES
from gradatim.difficulty.surface import ALL_METRICS, SurfaceMetrics, surface_columns
from gradatim.errors import InputError

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EVERYTHING = tuple(name for name in ALL_METRICS if name != "tokens_per_word")

SENTENCE = "The old man walked to the river with his dog, and they sat there until it was dark. "
NOT_PROSE = {
    "no words": ["", " \n ", "?!", "😀 🎉", "\x00\x00"],
    "another script": ["これは日本語の文章です。" * 5, "Это предложение по-русски. " * 5],
    "numbers": ["12 345 6789 0 22 " * 9, "name,1,2,3,4\n" * 20],
    "code or markup": ["def f(x):\n    return {x: [x ** 2 for _ in range(10)]}\n" * 5],
    "mostly signs": ["a, b, c, d, e, f, g, h, " * 9],
    "fewer than ten words": ["Word", "The cat sat.", "no end of it"],
    "a list": ["apple\npear\nplum\nthe cherry\n" * 5],
    "sentences without end": ["the man and the dog walked on " * 30],
    "not English": [
        "Longtemps, je me suis couché de bonne heure. Mes yeux se fermaient vite. " * 5
    ],
}


def columns_of(texts: list[str | None], **settings: object) -> dict[str, pa.Array]:
    metrics = SurfaceMetrics(names=EVERYTHING, **settings)  # type: ignore[arg-type]
    return surface_columns(pa.array(texts, pa.large_string()), metrics)


@given(st.lists(st.one_of(st.none(), st.text(max_size=300)), max_size=4))
@example(["", None, "word", "\x00", "a\u0301\u200d", "1" * 500, "." * 500, "é" * 500, "\n" * 9])
@example(["表" * 100, "# x\n\n|a|b|\n|-|-|\n", "😀" * 50, "Roses are red\nViolets are blue"])
def test_any_text_gives_numbers_or_nulls(texts: list[str | None]) -> None:
    columns = columns_of(texts, counts=True)
    assert list(columns) == [*EVERYTHING, *COUNT_NAMES, "is_prose", "not_prose_reason"]
    for name in EVERYTHING:
        assert columns[name].type == pa.float32()
        known = columns[name].drop_null().to_numpy()
        assert np.isfinite(known).all(), name
    reasons = columns["not_prose_reason"].to_pylist()
    assert columns["is_prose"].to_pylist() == [reason is None for reason in reasons]
    for i, reason in enumerate(reasons):
        assert (columns["lix"][i].as_py() is None) == (reason == "no words")


@pytest.mark.parametrize("reason", NOT_PROSE)
def test_what_is_no_prose_says_why(reason: str) -> None:
    columns = columns_of(list(NOT_PROSE[reason]))
    assert columns["not_prose_reason"].to_pylist() == [reason] * len(NOT_PROSE[reason])


def test_running_sentences_are_prose() -> None:
    columns = columns_of([SENTENCE, SENTENCE * 20, f"CHAPTER I.\n\n“{SENTENCE}” he said.\n"])
    assert columns["is_prose"].to_pylist() == [True] * 3


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is absent")
@pytest.mark.parametrize(("name", "share"), [("clear", 0.998), ("onestop", 1), ("speeches", 1)])
def test_real_prose_is_prose(name: str, share: float) -> None:
    texts = pl.read_parquet(DATA / f"{name}.parquet")["text"].to_list()
    assert np.mean(columns_of(texts)["is_prose"].to_pylist()) >= share


def test_this_program_is_no_prose() -> None:
    source = Path(__file__).resolve().parents[1] / "src" / "gradatim"
    files = [path.read_text(encoding="utf-8") for path in source.rglob("*.py")]
    texts = [text for text in files if len(text) > 500]
    assert np.mean(columns_of(texts)["is_prose"].to_pylist()) < 0.2


def test_repetition_compresses_and_is_easy() -> None:
    texts = ["", SENTENCE, SENTENCE * 50, None]
    columns = columns_of(texts)
    for name in ("zstd_ratio", "zlib_ratio"):
        empty, once, often, null = columns[name].to_pylist()
        assert [empty, null] == [None, None]
        assert often < 0.1 < once
    expected = len(zlib.compress(SENTENCE.encode(), 6)) / len(SENTENCE.encode())
    assert columns["zlib_ratio"][1].as_py() == pytest.approx(expected)


def test_tokens_per_word_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # one token a character
    tokenizer.enable_padding(length=20)  # of no concern here
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = pa.array(["ab cde", "", "one"], pa.large_string())
    metrics = SurfaceMetrics(names=("tokens_per_word",), tokenizer=str(tmp_path / "tokenizer.json"))
    assert surface_columns(texts, metrics)["tokens_per_word"].to_pylist() == [3.0, None, 3.0]
    with pytest.raises(InputError, match="--tokenizer"):
        surface_columns(texts, SurfaceMetrics(names=("tokens_per_word",)))
    missing = SurfaceMetrics(names=("tokens_per_word",), tokenizer=str(tmp_path / "none.json"))
    with pytest.raises(InputError, match=r"none\.json"):
        surface_columns(texts, missing)


def test_a_metric_asked_for_alone_comes_alone() -> None:
    texts = pa.array([SENTENCE], pa.large_string())
    columns = surface_columns(texts, SurfaceMetrics(names=("lix", "reading_age")))
    assert list(columns) == ["lix", "reading_age", "is_prose", "not_prose_reason"]
