"""Tokenizers of other people: what loses text is refused, what only adds is counted out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gradatim.blocks import encoding
from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec, TokenizerSpec
from gradatim.blocks.store import Store
from gradatim.blocks.tokenizer import load_vocabulary, train_tokenizer
from gradatim.errors import SpecError
from gradatim.evaluate.tasks import task_set
from small_corpus import prose

ENGLISH = [prose(seed, 2000) for seed in range(8)]


def spec_of(folder: Path, tokenizer: Tokenizer | str, texts: list[str]) -> StoreSpec:
    content = tokenizer if isinstance(tokenizer, str) else tokenizer.to_str()
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as lines:
        for index, text in enumerate(texts):
            lines.write(json.dumps({"id": f"text-{index}", "text": text}) + "\n")
    return StoreSpec.model_validate(
        {
            "corpus": str(folder / "texts.jsonl"),
            "tokenizer": {"file": str(folder / "tokenizer.json")},
            "block_tokens": 32,
            "held_out_fraction": 0.2,
        }
    )


def stored(folder: Path, tokenizer: Tokenizer | str, texts: list[str]) -> Store:
    return build(spec_of(folder, tokenizer, texts), folder / "store")


def byte_level(*, alphabet: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator(ENGLISH, trainer)
    return tokenizer


def metaspace_unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(ENGLISH, trainer)
    return tokenizer


def with_normalizer(normalizer: Any) -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizer
    return tokenizer


def splitting_at_spaces() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def llama_2() -> Tokenizer:
    """A space before every text, spaces as ▁, unknown characters as bytes."""
    letters = sorted(set("".join(ENGLISH)) - {" ", "\n"})
    tokens = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
    merges = [("▁", letter) for letter in letters]
    tokens += ["".join(pair) for pair in merges]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


JAPANESE = ["the old river 吾輩は猫である。", "名前はまだ無い。"]
LOSSY = {
    "byte-level without its alphabet": (byte_level(alphabet=False), JAPANESE, 15),
    "unknown pieces": (metaspace_unigram(), JAPANESE, 15),
    "spaces split away": (splitting_at_spaces(), ["One two.", "three"], 4),
    "lower case": (with_normalizer(normalizers.Lowercase()), ["one Two", "three"], 5),
    "compatibility forms": (with_normalizer(normalizers.NFKC()), ["the ﬁrst", "two"], 5),
    "replacement": (with_normalizer(normalizers.Replace("t", "d")), ["one two", "on"], 5),
    "accents": (
        with_normalizer(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
        ["café", "plain"],
        4,
    ),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_a_loss_is_refused_with_text_and_character(kind: str, tmp_path: Path) -> None:
    tokenizer, texts, character = LOSSY[kind]
    harmless = ["a small river was in a house"] if kind != "spaces split away" else []
    with pytest.raises(SpecError, match="does not keep every byte of a text") as caught:
        stored(tmp_path, tokenizer, [*harmless, *texts])
    place = re.match(r"text-(\d), passage 0, character (\d+): ", str(caught.value))
    assert place, caught.value
    assert (int(place[1]), int(place[2])) == (len(harmless), character)
    assert not (tmp_path / "store").exists()


def test_what_is_lost_is_shown(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"expected '吾輩は猫である。'; got ''\. Train one"):
        stored(tmp_path, byte_level(alphabet=False), JAPANESE)


@pytest.mark.parametrize("make", [llama_2, byte_level], ids=["llama 2", "byte-level"])
def test_a_space_before_every_text_is_no_byte_of_it(make: Any, tmp_path: Path) -> None:
    texts = [prose(seed, 3000) + f" {seed} — naïve 語" for seed in range(20)]
    store = stored(tmp_path, make(), texts)
    has_prefix = make is llama_2
    assert store.vocabulary.prefix == (b" " if has_prefix else b"")
    rows = pq.read_table(store.path / "blocks.parquet").to_pylist()
    spellings = store.vocabulary.spellings
    for row, tokens in zip(rows, store.tokens.tolist(), strict=True):
        begins = {span["start_token"] for span in row["spans"]} - {0}
        num_bytes = 0
        for place, token in enumerate(tokens[1:], start=1):
            spelled = spellings[token]
            if has_prefix and place in begins:
                assert spelled.startswith(b" ")
                spelled = spelled[1:]
            num_bytes += len(spelled)
        assert row["bytes"] == num_bytes
    report = store.report
    text_bytes = sum(report["passage_bytes"].values())
    num_passages = sum(report["num_passages"].values())
    assert report["spelled_bytes"] == text_bytes + has_prefix * num_passages
    assert report["spelled_share"] == pytest.approx(report["spelled_bytes"] / text_bytes)
    assert report["tokens_per_byte"] == pytest.approx(report["num_tokens"] / text_bytes)


def test_truncation_padding_dropout_and_templates_are_switched_off(tmp_path: Path) -> None:
    plain = byte_level()
    content = json.loads(plain.to_str())
    content["truncation"] = {
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    content["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "</s>",
    }  # fmt: skip
    content["model"]["dropout"] = 0.9
    (tmp_path / "plain").mkdir()
    (tmp_path / "set").mkdir()
    expected = stored(tmp_path / "plain", plain, ENGLISH)
    found = stored(tmp_path / "set", json.dumps(content), ENGLISH)
    assert found.fingerprint == expected.fingerprint
    assert np.array_equal(found.tokens, expected.tokens)


def odd(**changes: Any) -> str:
    """A byte-level tokenizer.json with parts of its model, or of itself, replaced."""
    content = json.loads(byte_level().to_str())
    for name, value in changes.items():
        (content["model"] if name in content["model"] else content)[name] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            odd(vocab={"</s>": 0, "a": 30_000_000}, merges=[]),
            r"do not follow one another.*got 2 tokens, the largest id 30000000",
        ),
        (
            odd(vocab={"</s>": 0, "a": 1, "語": 2}, merges=[]),
            r"a token is not written in the byte alphabet.*'語'",
        ),
        (odd(vocab={"</s>": 0, "a": -1}, merges=[]), r"no tokenizer can be read.*integer `-1`"),
        ("[" * 100_000, "no tokenizer can be read from this file"),
        ("\x00garbage", "no tokenizer can be read from this file"),
    ],
    ids=["far ids", "no byte", "negative id", "deep", "garbage"],
)
def test_an_odd_file_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content, encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        load_vocabulary(TokenizerSpec(file=str(tmp_path / "t.json")))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_tokens_that_look_like_bytes_and_are_none_are_text(tmp_path: Path) -> None:
    tokenizer = llama_2()
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"] |= {"<0xZZ>": 700, "<0x+1>": 701}
    (tmp_path / "t.json").write_text(json.dumps(content), encoding="utf-8")
    spellings = load_vocabulary(TokenizerSpec(file=str(tmp_path / "t.json"))).spellings
    assert spellings[700:702] == (b"<0xZZ>", b"<0x+1>")
    assert spellings[2 + 0x41] == b"A"


def pattern(regex: str) -> str:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    content = json.loads(byte_level().to_str())
    parts = [split, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}
    return json.dumps(content)


def test_a_pattern_that_backtracks_for_ever_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"tokenizer: the tokenizer breaks down; got .*retry-limit"):
        stored(tmp_path, pattern("(a+)+$"), ["a" * 60 + "b", "c"])


def test_a_tokenizer_that_does_not_come_to_an_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(encoding, "Thread", mock.Mock())  # which never answers
    with pytest.raises(SpecError, match="the tokenizer does not come to an end"):
        stored(tmp_path, byte_level(), ENGLISH)


def test_a_pipe_or_a_folder_is_no_tokenizer(tmp_path: Path) -> None:
    for name in ("/dev/zero", str(tmp_path)):
        with pytest.raises(SpecError, match=r"no tokenizer can be read.*no file of at most 256 MB"):
            load_vocabulary(TokenizerSpec(file=name))


def test_a_separator_that_texts_have_too_is_refused(tmp_path: Path) -> None:
    content = json.loads(byte_level().to_str())
    content["pre_tokenizer"]["use_regex"] = False
    content["model"]["vocab"]["ĊĊ"] = len(content["model"]["vocab"])
    content["model"]["merges"].insert(0, ["Ċ", "Ċ"])
    spec = spec_of(tmp_path, json.dumps(content), ENGLISH)
    named = spec.model_copy(
        update={"tokenizer": spec.tokenizer.model_copy(update={"separator": "ĊĊ"})}
    )
    with pytest.raises(SpecError, match=r"text-0, passage 0: the token between passages also sta"):
        build(named, tmp_path / "store")


@pytest.mark.parametrize("make", [llama_2, byte_level], ids=["llama 2", "byte-level"])
def test_the_choices_of_a_task_have_one_space_before_them(make: Any, tmp_path: Path) -> None:
    make().save(str(tmp_path / "t.json"))
    settings = {
        "spectrum": {"num_bytes": 200_000, "num_tasks": 1},
        "tokenizer": {"file": str(tmp_path / "t.json")},
        "block_tokens": 512,
    }
    store = build(StoreSpec.model_validate(settings), tmp_path / "store")
    tasks = task_set(store, num_per_group=1)
    assert tasks.items
    for candidate in tasks.candidates:
        choice = tasks.items[candidate.item_index].choices[candidate.choice_index]
        scored = candidate.token_ids[-candidate.num_scored :]
        assert store.vocabulary.text(scored) == f" {choice}"


def test_the_trained_tokenizer_loses_nothing(tmp_path: Path) -> None:
    texts = ["\x00\x1b[31m \u200b ﬁ 語 🙂 <|endoftext|> ▁ <0x41> " * 20, *ENGLISH]
    report = stored(tmp_path, train_tokenizer(ENGLISH, 300), texts).report
    assert report["spelled_share"] == 1.0
