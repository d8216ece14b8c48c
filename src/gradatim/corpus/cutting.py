"""The search for passage borders in bytes, compiled: what `gradatim.corpus.passages` cuts by.

One small window a passage is looked at, so cutting costs about one pass over the text; nothing
here holds the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.numba_cache import KEPT

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

_TAB, _NEWLINE, _RETURN, _SPACE = 9, 10, 13, 32
_STOP, _EXCLAMATION, _QUESTION, _APOSTROPHE = 46, 33, 63, 39
_PARAGRAPH_SLACK_BYTES = 8  # a border that starts at the last allowed byte may end behind it
_NEVER = -1


def _table_of_abbreviations() -> Bytes:
    """Abbreviations with their stop, right-aligned in rows of 8 bytes, zeros before them."""
    words = [
        "Mr", "Mrs", "Ms", "Dr", "St", "Prof", "Rev", "Hon", "Capt", "Col", "Gen", "Lt", "Sgt",
        "Messrs", "Mme", "Mlle", "Gov", "Sen", "vs", "cf", "viz", "e.g", "i.e",
    ]  # fmt: skip
    rows = np.zeros((len(words), 8), np.uint8)
    for row, word in zip(rows, words, strict=True):
        row[7 - len(word) :] = np.frombuffer(f"{word}.".encode(), np.uint8)
    return rows


_ABBREVIATIONS = _table_of_abbreviations()
_INITIALS = np.isin(np.arange(256), np.frombuffer(b"ABCDEFGHJKLMNOPQRSTUVWXYZ", np.uint8))
_CLOSERS = np.isin(np.arange(256), np.frombuffer(b"\"')]*_", np.uint8))
_IS_WORD = np.isin(np.arange(256), [i for i in range(128) if chr(i).isalnum() or chr(i) == "_"])
_IS_BLANK = np.isin(np.arange(256), np.frombuffer(b" \t\n\r\f\v", np.uint8))


@njit(cache=KEPT)
def _last_paragraph(data: Bytes, lowest: int, highest: int) -> int:
    """Start of the last blank line that starts in [lowest, highest]; borders never overlap."""
    stop = min(highest + _PARAGRAPH_SLACK_BYTES, data.size)
    last = _NEVER
    i = lowest
    while i <= highest and i < stop:
        if data[i] != _NEWLINE:
            i += 1
            continue
        j = i + 1
        while j < stop and (data[j] == _SPACE or data[j] == _TAB or data[j] == _RETURN):
            j += 1
        if j < stop and data[j] == _NEWLINE:
            last = i
            i = j + 1
        else:
            i += 1
    return last


@njit(cache=KEPT)
def _is_abbreviated(data: Bytes, stop: int) -> bool:
    """Whether the full stop that ends at `stop` belongs to a title, an initial or the like."""
    if data[stop - 1] != _STOP:
        return False
    if stop >= 2 and _INITIALS[data[stop - 2]]:
        if stop == 2:
            return True
        before = data[stop - 3]
        if not _IS_WORD[before] and before != _APOSTROPHE:
            return True
    for row in range(_ABBREVIATIONS.shape[0]):
        k = 1
        while k < 8 and _ABBREVIATIONS[row, 7 - k] != 0:
            if stop - 1 - k < 0 or data[stop - 1 - k] != _ABBREVIATIONS[row, 7 - k]:
                break
            k += 1
        else:
            if stop - 1 - k < 0 or not _IS_WORD[data[stop - 1 - k]]:
                return True
    return False


@njit(cache=KEPT)
def _sentence_end(data: Bytes, mark: int, stop: int) -> int:
    """End of the sentence whose mark is at `mark`, closing quotes included; -1 if it ends none."""
    i = mark + 1
    while i < stop:
        if _CLOSERS[data[i]]:
            i += 1
        elif (
            i + 2 < stop
            and data[i] == 0xE2
            and data[i + 1] == 0x80
            and (data[i + 2] == 0x99 or data[i + 2] == 0x9D)
        ):
            i += 3
        else:
            break
    return i if i < stop and _IS_BLANK[data[i]] else _NEVER


@njit(cache=KEPT)
def _last_sentence_end(data: Bytes, lowest: int, highest: int) -> int:
    """End of the last sentence that ends in [lowest, highest]; `Mr.` and `J.` end none."""
    for mark in range(highest - 1, max(lowest - 1, 0) - 1, -1):
        byte = data[mark]
        if byte in (_STOP, _EXCLAMATION, _QUESTION):
            end = _sentence_end(data, mark, min(highest + 1, data.size))
            if lowest <= end <= highest and not _is_abbreviated(data, mark + 1):
                return end
    return _NEVER


@njit(cache=KEPT)
def _cut_after(data: Bytes, start: int, end: int, max_bytes: int, min_bytes: int) -> int:
    """Where the passage that begins at `start` ends: the last of the best borders in reach."""
    remaining = end - start
    if remaining <= max_bytes:
        return end
    lowest = start + max(min_bytes, 1)
    highest = start + min(max_bytes, remaining - min_bytes)  # leave the last passage its minimum
    cut = _last_paragraph(data, lowest, highest)
    if cut == _NEVER:
        cut = _last_sentence_end(data, lowest, highest)
    if cut != _NEVER:
        return cut
    for i in range(highest, lowest - 1, -1):
        if data[i] == _NEWLINE:
            return i
    for i in range(highest, lowest - 1, -1):
        if _IS_BLANK[data[i]]:
            return i
    while data[highest] & 0xC0 == 0x80:  # never within a character
        highest -= 1
    return highest


@njit(cache=KEPT)
def _space_bytes(data: Bytes, i: int, end: int) -> int:
    """Bytes of the whitespace character at `i`, 0 if there is none; as `str.isspace` has it."""
    byte = data[i]
    if byte < 0x80:
        return 1 if byte == _SPACE or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if i + 1 < end and (data[i + 1] == 0x85 or data[i + 1] == 0xA0) else 0
    if byte < 0xE1 or byte > 0xE3 or i + 2 >= end:
        return 0
    second, third = data[i + 1], data[i + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        is_space = 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF
        return 3 if is_space else 0
    return 3 if second == 0x81 and third == 0x9F else 0


@njit(cache=KEPT)
def _stripped(data: Bytes, start: int, end: int) -> tuple[int, int]:
    """The span without whitespace at both ends; start == end where nothing else is in it."""
    while start < end:
        width = _space_bytes(data, start, end)
        if width == 0:
            break
        start += width
    while start < end:
        first = end - 1
        while first > start and data[first] & 0xC0 == 0x80:
            first -= 1
        width = _space_bytes(data, first, end)
        if width == 0 or first + width != end:
            break
        end = first
    return start, end


@njit(cache=KEPT, nogil=True)
def passage_spans(
    data: Bytes, offsets: Offsets, max_bytes: int, min_bytes: int
) -> tuple[Offsets, Offsets, Offsets]:
    """The passages of the texts data[offsets[i] : offsets[i + 1]].

    Args:
        data: UTF-8.
        offsets: shape [num_texts + 1].
        max_bytes, min_bytes: of a passage; `max_bytes` 0 takes every text whole, unstripped,
            and leaves out those of whitespace alone.

    Returns:
        Text, first byte and end of each passage in `data`, three arrays of shape [num_passages].
    """
    capacity = offsets.size - 1
    if max_bytes > 0:
        capacity += int((offsets[-1] - offsets[0]) // max(min_bytes, 1))
    texts = np.empty(capacity, np.int64)
    starts = np.empty(capacity, np.int64)
    ends = np.empty(capacity, np.int64)
    num = 0
    for text in range(offsets.size - 1):
        start, end = offsets[text], offsets[text + 1]
        own = data[start:end]  # no border is looked for behind or before the text
        at = 0
        while at < own.size:
            to = own.size if max_bytes == 0 else _cut_after(own, at, own.size, max_bytes, min_bytes)
            first, last = _stripped(own, at, to)
            if first < last:
                texts[num] = text
                starts[num] = start + (at if max_bytes == 0 else first)
                ends[num] = start + (to if max_bytes == 0 else last)
                num += 1
            at = to
    return texts[:num].copy(), starts[:num].copy(), ends[:num].copy()


@njit(cache=KEPT, nogil=True)
def gathered(data: Bytes, starts: Offsets, ends: Offsets) -> tuple[Bytes, Offsets]:
    """The spans data[starts[i] : ends[i]] one behind the other, with offsets [num_spans + 1]."""
    offsets = np.zeros(starts.size + 1, np.int64)
    for i in range(starts.size):
        offsets[i + 1] = offsets[i] + ends[i] - starts[i]
    joined = np.empty(offsets[-1], np.uint8)
    for i in range(starts.size):
        joined[offsets[i] : offsets[i + 1]] = data[starts[i] : ends[i]]
    return joined, offsets
