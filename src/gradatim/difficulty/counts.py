"""What a reader would count in a text, for one text or a column of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradatim.difficulty.columns import COUNT_NAMES, MEASURE_NAMES
from gradatim.difficulty.english import lexicon
from gradatim.difficulty.kernel import count_texts
from gradatim.difficulty.lexicon import Lexicon
from gradatim.difficulty.patterns import automaton
from gradatim.difficulty.plain import plain_texts, text_bytes
from gradatim.errors import GradatimError

Texts: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray
FloatColumn = np.ma.MaskedArray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of many texts.

    Attributes:
        whole: int64 of shape [num_texts, len(COUNT_NAMES)].
        measures: float64 of shape [num_texts, len(MEASURE_NAMES)], NaN where there is none.
    """

    whole: NDArray[np.int64]
    measures: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.whole.shape[0])

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """One count of every text, by its name in `COUNT_NAMES`.

        Raises:
            KeyError: there is no such count.
        """
        return self.whole[:, _COUNT_INDEX[name]]

    def measure(self, name: str) -> FloatColumn:
        """One measure of every text, by its name in `MEASURE_NAMES`, masked where there is none.

        Raises:
            KeyError: there is no such measure.
        """
        return np.ma.masked_invalid(self.measures[:, _MEASURE_INDEX[name]])

    def row(self, index: int) -> dict[str, int]:
        """The counts of one text by name."""
        return dict(zip(COUNT_NAMES, self.whole[index].tolist(), strict=True))


def ratio(
    numerator: NDArray[Any], denominator: NDArray[np.int64], factor: float = 1.0
) -> FloatColumn:
    """factor · numerator / denominator, masked where the denominator is 0."""
    is_empty = denominator == 0
    return np.ma.MaskedArray(factor * numerator / np.where(is_empty, 1, denominator), is_empty)


_COUNT_INDEX = {name: i for i, name in enumerate(COUNT_NAMES)}
_MEASURE_INDEX = {name: i for i, name in enumerate(MEASURE_NAMES)}


def count(text: str) -> dict[str, int]:
    """The counts of one text by name; all zero but those of characters where it has no word."""
    return count_batch([text]).row(0)


def count_batch(texts: Texts, *, known: Lexicon | None = None) -> Counts:
    """The counts of many texts.

    An Arrow string column is read where it lies; a list is laid out as one first. A null counts
    as an empty text. All but the bytes are counts of a text's plain form
    (`gradatim.difficulty.plain`). Other threads go on meanwhile.

    Args:
        texts: a list, or an Arrow column, chunked or not.
        known: another lexicon than that of English.
    """
    if isinstance(texts, pa.ChunkedArray):
        chunks = texts.chunks
    else:
        chunks = [texts if isinstance(texts, pa.Array) else _column(texts)]
    known = _checked_lexicon() if known is None else known
    parts = [_count_array(chunk, known) for chunk in chunks]
    if len(parts) == 1:
        return Counts(*parts[0])
    whole = [np.zeros((0, len(COUNT_NAMES)), np.int64)] + [part[0] for part in parts]
    measures = [np.zeros((0, len(MEASURE_NAMES)))] + [part[1] for part in parts]
    return Counts(np.concatenate(whole), np.concatenate(measures))


def _column(texts: Sequence[str | None]) -> pa.Array:
    """As large_string; a lone surrogate, which is in no file, counts as what was not decoded."""
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        whole = [text and _SURROGATE.sub("\ufffd", text) for text in texts]
        return pa.array(whole, pa.large_string())


_SURROGATE = re.compile("[\ud800-\udfff]")

_SAMPLE = "Mr. Bell's dog, Rex, ran 3 miles: was it well-known? No!"
_SAMPLE_COUNTS = {
    "num_bytes": 56, "num_words": 11, "num_sentences": 2, "num_syllables": 13, "num_names": 2,
    "num_numbers": 1, "num_commas": 2, "num_colons": 1, "num_questions": 1, "num_hyphens": 1,
    "num_exclamations": 1, "num_apostrophes": 1, "num_capitals": 4,
}  # fmt: skip


@lru_cache(maxsize=1)
def _checked_lexicon() -> Lexicon:
    """The lexicon of English, once a sentence was counted as it must be.

    Compiled code is kept beside each source file and made anew when that file changes, but not
    when a number changes that it took from another file.
    """
    known = lexicon()
    found = count_batch([_SAMPLE], known=known).row(0)
    if found["sum_age_tenths"] == 0 or any(found[name] != n for name, n in _SAMPLE_COUNTS.items()):
        raise GradatimError(
            "the compiled counting kernel is out of date",
            where=str(Path(__file__).parent / "__pycache__"),
            expected="the counts of a known sentence",
            got="others",
            remedy="Delete that folder; the kernel is compiled again at the next start",
        )
    return known


def _count_array(texts: pa.Array, known: Lexicon) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    plain = plain_texts(texts)
    data, offsets = text_bytes(plain)
    whole, measures = count_texts(data, offsets, automaton(), known.table, np.uint64(known.shift))
    if plain is not texts:
        whole[:, _COUNT_INDEX["num_bytes"]] = np.diff(text_bytes(texts)[1])
    return whole, measures
