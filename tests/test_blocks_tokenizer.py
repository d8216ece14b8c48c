from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from gradatim.blocks.spec import TokenizerSpec
from gradatim.blocks.tokenizer import (
    SEPARATOR,
    Vocabulary,
    load_tokenizer,
    load_vocabulary,
    sample_texts,
    train_tokenizer,
)
from gradatim.errors import SpecError
from small_corpus import prose

TEXTS = [prose(seed, 2000) for seed in range(12)]
TRAINED = Vocabulary(train_tokenizer(TEXTS, 400), separator_id=0)


def test_a_trained_tokenizer_has_the_separator_first_and_the_size_asked_for() -> None:
    assert TRAINED.tokenizer.token_to_id(SEPARATOR) == 0
    assert TRAINED.size == 400


def test_training_is_deterministic_across_processes() -> None:
    program = (
        "from gradatim.blocks.tokenizer import *; from small_corpus import prose\n"
        "texts = [prose(seed, 2000) for seed in range(12)]\n"
        "print(Vocabulary(train_tokenizer(texts, 400), 0).fingerprint)"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == TRAINED.fingerprint


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_every_byte_of_a_text_is_in_the_spelling_of_its_tokens(text: str) -> None:
    ids = TRAINED.tokenizer.encode(text).ids
    assert b"".join(TRAINED.spellings[token] for token in ids) == text.encode()
    assert int(TRAINED.num_bytes[ids].sum() if ids else 0) == len(text.encode())
    assert TRAINED.text(ids) == text


def test_a_separator_spelled_in_a_text_is_text() -> None:
    text = f"before{SEPARATOR}after"
    for ids in (
        TRAINED.tokenizer.encode(text).ids,
        TRAINED.tokenizer.encode_batch_fast([text])[0].ids,
    ):
        assert TRAINED.separator_id not in ids
        assert TRAINED.text(ids) == text


def test_the_separator_has_no_bytes_and_reads_as_a_blank_line() -> None:
    assert TRAINED.num_bytes[0] == 0
    ids = [*TRAINED.tokenizer.encode("one").ids, 0, *TRAINED.tokenizer.encode("two").ids]
    assert TRAINED.text(ids) == "one\n\ntwo"


def test_half_a_character_reads_as_a_replacement() -> None:
    first_byte = TRAINED.spellings.index("é".encode()[:1])
    assert TRAINED.text([first_byte]) == "�"


def test_a_sentencepiece_vocabulary_is_spelled_with_spaces_and_bytes(tmp_path: Path) -> None:
    vocab = {"<unk>": 0, "</s>": 1, "▁the": 2, "cat": 3, "▁": 4, "<0xC3>": 5, "<0xA9>": 6}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = load_vocabulary(TokenizerSpec(file=str(tmp_path / "tokenizer.json")))
    assert vocabulary.separator_id == 1
    assert vocabulary.spellings[1:] == (b"", b" the", b"cat", b" ", b"\xc3", b"\xa9")
    assert vocabulary.num_bytes.tolist()[1:] == [0, 4, 3, 1, 1, 1]
    assert vocabulary.text([2, 4, 5, 6]) == " the é"


def test_a_tokenizer_that_loses_bytes_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "</s>": 1, "a": 2}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(SpecError, match=r"does not keep every byte.*got WordPiece.*Train one"):
        load_vocabulary(TokenizerSpec(file=str(tmp_path / "tokenizer.json")))


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    for name in ("none.json", "t.json"):
        with pytest.raises(SpecError, match=rf"tokenizer.file: .*{name}: no tokenizer"):
            load_vocabulary(TokenizerSpec(file=str(tmp_path / name)))


def test_a_tokenizer_without_a_separator_asks_for_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(tmp_path / "t.json"))
    with pytest.raises(SpecError, match=r"no token to put between passages.*Name its end-of-text"):
        load_vocabulary(TokenizerSpec(file=str(tmp_path / "t.json")))
    named = load_vocabulary(TokenizerSpec(file=str(tmp_path / "t.json"), separator="b"))
    assert named.separator_id == 1
    assert named.spellings == (b"a", b"")


def test_a_hugging_face_folder_brings_its_own_end_of_text(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    source = train_tokenizer(TEXTS, 300)
    source.add_special_tokens(["<|the_end|>"])
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=source, eos_token="<|the_end|>")
    wrapped.save_pretrained(str(tmp_path))
    vocabulary = load_vocabulary(TokenizerSpec(hf=str(tmp_path)))
    assert vocabulary.separator_id == source.token_to_id("<|the_end|>")
    text = "The keeper walked over the bridge."
    assert load_tokenizer(TokenizerSpec(hf=str(tmp_path))).encode(text).ids == (
        source.encode(text).ids
    )


def test_an_unknown_hugging_face_name_is_a_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    with pytest.raises(SpecError, match=r"tokenizer.hf: .*this tokenizer cannot be loaded"):
        load_vocabulary(TokenizerSpec(hf=str(tmp_path / "nowhere")))


@given(num_texts=st.integers(1, 60), sample_bytes=st.integers(1, 4000), order=st.randoms())
@settings(max_examples=50, deadline=None)
def test_a_sample_is_large_enough_and_does_not_depend_on_order(
    num_texts: int, sample_bytes: int, order: object
) -> None:
    texts = [(f"key {index}", "x" * (1 + index * 7 % 100)) for index in range(num_texts)]
    sample = list(sample_texts(texts, sample_bytes=sample_bytes, seed=3))
    total = sum(len(text) for _, text in texts)
    sampled = sum(map(len, sample))
    assert min(total, sample_bytes) <= sampled < sample_bytes + 100
    shuffled = list(texts)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert list(sample_texts(shuffled, sample_bytes=sample_bytes, seed=3)) == sample


def test_another_seed_takes_another_sample() -> None:
    texts = [(f"key {index}", f"text {index}") for index in range(100)]
    samples = [set(sample_texts(texts, sample_bytes=200, seed=seed)) for seed in (0, 1)]
    assert samples[0] != samples[1]
