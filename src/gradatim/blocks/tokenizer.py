"""Tokenizers of a block store, and the bytes every token stands for.

A store holds token ids alone; what they mean is the `tokenizer.json` beside them. Bits per byte
and the difficulty of a block need the bytes of a token, so a vocabulary is spelled out once; the
text of a block is then a join of spellings, a hundred times faster than `Tokenizer.decode`.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from gradatim.blocks.spec import TokenizerSpec
from gradatim.errors import MissingExtraError, SpecError
from gradatim.files import hash_json

SEPARATOR = "<|endoftext|>"
KNOWN_SEPARATORS: tuple[str, ...] = (SEPARATOR, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")
WORD_BORDER = "▁"  # sentencepiece's visible space
MOST_IDS = 1 << 22  # four times the largest vocabulary in use; each id is a row of the embedding
MOST_FILE_BYTES = 1 << 28
PASSAGE_BREAK = b"\n\n"  # how a separator is read and scored: words of two passages never join


_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE with the separator at id 0 (Sennrich et al. 2016; Radford et al. 2019).

    The same texts in the same order give the same tokenizer. A small sample may not hold enough
    repeated pairs for `vocab_size`; the vocabulary is then smaller.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def sample_texts(
    texts: Iterable[tuple[str, str]], *, sample_bytes: int, seed: int
) -> Iterator[str]:
    """An even sample of about `sample_bytes` from a stream of (key, text).

    The rank of a text is the hash of its key; the lowest ranks that fill `sample_bytes` are kept
    and given in rank order. One pass, the memory of the sample, independent of stream order.
    """
    kept: list[tuple[int, str]] = []  # ranks negated: the highest is on top of the heap
    kept_bytes = 0
    salt = seed.to_bytes(8, "little")
    for key, text in texts:
        digest = hashlib.blake2b(key.encode(), digest_size=8, salt=salt).digest()
        rank = int.from_bytes(digest, "little")
        if kept_bytes >= sample_bytes and rank > -kept[0][0]:
            continue
        heapq.heappush(kept, (-rank, text))
        kept_bytes += len(text.encode())
        while kept_bytes - len(kept[0][1].encode()) >= sample_bytes:
            kept_bytes -= len(heapq.heappop(kept)[1].encode())
    return (text for _, text in sorted(kept, reverse=True))


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer in the one form stores hold: plain ids, nothing added, cut or padded.

    A corpus may contain its separator as characters (`<|endoftext|>`); encoding those gives
    ordinary tokens, so text can never end a passage.
    """

    tokenizer: Tokenizer
    separator_id: int

    def __post_init__(self) -> None:
        if isinstance(self.tokenizer.model, models.BPE):
            self.tokenizer.model.dropout = None
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.post_processor = None
        self.tokenizer.encode_special_tokens = True

    @cached_property
    def size(self) -> int:
        """One more than the largest id: gaps are rows of the embedding too."""
        return 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values())

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits over the tokenizer's canonical JSON and the separator."""
        return vocabulary_fingerprint(self.tokenizer.to_str(), self.separator_id)

    @cached_property
    def spellings(self) -> tuple[bytes, ...]:
        """The bytes each token stands for; none for the separator and other special tokens.

        Raises:
            SpecError: a tokenizer that loses bytes (WordPiece, word level), for bits per byte would
                mean nothing; one with tokens that are no bytes; one with ids far apart.
        """
        self._check_ids()
        added = self.tokenizer.get_added_tokens_decoder()
        spell = _speller(json.loads(self.tokenizer.to_str()))
        spelled = [b""] * self.size
        for text, token in self.tokenizer.get_vocab(with_added_tokens=True).items():
            if token not in added:
                spelled[token] = spell(text)
            elif not added[token].special and token != self.separator_id:
                spelled[token] = text.encode()
        return tuple(spelled)

    @cached_property
    def prefix(self) -> bytes:
        """What is put before every text: a space (Llama 2, Metaspace) or nothing.

        It is no byte of the text, so the bytes of a block leave it out.
        """
        for text in ("a", "the", "."):
            ids = self.tokenizer.encode(text).ids
            spelled = b"".join(self.spellings[token] for token in ids)
            if spelled == b" " + text.encode():
                return b" "
        return b""

    def _check_ids(self) -> None:
        num_tokens = self.tokenizer.get_vocab_size(with_added_tokens=True)
        if self.size > min(MOST_IDS, 2 * num_tokens + 1024):
            raise SpecError(
                "the ids of the tokenizer do not follow one another",
                where="tokenizer",
                expected=f"at most {MOST_IDS} ids with few gaps",
                got=f"{num_tokens} tokens, the largest id {self.size - 1}",
                remedy="Number its tokens from 0, or choose another",
            )

    @cached_property
    def num_bytes(self) -> NDArray[Any]:
        """[size] length of each spelling; uint8, or uint16 where a token is longer than that."""
        lengths = np.array([len(spelled) for spelled in self.spellings])
        return lengths.astype(np.uint8 if lengths.max() < 256 else np.uint16)

    def text(self, tokens: Iterable[int]) -> str:
        """Tokens as text, separators as blank lines; half a character at an end is U+FFFD."""
        spelled = (
            PASSAGE_BREAK if token == self.separator_id else self.spellings[token]
            for token in tokens
        )
        return b"".join(spelled).decode("utf-8", errors="replace")


