from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gradatim.blocks.spec import StoreSpec


def test_a_corpus_may_be_a_location_alone() -> None:
    for corpus in ("books.parquet", Path("books.parquet"), {"location": "books.parquet"}):
        spec = StoreSpec.model_validate({"corpus": corpus})
        assert spec.corpus is not None
        assert spec.corpus.location == "books.parquet"
        assert spec.spectrum is None


def test_several_locations_keep_their_order() -> None:
    spec = StoreSpec.model_validate({"corpus": ["b.txt", Path("a.txt")]})
    assert spec.corpus is not None
    assert spec.corpus.location == ("b.txt", "a.txt")


@pytest.mark.parametrize("corpus", ["spectrum", {"location": "spectrum", "on_bad": "stop"}])
def test_the_location_spectrum_means_the_graded_world(corpus: object) -> None:
    spec = StoreSpec.model_validate({"corpus": corpus})
    assert spec.corpus is None
    assert spec.spectrum is not None


def test_the_size_of_the_graded_world_is_kept_beside_the_short_form() -> None:
    spec = StoreSpec.model_validate({"corpus": "spectrum", "spectrum": {"num_bytes": 20_000}})
    assert spec.spectrum is not None
    assert spec.spectrum.num_bytes == 20_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give `corpus` .* or `spectrum`"),
        ({"corpus": "a.txt", "spectrum": {}}, "give `corpus` .* or `spectrum`"),
        ({"corpus": "a.txt", "tokenizer": {"file": "t", "hf": "u"}}, "not both"),
        (
            {"corpus": "a.txt", "tokenizer": {"file": "t", "vocab_size": 300}},
            "vocab_size belongs to a trained",
        ),
        ({"corpus": "a.txt", "tokenizer": {"vocab_size": 256}}, "greater than or equal to 257"),
        ({"corpus": "a.txt", "tokenizer": {"vocab_size": 10**9}}, "less than or equal to 1048576"),
        ({"corpus": "a.txt", "max_passage_bytes": 10**30}, "less than or equal to 1073741824"),
        ({"corpus": "a.txt", "seed": 2**70}, "less than 9223372036854775808"),
        ({"corpus": "a.txt", "blok_tokens": 256}, "Extra inputs are not permitted"),
        ({"corpus": "a.txt", "held_out_fraction": 1.0}, "less than 1"),
        ({"corpus": "a.txt", "held_out_fraction": 0.0}, "greater than 0"),
        ({"corpus": "spectrum", "held_out_fraction": 0.1}, "brings its own held-out text"),
        ({"corpus": {"location": "spectrum", "level_column": "x"}}, "no columns and no bad rows"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StoreSpec.model_validate(settings)


def test_a_spec_survives_json() -> None:
    spec = StoreSpec.model_validate({"corpus": ["a.txt", "b.txt"], "tokenizer": {"hf": "gpt2"}})
    assert StoreSpec.model_validate_json(spec.model_dump_json()) == spec
