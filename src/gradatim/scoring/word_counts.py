"""The word counts of all pieces into one table of bounded size.

Tables are merged in the order of the pieces, and the rarest words dropped whenever there are more
than fit, so the result depends on the corpus alone. A dropped word counts as one that was never
seen; those in the table keep their counts from the time they last entered it.
"""

from __future__ import annotations

import numpy as np

from gradatim.corpus.storage import OutputFolder
from gradatim.scoring.part import (
    WORDS,
    WordCounts,
    merged_counts,
    read_counts,
    words_name,
    write_counts,
)

MAX_WORDS = 1 << 22
"""Distinct words kept: 64 MB."""


def merge_words(
    folder: OutputFolder, num_pieces: int, identity: str, *, max_words: int = MAX_WORDS
) -> None:
    """Writes `words.parquet` from the tables of the pieces, and removes those."""
    tables: list[WordCounts] = []
    num_words = num_waiting = 0
    for index in range(num_pieces):
        found = read_counts(folder.path_of(words_name(index)), identity)
        assert found is not None, f"{words_name(index)}: no word counts of this job"
        hashes, counts, num_here = found
        num_words += num_here
        num_waiting += hashes.size
        tables.append((hashes, counts))
        if num_waiting > max_words:
            tables, num_waiting = [_most_frequent(merged_counts(tables), max_words)], 0
    hashes, counts = _most_frequent(merged_counts(tables), max_words)
    with folder.writing(WORDS) as file:
        write_counts(file, hashes, counts, identity, num_words)
    for index in range(num_pieces):
        folder.remove(words_name(index))


def _most_frequent(table: WordCounts, max_words: int) -> WordCounts:
    """The `max_words` words of the highest counts, equal ones by hash; sorted by hash."""
    hashes, counts = table
    if hashes.size <= max_words:
        return table
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_words])
    return hashes[kept], counts[kept]
