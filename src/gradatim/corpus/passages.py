"""Documents cut into passages short enough to have one difficulty, and exact duplicates dropped.

A cut is looked for where a reader would pause: between paragraphs, else between sentences, else
between lines, else between words, else (a word longer than a passage) between characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gradatim.corpus.cutting import passage_spans
from gradatim.corpus.documents import Document
from gradatim.corpus.hashes import HashSet
from gradatim.errors import SpecError

_LEAST_MAX_BYTES = 16


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document; `index` counts from 0 within it."""

    document_id: str
    index: int
    text: str
    source: str
    level: str | None = None
    split: str | None = None
    values: tuple[float, ...] = ()


def cut(
    document: Document, *, max_bytes: int = 2000, min_bytes: int | None = None
) -> Iterator[Passage]:
    """The passages of a document, in order, none empty, each at most `max_bytes` of UTF-8.

    `min_bytes` is a tenth of `max_bytes` unless given.

    Nothing but whitespace is lost: every passage is a slice of the text, stripped at both ends,
    and what lies before, between and after the passages is whitespace alone. A passage is shorter
    than `min_bytes` only when the whole document is, or by the whitespace stripped from it.

    Raises:
        SpecError: `max_bytes` below 16, or `min_bytes` more than half of it.
    """
    if min_bytes is None:
        min_bytes = max_bytes // 10
    if max_bytes < _LEAST_MAX_BYTES or not 0 <= 2 * min_bytes <= max_bytes:
        raise SpecError(
            "passage sizes do not fit together",
            where="max_bytes, min_bytes",
            expected=f"max_bytes >= {_LEAST_MAX_BYTES} and 0 <= 2 * min_bytes <= max_bytes",
            got=f"max_bytes {max_bytes}, min_bytes {min_bytes}",
        )
    data = document.text.encode()
    view = np.frombuffer(data, np.uint8)
    spans = passage_spans(view, np.array([0, len(data)]), max_bytes, min_bytes)
    for index, (start, end) in enumerate(zip(*(ends.tolist() for ends in spans[1:]), strict=True)):
        text = data[start:end].decode()
        yield Passage(
            document.id,
            index,
            text,
            document.source,
            document.level,
            document.split,
            document.values,
        )


class Deduplicator:
    """Remembers passages by 8-byte hashes of their text with whitespace runs made one space.

    Two different texts share a hash with probability about n² / 2^65 for n passages: one in
    thirty thousand for thirty million passages.
    """

    def __init__(self) -> None:
        self.num_dropped = 0
        self.num_dropped_bytes = 0
        self._seen = HashSet()

    def is_new(self, text: str) -> bool:
        """Whether this text comes for the first time; a repeat is counted."""
        normalised = " ".join(text.split()).encode()
        if self._seen.is_new(normalised):
            return True
        self.num_dropped += 1
        self.num_dropped_bytes += len(text.encode())
        return False


AnyText = TypeVar("AnyText", Document, Passage)


def in_batches(
    texts: Iterator[AnyText], *, max_characters: int, max_texts: int
) -> Iterator[list[AnyText]]:
    """Documents or passages some at a time; the one that makes a batch full is its last."""
    batch: list[AnyText] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text.text)
        if num_characters >= max_characters or len(batch) >= max_texts:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch
