"""The plain form of a text: what a reader sees, in characters that the counting kernel knows.

- Compatibility forms are the letters and digits they stand for, as in Unicode's NFKC: ligatures
  (ﬁ), the long s, full-width, raised, circled and mathematical letters. Fractions (½), ™ and
  spacing accents stay the signs they are.
- An accent behind its letter is one character with it, and nothing where there is no such one.
- What is not seen is nothing: soft hyphens, zero widths, byte order marks, marks of direction,
  variation selectors.
- Every hyphen is `-`; a grave, an acute, a prime or a modifier letter as apostrophe is `'`.

What stands in many texts (kinds of spaces and dashes, ’ and “) the kernel itself takes alike. So
most texts are their own plain form, and only the others are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from unicodedata import category, decomposition, normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from gradatim.difficulty.characters import Bytes, point_at
from gradatim.numba_cache import KEPT

_SIGNS = {
    "'": "\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02ca\u02cb\u0384\u055a\u05f3\u1fbd\u1fbf"
    "\u1fef\u1ffd\u1ffe\u201b\u2032\u2035\u275b\u275c\ua78b\ua78c\uff07\uff40",
    '"': "\u02ba\u02ee\u05f4\u201f\u2033\u2034\u2036\u2037\u2057\u275d\u275e\uff02",
    "-": "\u02d7\u058a\u2010\u2011\u2212\u1806\u2e17\u2e40\ufe63\uff0d",
    "\u2014": "\u2e3a\u2e3b",
    " ": "\u1680",
}
"""A sign, and the characters that are written for it."""

_SPANS = (
    (0x80, 0x3400), (0xA640, 0xAC00), (0xF900, 0x10000), (0x10780, 0x11A00), (0x1BCA0, 0x1BCB0),
    (0x1D100, 0x1D800), (0x1EE00, 0x1F260), (0x1FBF0, 0x1FC00), (0x2F800, 0x2FA20),
    (0xE0000, 0xE0200),
)  # fmt: skip
"""All characters that have a compatibility form, follow a letter or are not seen lie in these."""
_UNSEEN_SPANS = (
    (0x34F, 0x350), (0x115F, 0x1161), (0x17B4, 0x17B6), (0x180B, 0x1810), (0x3164, 0x3165),
    (0xFE00, 0xFE10), (0xFFA0, 0xFFA1), (0xE0000, 0xE0200),
)  # fmt: skip
"""Fillers, joiners and selectors; with those of category Cf, all that is not seen."""
_SEEN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
_ACCENT_SPANS = (
    (0x300, 0x370), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x20D0, 0x2100), (0xFE20, 0xFE30),
)  # fmt: skip
_HANGUL_SPAN = (0x1161, 0x1200)
"""Vowels and finals, which make one character with what stands before."""


def plain_texts(texts: pa.Array) -> pa.Array:
    """Each text in its plain form, as large_string; the column itself where all are so already."""
    texts = _without_nulls(texts)
    forms = _forms()
    data, offsets = text_bytes(texts)
    eights = data[: data.size // 8 * 8].view(np.uint64)
    is_other = _has_any(data, eights, offsets, forms.is_other)
    if not is_other.any():
        return texts
    mask = pa.array(is_other)
    plain = [forms.plain(text) for text in texts.filter(mask).to_pylist()]
    return pc.replace_with_mask(texts, mask, pa.array(plain, pa.large_string()))


def text_bytes(texts: pa.Array) -> tuple[Bytes, NDArray[np.int64]]:
    """The bytes of an Arrow string column and the offsets of its texts, without a copy.

    Only a column of another type than large_string, or with nulls, is copied.
    """
    texts = _without_nulls(texts)
    _, offsets_buffer, data_buffer = texts.buffers()
    if len(texts) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    return data, offsets


def _without_nulls(texts: pa.Array) -> pa.Array:
    if not pa.types.is_large_string(texts.type):
        texts = texts.cast(pa.large_string())
    return pc.fill_null(texts, "") if texts.null_count else texts


@dataclass(frozen=True, slots=True)
class _Forms:
    """What has another plain form than itself.

    Attributes:
        is_other: by code point, whether a text with it is looked at.
        letters: a character and what it stands for.
        last: likewise, with the accents that no letter took.
    """

    is_other: NDArray[np.bool_]
    letters: dict[str, str]
    last: dict[str, str]

    def plain(self, text: str) -> str:
        return _replaced(normalize("NFC", _replaced(text, self.letters)), self.last)


def _replaced(text: str, forms: dict[str, str]) -> str:
    """The same as `str.translate`, several times as fast for the few characters that occur."""
    for character in forms.keys() & set(text):
        text = text.replace(character, forms[character])
    return text


@lru_cache(maxsize=1)
def _forms() -> _Forms:
    letters = {sign: plain for plain, signs in _SIGNS.items() for sign in signs}
    letters |= dict.fromkeys(_characters(*_UNSEEN_SPANS), "")
    followers = set(_characters(_HANGUL_SPAN))
    for character in _characters(*_SPANS):
        if category(character) == "Cf" and character not in _SEEN_FORMATS:
            letters[character] = ""
        parts = decomposition(character).split()
        if len(parts) == 2 and parts[0][0] != "<":
            followers.add(chr(int(parts[1], 16)))
        if parts and character not in letters and _stands_for_letters(character):
            letters[character] = _replaced(normalize("NFKC", character), letters)
    accents = dict.fromkeys(_characters(*_ACCENT_SPANS), "")
    is_other = np.zeros(0x110000, np.bool_)
    is_other[[ord(character) for character in (*letters, *accents, *followers)]] = True
    return _Forms(is_other, letters, letters | accents)


def _stands_for_letters(character: str) -> bool:
    """Whether NFKC says what a reader would; not for …, spaces and spacing accents, ½, ™."""
    compatible = normalize("NFKC", character)
    is_raised_sign = category(character) == "So" and decomposition(character)[:7] == "<super>"
    return (
        compatible != character
        and compatible[0] != " "
        and "\u2044" not in compatible
        and character != "…"
        and not is_raised_sign
    )


def _characters(*spans: tuple[int, int]) -> Iterator[str]:
    return map(chr, chain.from_iterable(range(*span) for span in spans))


_HIGH_BITS = np.uint64(0x8080808080808080)


@njit(cache=KEPT, nogil=True)
def _has_any(
    data: Bytes,
    eights: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    is_wanted: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Whether each text data[offsets[i] : offsets[i + 1]] has one of the characters wanted.

    `eights` are the same bytes, by eight: most are ASCII, which is seen of eight at once.
    """
    found = np.zeros(offsets.size - 1, np.bool_)
    for text in range(found.size):
        i, end = offsets[text], offsets[text + 1]
        while i < end:
            if i % 8 == 0 and i + 8 <= end and not eights[i >> 3] & _HIGH_BITS:
                i += 8
            elif data[i] < 0x80:
                i += 1
            else:
                point, width = point_at(data, i, end)
                if is_wanted[point]:
                    found[text] = True
                    break
                i += width
    return found
