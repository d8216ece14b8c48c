"""What a reader would count in a text, for one text or a column of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradatim.difficulty.kernel import count_texts
from gradatim.difficulty.patterns import automaton

CountColumns = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Counts of one text; what a word, sentence and syllable is: `gradatim.difficulty.kernel`."""

    num_bytes: int
    num_letters: int
    num_words: int
    num_sentences: int
    num_syllables: int


COUNT_NAMES = tuple(TextCounts.__dataclass_fields__)


def count(text: str) -> TextCounts:
    """The counts of one text; all zero but the bytes where it has no word."""
    columns = count_batch([text])
    return TextCounts(**{name: int(column[0]) for name, column in columns.items()})


def count_batch(texts: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> CountColumns:
    """The counts of many texts, one int64 column of shape [num_texts] for each of `COUNT_NAMES`.

    An Arrow string column is read where it lies; a list is laid out as one first. A null counts
    as an empty text.
    """
    if isinstance(texts, pa.ChunkedArray):
        chunks = texts.chunks
    else:
        chunks = [texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())]
    parts = [_count_array(chunk) for chunk in chunks]
    counts = np.concatenate(parts) if parts else np.zeros((0, len(COUNT_NAMES)), np.int64)
    return {name: np.ascontiguousarray(counts[:, i]) for i, name in enumerate(COUNT_NAMES)}


def _count_array(texts: pa.Array) -> NDArray[np.int64]:
    if not pa.types.is_large_string(texts.type):
        texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    _, offsets_buffer, data_buffer = texts.buffers()
    if data_buffer is None or data_buffer.size == 0:
        return np.zeros((len(texts), len(COUNT_NAMES)), np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8)
    return count_texts(data, offsets, automaton())
