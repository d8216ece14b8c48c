"""Tokens spelled out many at a time, and compared with the text they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.blocks.tokenizer import PASSAGE_BREAK, Vocabulary
from gradatim.errors import SpecError
from gradatim.numba_cache import KEPT

_SHOWN_CHARACTERS = 20


@dataclass(frozen=True)
class Speller:
    """Turns rows of tokens into texts.

    Attributes:
        flat: the spellings of all tokens end to end, a separator as a blank line.
        starts, lengths: [vocab] where each begins in `flat`, and its bytes.
        prefix: what the tokenizer puts before every text.
        separator_id: the token that no text may have.
    """

    flat: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    prefix: bytes
    separator_id: int

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Speller:
        spellings = list(vocabulary.spellings)
        spellings[vocabulary.separator_id] = PASSAGE_BREAK
        lengths = np.array([len(spelled) for spelled in spellings], np.int64)
        flat = np.frombuffer(b"".join(spellings), np.uint8)
        starts = np.cumsum(lengths) - lengths
        return cls(flat, starts, lengths, vocabulary.prefix, vocabulary.separator_id)

    def texts(self, tokens_BT: NDArray[Any]) -> list[str]:
        """One text a row; a character cut by the border of the row becomes U+FFFD."""
        num_rows, num_columns = tokens_BT.shape
        row_ends = np.arange(1, num_rows + 1) * num_columns
        spelled, ends = _spell(tokens_BT.ravel(), row_ends, self.flat, self.starts, self.lengths)
        data = spelled.tobytes()
        begins = [0, *ends.tolist()]
        return [
            data[begin:end].decode("utf-8", errors="replace") for begin, end in pairwise(begins)
        ]

    def check(
        self, texts: Sequence[str], tokens: Sequence[NDArray[Any]], names: Sequence[str]
    ) -> int:
        """Compare texts with what their tokens spell; a prefix that all have is let pass.

        About 12 ns a byte, a fortieth of what encoding takes.

        Args:
            texts: as they were encoded.
            tokens: of each, its separator not included.
            names: of each, for the message.

        Returns:
            Bytes spelled, prefixes included.

        Raises:
            SpecError: naming the first text that lost something, and the character.
        """
        token_ends = np.cumsum([len(ids) for ids in tokens])
        flat = np.concatenate(tokens)
        if len(separators := np.flatnonzero(flat == self.separator_id)):
            raise _separator(names[int(np.searchsorted(token_ends, separators[0], "right"))])
        spelled, ends = _spell(flat, token_ends, self.flat, self.starts, self.lengths)
        expected = self.prefix + self.prefix.join(encoded := [text.encode() for text in texts])
        if spelled.tobytes() == expected:
            wanted_ends = np.cumsum([len(self.prefix) + len(text) for text in encoded])
            if np.array_equal(ends, wanted_ends):
                return len(expected)
        begins = [0, *ends.tolist()]
        for (begin, end), text, name in zip(pairwise(begins), encoded, names, strict=True):
            if (found := spelled[begin:end].tobytes()) != self.prefix + text:
                raise _loss(text, found.removeprefix(self.prefix), name)
        raise AssertionError("a text differs from its tokens, and none does")


def _separator(name: str) -> SpecError:
    return SpecError(
        "the token between passages also stands in a text",
        where=name,
        expected="a separator that no text is encoded to",
        remedy="Name the tokenizer's end-of-text token in `tokenizer.separator`",
    )


def _loss(text: bytes, spelled: bytes, name: str) -> SpecError:
    same = next(
        (at for at, (one, two) in enumerate(zip(text, spelled, strict=False)) if one != two),
        min(len(text), len(spelled)),
    )
    while same and same < len(text) and text[same] & 0xC0 == 0x80:  # to the character's first byte
        same -= 1
    wanted, got = (
        part[same:].decode(errors="replace")[:_SHOWN_CHARACTERS] for part in (text, spelled)
    )
    return SpecError(
        "the tokenizer does not keep every byte of a text",
        where=f"{name}, character {len(text[:same].decode()) + 1}",
        expected=repr(wanted),
        got=repr(got),
        remedy="Train one (vocab_size) or choose another: what is lost makes bits per byte too low",
    )


@njit(cache=KEPT, nogil=True)
def _spell(
    tokens: NDArray[Any],
    token_ends: NDArray[np.int64],
    flat: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The spellings of tokens end to end, and where the texts that end at `token_ends` end."""
    ends = np.empty(token_ends.size, np.int64)
    total = 0
    first = 0
    for text in range(token_ends.size):
        for at in range(first, token_ends[text]):
            total += lengths[tokens[at]]
        first = token_ends[text]
        ends[text] = total
    spelled = np.empty(total, np.uint8)
    position = 0
    for at in range(tokens.size):
        start = starts[tokens[at]]
        for offset in range(lengths[tokens[at]]):
            spelled[position + offset] = flat[start + offset]
        position += lengths[tokens[at]]
    return spelled, ends
