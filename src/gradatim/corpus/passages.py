"""Documents cut into passages short enough to have one difficulty, and exact duplicates dropped.

A cut is looked for where a reader would pause: between paragraphs, else between sentences, else
between lines, else between words, else (a word longer than a passage) between characters. The
search walks backwards from the longest passage allowed with compiled byte searches over one small
window a passage, so cutting costs one pass over the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradatim.corpus.documents import Document
from gradatim.corpus.hashes import HashSet
from gradatim.errors import SpecError

_LEAST_MAX_BYTES = 16

_PARAGRAPH = re.compile(rb"\n[ \t\r]*\n")
_SENTENCE = re.compile(rb"""[.!?](?:["')\]*_]|\xe2\x80[\x99\x9d])*(?=\s)""")
_ABBREVIATED = re.compile(
    rb"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Messrs|Mme|Mlle|Gov|Sen|vs|cf|viz"
    rb"|e\.g|i\.e)|(?:^|[^\w'])[A-HJ-Z])\.$"
)
_LONGEST_ABBREVIATION = 8
_LINE = re.compile(rb"\n")
_WORD = re.compile(rb"\s")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document; `index` counts from 0 within it."""

    document_id: str
    index: int
    text: str
    source: str
    level: str | None = None
    split: str | None = None


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
    index = 0
    start = 0
    while start < len(data):
        end = _cut_after(data, start, max_bytes, min_bytes)
        text = data[start:end].decode().strip()
        start = end
        if text:
            yield Passage(document.id, index, text, document.source, document.level, document.split)
            index += 1


def _cut_after(data: bytes, start: int, max_bytes: int, min_bytes: int) -> int:
    """Where the passage that begins at `start` ends: the last of the best borders in reach."""
    remaining = len(data) - start
    if remaining <= max_bytes:
        return len(data)
    lowest = start + max(min_bytes, 1)
    highest = start + min(max_bytes, remaining - min_bytes)  # leave the last passage its minimum
    for border in (_PARAGRAPH, None, _LINE, _WORD):  # None: a sentence's end
        cut = (
            _last_sentence_end(data, lowest, highest)
            if border is None
            else _last_match_start(border, data, lowest, highest)
        )
        if cut is not None:
            return cut
    while data[highest] & 0xC0 == 0x80:  # never within a character
        highest -= 1
    return highest


def _last_match_start(
    border: re.Pattern[bytes], data: bytes, lowest: int, highest: int
) -> int | None:
    """Start of the last border whose start lies in [lowest, highest]."""
    # A border is a few bytes: the slack lets one that starts at `highest` match to its end.
    last = None
    for match in border.finditer(data, lowest, highest + 8):
        if match.start() > highest:
            break
        last = match.start()
    return last


def _last_sentence_end(data: bytes, lowest: int, highest: int) -> int | None:
    """End of the last sentence that ends in [lowest, highest]; `Mr.` and `J.` end none."""
    ends = [
        match
        for match in _SENTENCE.finditer(data, lowest - 1, highest + 1)
        if lowest <= match.end() <= highest
    ]
    for match in reversed(ends):
        stop = match.start() + 1
        if not _ABBREVIATED.search(data[max(0, stop - _LONGEST_ABBREVIATION) : stop]):
            return match.end()
    return None


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
        digest = hashlib.blake2b(normalised, digest_size=8).digest()
        if self._seen.add(np.array([int.from_bytes(digest, "little")], np.uint64))[0]:
            return True
        self.num_dropped += 1
        self.num_dropped_bytes += len(text.encode())
        return False
