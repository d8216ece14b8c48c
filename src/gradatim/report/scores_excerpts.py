"""A few sentences out of a text, cut where a reader would pause and safe to print."""

from __future__ import annotations

import re
import statistics
import unicodedata

ELLIPSIS = "…"
_LEAST_CHARACTERS = 140
_MOST_CHARACTERS = 340
_MOST_LINES = 7
_WHOLE_DOCUMENT = 3000  # characters; beyond, the beginning is often a title page
_SHORT_LINE = 52
_SENTENCE_END = re.compile(r"[.!?][\"'’”)\]]*(?=\s)")
_KEPT_FORMATS = "\u200c\u200d"  # joiners that scripts and emoji need


def excerpt(text: str) -> str:
    """From the beginning of a passage, or from the inside of a long document; plain characters.

    Lines stay apart where they are short, as in verse, lists and tables; else they are joined.
    """
    begin = _later_sentence(text) if len(text) > _WHOLE_DOCUMENT else 0
    # What is looked at is bounded, so that a document of 100 MB costs no more than a passage.
    window = text[begin : begin + 8 * _MOST_CHARACTERS]
    clean = _lines(_printable(window))
    shown = _shortened(clean, is_cut=begin + len(window) < len(text))
    return f"{ELLIPSIS} {shown}" if begin else shown


def _later_sentence(text: str) -> int:
    """Where the first sentence after the first third of a text begins."""
    third = len(text) // 3
    end = _SENTENCE_END.search(text, third, third + 2000)
    border = end or re.compile(r"\s").search(text, third, third + 2000)
    return border.end() if border else third


def _printable(text: str) -> str:
    """Without what a reader cannot see: control characters, and formats that reorder a line."""
    return "".join(
        character
        if character in f"\n\t{_KEPT_FORMATS}" or unicodedata.category(character)[0] != "C"
        else " "
        for character in text.replace("\r\n", "\n").replace("\r", "\n")
    )


def _lines(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    filled = [line for line in lines if line]
    # The last line may be cut by the window: its length says nothing.
    lengths = [len(line) for line in filled[:-1]] or [len(line) for line in filled]
    is_short = len(filled) > 2 and statistics.median(lengths) <= _SHORT_LINE
    return "\n".join(filled) if is_short else " ".join(filled)


def _shortened(text: str, *, is_cut: bool) -> str:
    lines = text.split("\n")
    head = "\n".join(lines[:_MOST_LINES])
    is_cut = is_cut or len(lines) > _MOST_LINES
    if len(head) <= _MOST_CHARACTERS:
        return f"{head.rstrip()} {ELLIPSIS}" if is_cut else head
    ends = [found.end() for found in _SENTENCE_END.finditer(head, 0, _MOST_CHARACTERS)]
    if ends and ends[-1] >= _LEAST_CHARACTERS:
        return f"{head[: ends[-1]]} {ELLIPSIS}"
    borders = [found.start() for found in re.finditer(r"\s", head[:_MOST_CHARACTERS])]
    end = borders[-1] if borders and borders[-1] >= _LEAST_CHARACTERS // 2 else _MOST_CHARACTERS
    end = _character_border(head, end)
    return f"{head[:end].rstrip(' ,;:—–-')}{ELLIPSIS}"


def _character_border(text: str, end: int) -> int:
    """Not between a letter and its combining marks or joiners."""
    while 0 < end < len(text) and (
        unicodedata.combining(text[end]) or text[end] in _KEPT_FORMATS or text[end] == "\ufe0f"
    ):
        end -= 1
    return end