def vocabulary_fingerprint(tokenizer_json: str, separator_id: int) -> str:
    """The fingerprint of the vocabulary that was written as this JSON.

    Of a file it needs no tokenizer, and so does not change with the library's way of writing one.
    """
    return hash_json([json.loads(tokenizer_json), separator_id])


def load_vocabulary(spec: TokenizerSpec) -> Vocabulary:
    """The existing tokenizer that `spec.file` or `spec.hf` names, with its separator.

    Raises:
        SpecError: it is missing, unreadable, loses bytes, or has no separator.
        MissingExtraError: `hf` without transformers.
    """
    assert spec.is_existing, "a trained tokenizer is not loaded"
    if spec.file:
        tokenizer, usual = _from_file(spec.file), KNOWN_SEPARATORS
    else:
        tokenizer, usual = _from_hf(spec.hf or "")
    candidates = usual if spec.separator is None else (spec.separator,)
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    separator = next((token for token in candidates if token in vocab), None)
    if separator is None:
        raise SpecError(
            "the tokenizer has no token to put between passages",
            where="tokenizer.separator",
            expected="a token of its vocabulary",
            got=" | ".join(candidates),
            remedy="Name its end-of-text token in `tokenizer.separator`",
        )
    tokenizer.add_special_tokens([AddedToken(separator, special=True, normalized=False)])
    vocabulary = Vocabulary(tokenizer, vocab[separator])
    assert len(vocabulary.spellings) == vocabulary.size  # a lossy tokenizer is refused here
    return vocabulary


def load_tokenizer(spec: TokenizerSpec) -> Tokenizer:
    """The tokenizer alone of `load_vocabulary`."""
    return load_vocabulary(spec).tokenizer


def _from_file(file: str) -> Tokenizer:
    path = Path(file)
    try:
        if not path.is_file() or path.stat().st_size > MOST_FILE_BYTES:
            raise OSError(f"no file of at most {MOST_FILE_BYTES >> 20} MB")
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except BaseException as error:  # a panic of the library is no Exception
        raise unusable(
            error,
            "no tokenizer can be read from this file",
            where=f"tokenizer.file: {file}",
            expected="a tokenizer.json of the tokenizers library",
        ) from error


def unusable(
    error: BaseException,
    problem: str = "the tokenizer breaks down",
    where: str = "tokenizer",
    expected: str | None = None,
) -> BaseException:
    """One line for whatever the library raises; what it did not raise as it is."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return error
    got = " ".join(str(error).split())[:200]
    remedy = None if expected else "Train one (vocab_size) or choose another"
    return SpecError(problem, where=where, expected=expected, got=got, remedy=remedy)


def _from_hf(name: str) -> tuple[Tokenizer, tuple[str, ...]]:
    """The fast tokenizer behind a name or folder, and the names its separator may have."""
    try:
        from transformers import AutoTokenizer  # optional extra
    except ImportError as error:
        raise MissingExtraError(
            "a Hugging Face tokenizer needs transformers",
            where=f"tokenizer.hf: {name}",
            remedy="Install it with `pip install 'gradatim[hf]'`",
        ) from error
    try:
        wrapped = AutoTokenizer.from_pretrained(name, use_fast=True)
        tokenizer = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    except BaseException as error:  # whatever a stranger's files make it raise
        raise unusable(
            error,
            "this tokenizer cannot be loaded",
            where=f"tokenizer.hf: {name}",
            expected="the name or folder of a fast tokenizer",
        ) from error
    end_of_text = () if wrapped.eos_token is None else (str(wrapped.eos_token),)
    return tokenizer, end_of_text + KNOWN_SEPARATORS


def _speller(description: dict[str, Any]) -> Callable[[str], bytes]:
    """How this kind of tokenizer writes bytes as the characters of its vocabulary."""
    parts = [description[key] for key in ("normalizer", "pre_tokenizer", "decoder")]
    written = json.dumps(parts, ensure_ascii=False)
    if '"ByteLevel"' in written:
        return partial(_spell_byte_level, byte_of=_byte_level_alphabet())
    if '"Metaspace"' in written or WORD_BORDER in written:
        has_bytes = bool(description["model"].get("byte_fallback"))
        return partial(_spell_sentencepiece, has_bytes=has_bytes)
    raise SpecError(
        "this kind of tokenizer does not keep every byte of a text",
        where="tokenizer",
        expected="a byte-level or sentencepiece-like tokenizer",
        got=str(description["model"].get("type")),
        remedy="Train one (`vocab_size`) or choose another; bits per byte need every byte",
    )


def _spell_byte_level(text: str, *, byte_of: dict[str, int]) -> bytes:
    strange = next((character for character in text if character not in byte_of), None)
    if strange is None:
        return bytes(byte_of[character] for character in text)
    raise SpecError(
        "a token is not written in the byte alphabet",
        where="tokenizer",
        expected="one character a byte, as GPT-2 writes them",
        got=f"{strange!r} in {text[:40]!r}",
        remedy="Make it an added token, or choose another tokenizer",
    )


def _spell_sentencepiece(text: str, *, has_bytes: bool) -> bytes:
    if has_bytes and (byte := _BYTE_TOKEN.fullmatch(text)):
        return bytes([int(byte[1], 16)])
    return text.replace(WORD_BORDER, " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """Character to byte of GPT-2's byte-level vocabularies (Radford et al. 2019).

    Printable bytes stand for themselves; the others, in order, for the characters from U+0100.
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in printable)
    byte_of = {chr(byte): byte for byte in printable}
    return byte_of | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}
