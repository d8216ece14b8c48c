"""One piece of a corpus into one file of scores: what every worker of every engine runs.

The file carries the report of its making in its footer, so that what is finished can be told from
the files alone: a part is there whole, or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gradatim.corpus.batches import PassageBatch, TextBatch, cut_batch, read_piece
from gradatim.corpus.documents import Skipped
from gradatim.corpus.pieces import Piece
from gradatim.corpus.storage import OutputFolder, open_input
from gradatim.difficulty.surface import surface_columns
from gradatim.difficulty.vocabulary import corpus_rarity, count_words
from gradatim.scoring.columns import CORPUS_RARITY
from gradatim.scoring.spec import ScoringSpec
from gradatim.scoring.word_counts import (
    METADATA,
    WORDS,
    merged_counts,
    read_counts,
    words_name,
    write_counts,
)

_ROW_GROUP_ROWS = 1 << 16

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker has to know besides its piece.

    Attributes:
        spec: of the whole corpus.
        out: the scores folder.
        identity: hash of everything a part depends on but its piece.
    """

    spec: ScoringSpec
    out: str
    identity: str


@dataclass(slots=True, kw_only=True)
class ScoresSummary(Skipped):
    """What came of some of a corpus.

    Attributes:
        num_bytes: of the text of all rows.
        num_not_prose: rows whose readability means nothing.
    """

    num_documents: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    num_not_prose: int = 0


@dataclass(slots=True, kw_only=True)
class PartReport(ScoresSummary):
    """What came of one piece.

    Attributes:
        identity: of the job.
        piece: index of the piece.
        reads: which files and ranges, in words.
        content: hash of the scored text.
    """

    identity: str
    piece: int
    reads: str
    content: str = ""

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        return cls(**{entry.name: content[entry.name] for entry in fields(cls)})

    @classmethod
    def begun(cls, job: Job, piece: Piece) -> Self:
        return cls(identity=job.identity, piece=piece.index, reads=str(piece))


def part_name(index: int) -> str:
    """File of the scores of a piece."""
    return f"part-{index:05d}.parquet"


def score_piece(job: Job, piece: Piece, on_bytes: OnBytes | None = None) -> dict[str, Any]:
    """Writes a piece's part; returns its `PartReport` as a mapping.

    Args:
        on_bytes: hears the bytes of text as they are scored.

    Raises:
        InputError: the piece cannot be read as asked.
    """
    report = PartReport.begun(job, piece)
    content = hashlib.blake2b(digest_size=16)
    folder = OutputFolder(job.out)
    with folder.writing(part_name(piece.index)) as file:
        writer = _PartWriter(file)
        for batch, passages in _passages(job, piece, report):
            table = _score(job, batch, passages)
            report.num_rows += table.num_rows
            report.num_not_prose += table.num_rows - table.column("is_prose").to_numpy().sum()
            num_bytes = int(table.column("num_bytes").to_numpy().sum())
            report.num_bytes += num_bytes
            _, offsets, data = passages.text.buffers()
            content.update(offsets)
            content.update(data)
            writer.write(table)
            if on_bytes is not None:
                on_bytes(num_bytes)
        report.num_not_prose = int(report.num_not_prose)
        report.content = content.hexdigest()
        writer.close(report, _empty(job))
    return asdict(report)


def count_piece(job: Job, piece: Piece, on_bytes: OnBytes | None = None) -> None:
    """Writes the word counts of a piece's passages."""
    report = PartReport.begun(job, piece)
    counted = []
    for _, passages in _passages(job, piece, report):
        counted.append(count_words(passages.text))
        if len(counted) == 8:
            counted = [merged_counts(counted)]
        if on_bytes is not None:
            on_bytes(passages.text.nbytes)
    hashes, counts = merged_counts(counted)
    with OutputFolder(job.out).writing(words_name(piece.index)) as file:
        write_counts(file, hashes, counts, job.identity)


def read_report(folder: OutputFolder, index: int) -> PartReport | None:
    """The report in the footer of a part; None where the file is none of ours."""
    try:
        with open_input(folder.path_of(part_name(index))) as file:
            metadata = pq.read_metadata(file).metadata or {}
        return PartReport.of(json.loads(metadata[METADATA]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None


def piece_texts(job: Job, piece: Piece, rows: set[int]) -> dict[int, str]:
    """Row → text, for some rows of a part; stops reading after the last."""
    report = PartReport.begun(job, piece)
    found: dict[int, str] = {}
    at = 0
    for _, passages in _passages(job, piece, report):
        here = [row for row in rows if at <= row < at + len(passages.text)]
        found |= {row: passages.text[row - at].as_py() for row in here}
        at += len(passages.text)
        if len(found) == len(rows):
            break
    return found


@lru_cache(maxsize=1)
def _corpus_counts(path: str, identity: str) -> tuple[Any, Any, int]:
    found = read_counts(path, identity)
    assert found is not None, f"{path}: no word counts of this job"
    return found


def _passages(
    job: Job, piece: Piece, report: PartReport
) -> Iterator[tuple[TextBatch, PassageBatch]]:
    """The batches of a piece with their passages; bad and blank documents are counted."""
    max_bytes, min_bytes = job.spec.passage_bytes
    for batch in read_piece(piece, job.spec.columns, report.report(job.spec.on_bad)):
        passages = cut_batch(batch, max_bytes=max_bytes, min_bytes=min_bytes)
        report.num_documents += len(batch.text) - passages.num_blank
        report.num_blank += passages.num_blank
        if len(passages.text):
            yield batch, passages


def _score(job: Job, batch: TextBatch, passages: PassageBatch) -> pa.Table:
    document = pa.array(passages.document)
    columns = {
        "id": batch.id.take(document),
        "start_byte": pa.array(passages.start_byte),
        "num_bytes": pc.binary_length(passages.text),
        "source": batch.source.take(document),
        "level": batch.level.take(document),
    }
    scores = surface_columns(passages.text, job.spec.surface)
    if CORPUS_RARITY in job.spec.metrics:
        path = OutputFolder(job.out).path_of(WORDS)
        hashes, counts, num_words = _corpus_counts(path, job.identity)
        scores[CORPUS_RARITY] = corpus_rarity(passages.text, hashes, counts, num_words)
    metrics = {name: scores.pop(name) for name in job.spec.metrics}
    last = {name: scores.pop(name) for name in ("is_prose", "not_prose_reason")}
    counts_only = {name: column for name, column in scores.items() if name not in columns}
    return pa.table(columns | metrics | counts_only | last)


def _empty(job: Job) -> pa.Table:
    """No row, but every column: the part of a piece without text."""
    none = pa.array([], pa.string())
    text = pa.array([], pa.large_string())
    numbers = np.zeros(0, np.int64)
    return _score(job, TextBatch(text, none, none, none), PassageBatch(text, numbers, numbers, 0))


class _PartWriter:
    """Rows into row groups of even size, whatever the batches they come in."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._num_waiting += table.num_rows
        if self._num_waiting >= _ROW_GROUP_ROWS:
            self._flush()

    def close(self, report: PartReport, empty: pa.Table) -> None:
        """Writes what waits, the report, and the footer."""
        if self._waiting or self._writer is None:
            self._waiting.append(empty)
            self._flush()
        assert self._writer is not None
        self._writer.add_key_value_metadata({METADATA: json.dumps(asdict(report))})
        self._writer.close()

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._waiting, self._num_waiting = [], 0
