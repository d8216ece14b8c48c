"""The held-out split: of every source and level about the same share of its bytes.

A first pass counts documents; then they are chosen, per stratum (source and level, or difficulty
where the corpus names neither), in the order of the hashes of their ids, as long as they fit: whole
documents where that can be, so that no book lies on both sides. Where it cannot (a lone document,
one larger than all others), one document is cut: a run of its passages is held out.

The choice is a function of ids, bytes and seed, whatever the order of the files. Documents told
apart by `~2`, `~3` fall together.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gradatim.corpus.documents import document_stem
from gradatim.corpus.hashes import Hashes, hash64
from gradatim.errors import InputError
from gradatim.numba_cache import KEPT

MAX_STRATA = 64
"""With more of them, those below a hundredth of the corpus are one stratum a level."""
MAX_LEVELS = 64
MAX_BANDS = 5
LEAST_PASSAGE_BYTES = 200
TOLERANCE = 0.25
"""How far whole documents may miss the bytes asked of a stratum before one is cut."""
MANY_DOCUMENTS = 4096
"""In larger strata only documents of low hashes are remembered: no other is ever chosen."""


@dataclass(frozen=True)
class Split:
    """Which documents are held out, and how many bytes of those that are cut.

    Attributes:
        seed: of the hashes.
        held_out: the keys of whole documents' ids (without `~2`), ascending.
        cuts: key of a document's id to the bytes of it that are held out.
    """

    seed: int
    held_out: Hashes
    cuts: dict[int, int]

    def max_passage_bytes(self, document_id: str, max_bytes: int) -> int:
        """How long the passages of a document may be: shorter where little of it is held out."""
        num_bytes = self.cuts.get(_key(document_id, self.seed))
        if num_bytes is None:
            return max_bytes
        return min(max_bytes, max(num_bytes // 4, LEAST_PASSAGE_BYTES))

    def is_held_out(self, document_id: str, passage_bytes: Sequence[int]) -> list[bool]:
        """Whether each passage of a document is held out; of a cut one a run of them is."""
        key = _key(document_id, self.seed)
        if (num_bytes := self.cuts.get(key)) is not None:
            run = held_out_run(passage_bytes, num_bytes, key / 2**64)
            return [index in run for index in range(len(passage_bytes))]
        key = _key(document_stem(document_id), self.seed)
        place = int(self.held_out.searchsorted(np.uint64(key)))
        is_whole = place < len(self.held_out) and int(self.held_out[place]) == key
        return [is_whole] * len(passage_bytes)


def held_out_run(passage_bytes: Sequence[int], num_bytes: int, position: float) -> range:
    """The passages of a cut document that are held out: one at least, and never all.

    Args:
        passage_bytes: of each passage.
        num_bytes: asked of the run.
        position: where it lies, 0 (at the beginning) to 1 (at the end).
    """
    if len(passage_bytes) < 2:
        return range(0)
    ends = np.cumsum(passage_bytes)
    target = position * max(int(ends[-1]) - num_bytes, 0)
    first = min(int(np.searchsorted(ends, target, side="right")), len(ends) - 1)
    begin = int(ends[first - 1]) if first else 0
    end = int(np.argmin(np.abs(ends - begin - num_bytes))) + 1
    end = max(end, first + 1)
    return range(1, end) if (first, end) == (0, len(ends)) else range(first, end)


class Stratum(NamedTuple):
    """What documents have in common that give their share together."""

    source: str | None
    level: str | None
    half_year: int | None = None


class DocumentCounts:
    """The documents of a corpus: what the split is chosen from.

    At most about 30 bytes a document, and a sixth of that where there are many.

    Args:
        held_out_fraction: share of the bytes to be held out.
        seed: of the hashes.
    """

    def __init__(self, held_out_fraction: float, seed: int) -> None:
        self._fraction = held_out_fraction
        self._seed = seed
        self._highest = min(int(4 * held_out_fraction * 2**64), 2**64 - 1)
        self._strata: dict[Stratum, int] = {}
        self._places: set[tuple[str, str | None]] = set()
        self._num_documents = array("Q")
        self._num_bytes = array("Q")
        self._group, self._document, self._bytes = array("Q"), array("Q"), array("Q")
        self._stratum = array("I")

    @property
    def needs_half_year(self) -> bool:
        """Whether all documents so far are of one source and one level."""
        return len(self._places) < 2

    @property
    def num_remembered(self) -> int:
        """Documents the choice is made from."""
        return len(self._group)

    def add(
        self,
        document_id: str,
        *,
        source: str,
        level: str | None,
        num_bytes: int,
        half_year: int | None = None,
    ) -> None:
        """Count one document.

        Args:
            half_year: its difficulty, where `needs_half_year`.

        Raises:
            InputError: it brings one level too many.
        """
        if (source, level) not in self._places:
            self._places.add((source, level))
            self._check_levels()
        stratum = Stratum(source, level, half_year)
        code = self._strata.setdefault(stratum, len(self._strata))
        if code == len(self._num_bytes):
            self._num_bytes.append(0)
            self._num_documents.append(0)
        self._num_bytes[code] += num_bytes
        self._num_documents[code] += 1
        group = _key(document_stem(document_id), self._seed)
        if group > self._highest and self._num_documents[code] > MANY_DOCUMENTS:
            return
        self._group.append(group)
        self._document.append(_key(document_id, self._seed))
        self._bytes.append(num_bytes)
        self._stratum.append(code)

    def choose(self, *, min_cut_bytes: int) -> Split:
        """The split of the documents counted.

        Args:
            min_cut_bytes: shorter documents may be one passage, and are not cut.
        """
        merged = self._merged()
        num_strata = int(merged.max(initial=-1)) + 1
        total_bytes = np.bincount(merged, np.array(self._num_bytes), num_strata)
        num_documents = np.bincount(merged, np.array(self._num_documents), num_strata)
        stratum = merged[np.array(self._stratum, np.int64)]
        group = np.array(self._group, np.uint64)
        # So that the choice does not depend on which documents of a large stratum came first.
        kept = (group <= np.uint64(self._highest)) | (num_documents[stratum] <= MANY_DOCUMENTS)
        document = np.array(self._document, np.uint64)
        order = np.flatnonzero(kept)
        order = order[np.lexsort((document[order], group[order]))]
        entries = _Entries(
            group[order], document[order], np.array(self._bytes, np.int64)[order], stratum[order]
        )
        asked = np.asarray(self._fraction * total_bytes, np.float64)
        slack = TOLERANCE * min(1.0, 1 / self._fraction - 1)  # never everything
        is_taken = entries.whole(asked, 1 + slack)
        cuts, also = entries.cuts(asked, is_taken, min_cut_bytes)
        is_taken |= np.isin(entries.group, also)
        return Split(self._seed, np.unique(entries.group[is_taken]), cuts)

    def _check_levels(self) -> None:
        levels = {level for _, level in self._places}
        if len(levels) > MAX_LEVELS:
            some = ", ".join(sorted(level or "none" for level in levels)[:3])
            raise InputError(
                "too many levels: a level is a label of a few",
                where="corpus.level_column",
                expected=f"at most {MAX_LEVELS}",
                got=f"more, such as {some}",
                remedy="A number for how hard a text is belongs into difficulty_columns "
                "(--difficulty-column)",
            )

    def _merged(self) -> NDArray[np.int64]:
        """The stratum that is balanced, for each that was counted; numbered in a fixed order."""
        strata = list(self._strata)
        if len(self._places) == 1:
            return self._bands([stratum.half_year or 0 for stratum in strata])
        of_place: Counter[tuple[str | None, str | None]] = Counter()
        for stratum, num_bytes in zip(strata, self._num_bytes, strict=True):
            of_place[stratum[:2]] += num_bytes
        least = 0 if len(of_place) <= MAX_STRATA else sum(of_place.values()) / 100
        places = [
            (source if of_place[source, level] >= least else None, level)
            for source, level, _ in strata
        ]
        ordered = sorted(
            set(places), key=lambda place: [(name or "", name or "") for name in place]
        )
        numbers = {place: number for number, place in enumerate(ordered)}
        return np.array([numbers[place] for place in places], np.int64)

    def _bands(self, half_years: list[int]) -> NDArray[np.int64]:
        """Half-years joined to bands of like bytes, each of which has a document to give."""
        num_bands = min(MAX_BANDS, max(1, int(sum(self._num_documents) * self._fraction)))
        num_bytes = np.array(self._num_bytes, np.int64)
        order = np.argsort(half_years, kind="stable")
        middle = np.cumsum(num_bytes[order]) - num_bytes[order] / 2
        bands = np.empty(len(half_years), np.int64)
        bands[order] = (middle / max(num_bytes.sum(), 1) * num_bands).astype(np.int64)
        return bands


@dataclass(frozen=True)
class _Entries:
    """[num_documents] columns, in the order in which they are chosen; equal groups adjoin."""

    group: Hashes
    document: Hashes
    num_bytes: NDArray[np.int64]
    stratum: NDArray[np.int64]

    def whole(self, asked: NDArray[np.float64], most: float) -> NDArray[np.bool_]:
        """Which are held out whole, at most `most` times the bytes asked of a stratum.

        Documents too large to fit do not make the others give more than their own share.
        """
        fits = self.num_bytes <= most * asked[self.stratum]
        known = np.bincount(self.stratum, self.num_bytes, len(asked))
        fitting = np.bincount(self.stratum, self.num_bytes * fits, len(asked))
        asked = asked * np.divide(fitting, known, out=np.zeros_like(asked), where=known > 0)
        starts = np.flatnonzero(np.r_[True, self.group[1:] != self.group[:-1]])
        ends = np.r_[starts[1:], len(self.group)] if len(self.group) else starts[:0]
        return _fill(self.num_bytes, self.stratum, starts[: len(ends)], ends, asked, most)

    def cuts(
        self, asked: NDArray[np.float64], is_taken: NDArray[np.bool_], min_cut_bytes: int
    ) -> tuple[dict[int, int], list[np.uint64]]:
        """For strata that gave too little: documents to cut, and groups to take all the same.

        A stratum of short documents alone, which cannot be cut, gives one more whole document.
        """
        taken = np.bincount(self.stratum, self.num_bytes * is_taken, len(asked))
        cuts: dict[int, int] = {}
        groups = []
        for stratum in np.flatnonzero(taken < (1 - TOLERANCE) * asked).tolist():
            missing = ceil(asked[stratum] - taken[stratum])
            of_stratum = np.flatnonzero(self.stratum == stratum)
            free = of_stratum[~is_taken[of_stratum]]
            free_bytes = self.num_bytes[free]
            if not len(free):
                continue
            if free_bytes.max() > min_cut_bytes:
                ample = free[free_bytes >= max(2 * missing, min_cut_bytes + 1)]
                chosen = ample[0] if len(ample) else free[np.argmax(free_bytes)]
                cuts[int(self.document[chosen])] = missing
            elif len(free) > 1:
                groups.append(self.group[free[np.argmin(free_bytes)]])
        return cuts, groups


@njit(cache=KEPT)
def _fill(
    num_bytes: NDArray[np.int64],
    stratum: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    asked: NDArray[np.float64],
    most: float,
) -> NDArray[np.bool_]:
    """Take groups in order while a stratum of theirs wants more and none gets too much."""
    taken = np.zeros(asked.size, np.float64)
    is_taken = np.zeros(num_bytes.size, np.bool_)
    for index in range(starts.size):
        is_wanted = False
        for entry in range(starts[index], ends[index]):
            is_wanted |= taken[stratum[entry]] < asked[stratum[entry]]
        if not is_wanted:
            continue
        fits = True
        for entry in range(starts[index], ends[index]):
            taken[stratum[entry]] += num_bytes[entry]
        for entry in range(starts[index], ends[index]):
            fits &= taken[stratum[entry]] <= most * asked[stratum[entry]]
        for entry in range(starts[index], ends[index]):
            is_taken[entry] = fits
            if not fits:
                taken[stratum[entry]] -= num_bytes[entry]
    return is_taken


def _key(name: str, seed: int) -> int:
    """The hash of an id under a seed: its name among others, and its place in the order."""
    return hash64(f"{seed}:{name}".encode(errors="surrogatepass"))
