"""Whether a mark ends its sentence.

A *sentence* is a run of at least one word that ends at a full stop, question or exclamation mark,
an ellipsis, a blank line, or the end of the text. A mark ends no sentence when a small letter
follows (`"Where?" he asked`), except that a plain full stop does; a full stop ends none after a
title (`Mr.`), an initial (`J. Smith`, `U.S. Army`), a list number at the start of a sentence, nor,
unless a capital follows, after the likes of `etc.` and `p.m.`
"""

from __future__ import annotations

from gradatim.difficulty.characters import (
    APOSTROPHE,
    CLOSER,
    DASH,
    ELLIPSIS,
    HYPHEN,
    LOWER,
    NEWLINE,
    NOTHING,
    OPENER,
    SPACE,
    STOP,
    UPPER,
    Bytes,
    kind_at,
)
from gradatim.difficulty.compiled import inner
from gradatim.difficulty.syllables import SHORTENED, TITLE


@inner
def _look_ahead(data: Bytes, i: int, end: int) -> tuple[int, int, bool]:
    """What stands behind the mark that ends at `i`.

    Returns:
        The kind of the next letter, digit or other sign, or NEWLINE where the paragraph ends, or
        NOTHING where no space parts it from the mark; the number of further marks; and whether a
        closing quote or bracket followed the mark.
    """
    num_more = 0
    num_newlines = 0
    is_parted = False
    is_closed = False
    while i < end:
        kind, width = kind_at(data, i, end)
        if kind == NEWLINE:
            num_newlines += 1
            if num_newlines > 1:
                return NEWLINE, num_more, is_closed
        elif STOP <= kind <= ELLIPSIS:
            num_more += 1
            num_newlines = 0
        elif kind in (CLOSER, APOSTROPHE) and not is_parted:
            is_closed = True
        elif kind not in (SPACE, CLOSER, OPENER, APOSTROPHE, DASH, HYPHEN):
            return kind if is_parted else NOTHING, num_more, is_closed
        is_parted = is_parted or kind in (SPACE, NEWLINE, DASH, HYPHEN)
        i += width
    return NEWLINE, num_more, is_closed


@inner
def ends_sentence(data: Bytes, i: int, end: int, mark: int, word_kind: int) -> bool:
    """Whether the mark that ends at `i`, after a word of that kind, ends its sentence."""
    following, num_more, is_closed = _look_ahead(data, i, end)
    if following == NEWLINE:
        return True
    if following == NOTHING:
        return False
    is_plain_stop = mark == STOP and num_more == 0
    if is_plain_stop and word_kind == TITLE:
        return False
    if is_plain_stop and word_kind == SHORTENED:
        return following == UPPER
    if following == LOWER:
        return is_plain_stop and not is_closed
    return True
