"""The word counts of all pieces into one table of bounded size.

Tables are merged in the order of the pieces, and the rarest words dropped whenever there are more
than fit, so the result depends on the corpus alone. A dropped word counts as one that was never
seen; those in the table keep their counts from the time they last entered it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradatim.corpus.storage import OutputFolder, open_input

WORDS = "words.parquet"
METADATA = b"gradatim"
"""Key of what a parquet file of ours says of itself."""
MAX_WORDS = 1 << 22
"""Distinct words kept: 64 MB."""

Counted = tuple[NDArray[Any], NDArray[np.int64]]
"""Distinct hashes or keys, and how often each occurs."""


def words_name(index: int) -> str:
    """File of the word counts of a piece."""
    return f"words-{index:05d}.parquet"


def merge_words(
    folder: OutputFolder, num_pieces: int, identity: str, *, max_words: int = MAX_WORDS
) -> None:
    """Writes `words.parquet` from the tables of the pieces, and removes those."""
    tables: list[Counted] = []
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


def _most_frequent(table: Counted, max_words: int) -> Counted:
    """The `max_words` words of the highest counts, equal ones by hash; sorted by hash."""
    hashes, counts = table
    if hashes.size <= max_words:
        return table
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_words])
    return hashes[kept], counts[kept]


def merged_counts(counted: list[Counted]) -> Counted:
    """One table of counts, sorted by what was counted, from many."""
    if not counted:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes = np.concatenate([hashes for hashes, _ in counted])
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    counts = np.concatenate([counts for _, counts in counted])[order]
    if hashes.size == 0:
        return hashes, counts
    firsts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    return hashes[firsts], np.add.reduceat(counts, firsts)


def write_counts(
    file: Any, hashes: Any, counts: Any, identity: str, num_words: int | None = None
) -> None:
    """Word counts as parquet; `num_words` counts also those dropped from the table."""
    total = int(counts.sum()) if num_words is None else num_words
    table = pa.table({"hash": hashes, "count": counts}).replace_schema_metadata(
        {METADATA: json.dumps({"identity": identity, "num_words": total})}
    )
    pq.write_table(table, file, compression="zstd", use_dictionary=False)


def read_counts(path: str, identity: str) -> tuple[Any, Any, int] | None:
    """Hashes, counts, and words in all; None where there are none of this job."""
    try:
        with open_input(path) as file:
            table = pq.read_table(file, use_threads=False)
        about = json.loads(table.schema.metadata[METADATA])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None
    if about.get("identity") != identity:
        return None
    hashes, counts = (table.column(name).to_numpy() for name in ("hash", "count"))
    return hashes, counts, int(about["num_words"])
