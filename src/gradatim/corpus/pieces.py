"""A corpus in pieces that can be read apart: any number of workers, always the same pieces.

A piece is a run of neighbouring segments, a segment a part of one file that can be read without
the rest: rows of a parquet file, a range of bytes of an uncompressed JSON-lines file, any other
file whole. Where the pieces begin and end depends on the corpus alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from gradatim.corpus.columns import Columns
from gradatim.corpus.folders import PassedOver
from gradatim.corpus.hub import HUB_PREFIX, HubLocation
from gradatim.corpus.locations import CorpusFile, Segment
from gradatim.corpus.readers import count_lines
from gradatim.corpus.storage import compression_of, corpus_files
from gradatim.corpus.tables import group_sizes, open_parquet
from gradatim.errors import InputError

MIN_PIECE_BYTES = 4 * 2**20
MAX_PIECE_BYTES = 128 * 2**20
_PIECES_A_CORPUS = 256
MIN_PART_BYTES = 32 * 2**20
_MOST_PARTS_OF_A_ROW_GROUP = 4  # each part but the first decodes the rows before it once more
_EXPANSION = 3  # what gzip and zstd make of prose, about


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring segments that are read by one worker; `index` counts from 0."""

    index: int
    segments: tuple[Segment, ...]

    @property
    def num_bytes(self) -> int:
        """About how much text it holds."""
        return sum(segment.num_bytes for segment in self.segments)

    def __str__(self) -> str:
        more = len(self.segments) - 1
        return str(self.segments[0]) + (f" and {more} more" if more else "")


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """The files of a corpus as they are now, and its pieces in corpus order.

    Attributes:
        passed_over: other files of its folders, by the ends of their names.
    """

    files: tuple[CorpusFile, ...]
    pieces: tuple[Piece, ...]
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """About how much text there is."""
        return sum(piece.num_bytes for piece in self.pieces)


def plan_pieces(
    location: str | Sequence[str],
    columns: Columns | None = None,
    *,
    skip_bad: bool = False,
    piece_bytes: int | None = None,
) -> CorpusPlan:
    """Divide a corpus into pieces; opens parquet files for their sizes, reads no text.

    Args:
        location: as in `gradatim.corpus.documents.read_documents`, or URLs that fsspec knows.
        columns: which columns of parquet files will be read.
        skip_bad: leave files that cannot be opened for the reader to report.
        piece_bytes: about how much text a piece holds; by default a 256th of the corpus, but 4 MB
            at least and 128 MB at most; a row group is then not divided below 32 MB.

    Raises:
        InputError: nothing there, nothing readable, a missing column.
    """
    columns = columns or Columns()
    passed_over: PassedOver = Counter()
    files: list[CorpusFile] = []
    found: list[CorpusFile | HubLocation] = []
    for part in (location,) if isinstance(location, str) else location:
        if part.startswith(HUB_PREFIX):
            found.append(HubLocation.parse(part))
        else:
            files += (here := corpus_files(part, passed_over))
            found += here
    formats = {part.whole.format for part in found}
    columns.check_used(formats, location if isinstance(location, str) else ", ".join(location))
    min_part_bytes = 0
    if piece_bytes is None:
        min_part_bytes = MIN_PART_BYTES
        # Of the files as they lie: to look into them is the next step.
        total_bytes = sum(file.num_bytes for file in files)
        wanted = total_bytes // _PIECES_A_CORPUS
        piece_bytes = min(max(wanted, MIN_PIECE_BYTES), MAX_PIECE_BYTES)
    segments = [
        segment
        for part in found
        for segment in _segments_of(part, columns, skip_bad, piece_bytes, min_part_bytes)
    ]
    return CorpusPlan(tuple(files), tuple(_packed(segments, piece_bytes)), dict(+passed_over))


def count_segment_lines(segment: Segment) -> int:
    """Lines that begin in a segment of a JSON-lines file; 0 where its reader will object."""
    assert segment.end is not None
    try:
        return count_lines(segment.path, segment.first, segment.end)
    except OSError:
        return 0


