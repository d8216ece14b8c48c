"""Words of a text as numbers: each distinct one is looked up once a text.

A text's own table holds the words met in it: their number in order of appearance and what the
lexicon, or the syllable patterns, know of them. Slots are told old or new by a stamp, the number
of the text, so that nothing is cleared between texts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty import columns as c
from gradatim.difficulty.characters import Bytes
from gradatim.difficulty.compiled import inlined, inner
from gradatim.difficulty.diversity import Ids
from gradatim.difficulty.lexicon import (
    AGE_MASK,
    AGE_SHIFT,
    FAMILIAR,
    FAMILIAR_EARLY,
    FLAG_SHIFT,
    FUNCTION,
    KIND_MASK,
    KIND_SHIFT,
    KNOWN,
    PERSONAL,
    SYLLABLES_MASK,
    ZIPF_OF_UNKNOWN_CENTI,
    ZIPF_SHIFT,
    Table,
    begin_hash,
    end_hash,
    extend_hash,
    known_of,
    pack,
)
from gradatim.difficulty.syllables import APOSTROPHE_SYMBOL, Patterns, look_up

Counts = NDArray[np.int64]

ZIPF_BIN_CENTI = 10
NUM_ZIPF_BINS = 91
_S = 19
_SOUND = np.uint64(SYLLABLES_MASK | KIND_MASK << KIND_SHIFT)


class Tables(NamedTuple):
    """What is read only: the syllable patterns and the lexicon."""

    patterns: Patterns
    lexicon: Table
    lexicon_shift: np.uint64


class Scratch(NamedTuple):
    """What the kernel writes to while it reads a text.

    Attributes:
        letters: of the word being read, from 1 on.
        slots: shape [slots, 4]: hash; stamp and number of the word; what is known of it; unused.
        ids: number of each running part.
        seen: by number of word, for lexical diversity.
        occurrences: likewise.
        zipf: running common parts by bins of their frequency.
        since: words there were when line, paragraph and sentence began.
    """

    letters: Bytes
    slots: Table
    ids: Ids
    seen: Ids
    occurrences: Ids
    zipf: NDArray[np.int64]
    since: NDArray[np.int64]


@inner
def _stem_known(letters: Bytes, n: int, tables: Tables) -> np.uint64:
    """What is known of `dog` for `dog's`."""
    if n < 4 or letters[n] != _S or letters[n - 1] != APOSTROPHE_SYMBOL:
        return np.uint64(0)
    value = begin_hash()
    for i in range(1, n - 1):
        value = extend_hash(value, int(letters[i]))
    return known_of(end_hash(value), tables.lexicon, tables.lexicon_shift)


@inner
def _learn(value: np.uint64, letters: Bytes, n: int, tables: Tables) -> np.uint64:
    """What is known of a word that the text uses for the first time."""
    known = known_of(value, tables.lexicon, tables.lexicon_shift)
    if known:
        return known
    syllables, kind = look_up(letters, n, tables.patterns)
    known = _stem_known(letters, n, tables)
    if known == 0:
        return pack(syllables, kind, 0, 0, ZIPF_OF_UNKNOWN_CENTI)
    return (known & ~_SOUND) | pack(syllables, kind, 0, 0, 0)


@inlined
def most_distinct(scratch: Scratch) -> int:
    """How many distinct parts the text's table is for; it needs free slots to end a search."""
    return int(scratch.slots.shape[0] // 2)


@inlined
def slot_of(value: np.uint64, stamp: np.uint64, slots: Table) -> tuple[np.uint64, bool]:
    """Where a hashed part stands in the text's table, and whether it must be entered there."""
    mask = np.uint64(slots.shape[0] - 1)
    slot = (value >> np.uint64(32)) & mask
    while slots[slot, 1] >> np.uint64(32) == stamp:
        if slots[slot, 0] == value:
            return slot, False
        slot = (slot + np.uint64(1)) & mask
    return slot, True


@inner
def enter(
    slot: np.uint64, value: np.uint64, n: int, stamp: np.uint64, scratch: Scratch,
    tables: Tables, tally: Counts,
) -> None:  # fmt: skip
    """Enter a part of `n` letters, which lie in `scratch`, into the text's table."""
    known = _learn(value, scratch.letters, n, tables)
    number = tally[c.DISTINCT]
    scratch.slots[slot, 0] = value
    scratch.slots[slot, 1] = stamp << np.uint64(32) | np.uint64(number)
    scratch.slots[slot, 2] = known
    scratch.seen[number] = 0
    scratch.occurrences[number] = 0
    tally[c.DISTINCT] += 1
    tally[c.DISTINCT_ZIPF] += int(known >> np.uint64(ZIPF_SHIFT))
    tally[c.DISTINCT_UNFAMILIAR] += (int(known >> np.uint64(FLAG_SHIFT)) & FAMILIAR_EARLY) == 0


@inlined
def tally_part(slot: np.uint64, is_name: bool, scratch: Scratch, tally: Counts) -> np.uint64:
    """Count one running part; returns what is known of it."""
    known = np.uint64(scratch.slots[slot, 2])
    scratch.ids[tally[c.PARTS]] = int(scratch.slots[slot, 1] & np.uint64(0xFFFFFFFF))
    tally[c.PARTS] += 1
    zipf = int(known >> np.uint64(ZIPF_SHIFT))
    if is_name:
        tally[c.NAME_ZIPF] += zipf
        return known
    flags = int(known >> np.uint64(FLAG_SHIFT))
    tally[c.COMMON] += 1
    tally[c.ZIPF] += zipf
    tally[c.SQUARED_ZIPF] += zipf * zipf
    tally[c.UNLISTED] += (flags & KNOWN) == 0
    tally[c.FUNCTION_WORDS] += (flags & FUNCTION) != 0
    tally[c.PERSONAL_PRONOUNS] += (flags & PERSONAL) != 0
    tally[c.AGE] += int(known >> np.uint64(AGE_SHIFT)) & AGE_MASK
    scratch.zipf[zipf // ZIPF_BIN_CENTI] += 1
    return known


@inlined
def is_unfamiliar(known: np.uint64) -> bool:
    """Whether the part is missing from the list of familiar words."""
    return (int(known >> np.uint64(FLAG_SHIFT)) & FAMILIAR) == 0


@inner
def zipf_percentile(bins: NDArray[np.int64], total: int, share: float) -> int:
    """The frequency, in hundredths of the Zipf scale, below which a share of the parts lies.

    Interpolated within a bin of a tenth.
    """
    wanted = share * total
    below = 0.0
    for i in range(bins.size):
        if bins[i] and below + bins[i] >= wanted:
            return int(ZIPF_BIN_CENTI * (i + (wanted - below) / bins[i]))
        below += bins[i]
    return 0