def with_line_numbers(pieces: Sequence[Piece], counts: Sequence[int]) -> tuple[Piece, ...]:
    """The pieces with `lines_before` filled in.

    Args:
        counts: `count_segment_lines` of every segment that `needs_line_numbers`, in order.
    """
    remaining = iter(counts)
    path, before = "", 0
    numbered = []
    for piece in pieces:
        segments = []
        for segment in piece.segments:
            if segment.needs_line_numbers:
                before = before if segment.path == path and segment.first > 0 else 0
                path = segment.path
                segments.append(replace(segment, lines_before=before))
                before += next(remaining)
            else:
                segments.append(segment)
        numbered.append(replace(piece, segments=tuple(segments)))
    return tuple(numbered)


def _segments_of(
    part: CorpusFile | HubLocation,
    columns: Columns,
    skip_bad: bool,
    piece_bytes: int,
    min_part_bytes: int,
) -> Iterator[Segment]:
    if isinstance(part, HubLocation):
        yield part.whole
        return
    whole = part.whole
    if compression_of(part.path) is not None:
        yield replace(whole, num_bytes=_EXPANSION * part.num_bytes)
    elif part.format == "json" and part.num_bytes > piece_bytes:
        num_parts = -(-part.num_bytes // piece_bytes)
        yield from _divided(whole, num_parts, part.num_bytes, part.num_bytes)
    elif part.format == "parquet":
        try:
            yield from _parquet_segments(whole, columns, piece_bytes, min_part_bytes)
        except InputError:
            if not skip_bad:
                raise
            yield whole
    else:
        yield whole


def _parquet_segments(
    whole: Segment, columns: Columns, piece_bytes: int, min_part_bytes: int
) -> Iterator[Segment]:
    with open_parquet(whole.path) as file:
        text = columns.chosen(names := file.schema_arrow.names, whole.path)["text"]
        columns.to_read(names, whole.path)
        sizes = list(group_sizes(file.metadata, [text]))
    first = end = num_bytes = 0
    for num_rows, group_bytes in sizes:
        if num_rows == 0:
            continue
        if end > first and num_bytes + group_bytes > piece_bytes:
            yield replace(whole, first=first, end=end, num_bytes=num_bytes)
            first, num_bytes = end, 0
        if group_bytes > piece_bytes:
            part_bytes = max(piece_bytes, min_part_bytes)
            num_parts = min(-(-group_bytes // part_bytes), _MOST_PARTS_OF_A_ROW_GROUP, num_rows)
            for part in _divided(whole, num_parts, num_rows, group_bytes):
                assert part.end is not None
                yield replace(part, first=end + part.first, end=end + part.end)
            first = end = end + num_rows
            continue
        end += num_rows
        num_bytes += group_bytes
    if end > first:
        yield replace(whole, first=first, end=end, num_bytes=num_bytes)


def _divided(whole: Segment, num_parts: int, length: int, num_bytes: int) -> Iterator[Segment]:
    """`num_parts` segments over the rows or bytes 0 to `length`, as equal as can be."""
    borders = [length * index // num_parts for index in range(num_parts + 1)]
    for first, end in pairwise(borders):
        share = num_bytes * (end - first) // length
        yield replace(whole, first=first, end=end, num_bytes=share)


def _packed(segments: Sequence[Segment], piece_bytes: int) -> Iterator[Piece]:
    """Neighbours together in one piece while they fit."""
    waiting: list[Segment] = []
    index = num_bytes = 0
    for segment in segments:
        if waiting and num_bytes + segment.num_bytes > piece_bytes:
            yield Piece(index, tuple(waiting))
            waiting, num_bytes, index = [], 0, index + 1
        waiting.append(segment)
        num_bytes += segment.num_bytes
    if waiting:
        yield Piece(index, tuple(waiting))
