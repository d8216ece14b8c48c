"""A corpus of any size into a folder of scores, by any number of workers, always the same bytes.

    part-00000.parquet ...   one a piece of the corpus, rows in corpus order
    settings.json            what is being scored: written first
    words.parquet            word counts of the corpus, where `corpus_rarity` is asked for
    scores.json              what the columns mean, quantiles, bands: written last

A part is written whole or not at all, and says in its footer what it was made from. A killed run
called again makes only the parts that are not there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gradatim import files
from gradatim.corpus.documents import empty_corpus
from gradatim.corpus.pieces import (
    CorpusPlan,
    Piece,
    count_segment_lines,
    plan_pieces,
    with_line_numbers,
)
from gradatim.corpus.storage import OutputFolder, is_remote
from gradatim.errors import InputError, SpecError, StoreError, differences
from gradatim.scoring.columns import CORPUS_RARITY
from gradatim.scoring.engines import Engine, LocalEngine
from gradatim.scoring.folder import (
    DESCRIPTION,
    LOCK,
    SETTINGS,
    check_same,
    identity_of,
    is_described,
    settings_of,
    summary_of,
    write_description,
    write_json,
)
from gradatim.scoring.part import (
    Job,
    PartReport,
    ScoresSummary,
    count_piece,
    part_name,
    read_report,
    score_piece,
)
from gradatim.scoring.spec import ScoringSpec
from gradatim.scoring.word_counts import WORDS, merge_words, read_counts, words_name

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a call of `score` did.

    Attributes:
        folder: the scores.
        summary: of all of them.
        scored_bytes: of text, in this call; what was finished before is not among them.
        seconds: this call took.
    """

    folder: str
    summary: ScoresSummary
    scored_bytes: int
    seconds: float


def score(
    spec: ScoringSpec,
    out: Path | str,
    *,
    num_workers: int | None = None,
    engine: Engine | None = None,
    on_progress: OnProgress | None = None,
) -> Scored:
    """Score a corpus, go on with a killed scoring, or return what is there.

    Args:
        spec: the corpus and the metrics.
        out: the scores folder, here or at a URL that fsspec knows.
        num_workers: threads, one a core by default.
        engine: who works; threads of this process unless given.
        on_progress: called with stage, bytes done and bytes in all, both about.

    Raises:
        InputError: the corpus cannot be read as asked, or holds no text.
        MismatchError: `out` holds scores of another corpus or other settings.
        StoreError: `out` holds something else, cannot be written, or another process is scoring
            there.
    """
    began = time.perf_counter()
    plan = plan_pieces(spec.locations, spec.columns, skip_bad=spec.on_bad == "skip")
    folder = OutputFolder(out)
    with _named(folder):
        _check_apart(spec, plan, folder)
        settings = settings_of(spec, plan)
        check_same(folder, settings)
        workers = engine or LocalEngine(num_workers)
        with _held(folder):
            folder.sweep()
            check_same(folder, settings)
            job = Job(spec, folder.location, identity_of(settings))
            run = _Run(plan, plan.pieces, folder, workers, job, on_progress)
            reports, scored_bytes = run.parts(settings)
            summary = summary_of(reports, plan)
            if summary.num_rows == 0:
                raise empty_corpus(", ".join(spec.locations), summary)
            if not is_described(folder, spec, summary, reports):
                write_description(folder, spec, summary, plan.pieces, reports, workers)
    return Scored(str(out), summary, scored_bytes, time.perf_counter() - began)


@dataclass
class _Run:
    """The passes over a corpus; `pieces` are the plan's until their lines are numbered."""

    plan: CorpusPlan
    pieces: tuple[Piece, ...]
    folder: OutputFolder
    engine: Engine
    job: Job
    on_progress: OnProgress | None

    def parts(self, settings: dict[str, Any]) -> tuple[list[PartReport], int]:
        """The reports of all parts, those made now included, and the bytes scored now."""
        reports = self._finished()
        missing = [piece for piece in self.plan.pieces if piece.index not in reports]
        scored_bytes = 0
        if missing:
            self.folder.remove(DESCRIPTION)
            write_json(self.folder, SETTINGS, settings)
            self.pieces = self._numbered()
            missing = [self.pieces[piece.index] for piece in missing]
            if CORPUS_RARITY in self.job.spec.metrics:
                self._count_words()
            for content in self._map("scoring", score_piece, missing):
                report = PartReport.of(content)
                reports[report.piece] = report
                scored_bytes += report.num_bytes
            self._check_unchanged(settings)
        return [reports[piece.index] for piece in self.plan.pieces], scored_bytes

    def _finished(self) -> dict[int, PartReport]:
        names = set(self.folder.names())
        found = (
            read_report(self.folder, piece.index)
            for piece in self.plan.pieces
            if part_name(piece.index) in names
        )
        mine = [report for report in found if report and report.identity == self.job.identity]
        return {report.piece: report for report in mine}

    def _numbered(self) -> tuple[Piece, ...]:
        """The pieces, ready to name the lines of their files."""
        pieces = self.plan.pieces
        wanted = [
            segment for piece in pieces for segment in piece.segments if segment.needs_line_numbers
        ]
        counts = [0] * len(wanted)
        for index, num_lines in self.engine.map(count_segment_lines, wanted):
            counts[index] = num_lines
        return with_line_numbers(pieces, counts)

    def _count_words(self) -> None:
        """Leaves `words.parquet` in the folder."""
        identity = self.job.identity
        names = self.folder.names()
        if WORDS in names and read_counts(self.folder.path_of(WORDS), identity):
            return
        uncounted = [
            piece
            for piece in self.pieces
            if words_name(piece.index) not in names
            or not read_counts(self.folder.path_of(words_name(piece.index)), identity)
        ]
        for _ in self._map("counting words", count_piece, uncounted):
            pass
        merge_words(self.folder, len(self.plan.pieces), identity)

    def _map(
        self, stage: str, function: Callable[..., Any], pieces: Sequence[Piece]
    ) -> Iterator[Any]:
        progress = _Progress(stage, self.plan, pieces, self.on_progress)
        engine = self.engine
        work: Callable[[Piece], Any]
        if isinstance(engine, LocalEngine):

            def work(piece: Piece) -> Any:
                def on_bytes(num_bytes: int) -> None:
                    engine.check()
                    progress.add(piece, num_bytes)

                return function(self.job, piece, on_bytes)

        else:
            work = partial(function, self.job)
        for index, result in engine.map(work, pieces):
            progress.add(pieces[index], pieces[index].num_bytes)
            yield result

    def _check_unchanged(self, settings: dict[str, Any]) -> None:
        spec = self.job.spec
        plan = plan_pieces(spec.locations, spec.columns, skip_bad=spec.on_bad == "skip")
        changed = list(differences(settings, settings_of(spec, plan)))
        if changed:
            raise InputError(
                "the corpus changed while it was read: " + "; ".join(changed),
                where=", ".join(spec.locations),
                remedy="Score again, into another folder, when nothing writes to it",
            )


class _Progress:
    """Adds up what several threads have done; a piece never counts for more than was planned."""

    def __init__(
        self,
        stage: str,
        plan: CorpusPlan,
        missing: Sequence[Piece],
        on_progress: OnProgress | None,
    ) -> None:
        self._stage = stage
        self._total_bytes = plan.num_bytes
        self._remaining = {piece.index: piece.num_bytes for piece in missing}
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._tell()

    def add(self, piece: Piece, num_bytes: int) -> None:
        with self._lock:
            self._remaining[piece.index] = max(0, self._remaining[piece.index] - num_bytes)
            self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            done_bytes = self._total_bytes - sum(self._remaining.values())
            self._on_progress(self._stage, done_bytes, self._total_bytes)


@contextmanager
def _named(folder: OutputFolder) -> Iterator[None]:
    """Makes one line of what the system says when the folder cannot be written.

    Raises:
        StoreError: with its words.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            "scores cannot be written",
            where=str(error.filename or folder.location),
            got=error.strerror or str(error),
            remedy="Check the path, the rights and the room there; called again, it goes on",
        ) from error


def _held(folder: OutputFolder) -> AbstractContextManager[None]:
    """Keeps other processes of this machine out of the folder.

    Raises:
        StoreError: on entry, another process is scoring there.
    """
    if folder.local is None:
        return nullcontext()  # object stores know no locks; who comes second writes the same bytes

    def busy(holder: str) -> StoreError:
        return StoreError(
            "another process is scoring into this folder",
            where=folder.location,
            got=f"process {holder}",
            remedy="Wait for it, or stop it and call again: the scoring goes on",
        )

    return files.locked(folder.local / LOCK, busy)


def _check_apart(spec: ScoringSpec, plan: CorpusPlan, folder: OutputFolder) -> None:
    """Refuses scores inside the corpus, of which they would become a part.

    Raises:
        SpecError: the scores folder lies in a folder of the corpus.
    """
    if folder.local is None:
        return
    out = folder.local.resolve()
    for location in spec.locations:
        if is_remote(location):
            continue
        inside = Path(location.removeprefix("file://")).expanduser()
        roots = [inside.resolve(), *_linked(inside, plan)]
        if inside.is_dir() and any(out.is_relative_to(root) for root in roots):
            raise SpecError(
                "the scores would become part of the corpus",
                where=folder.location,
                expected=f"a folder outside of {location}",
                got=str(out),
                remedy="Choose another --out",
            )


def _linked(inside: Path, plan: CorpusPlan) -> set[Path]:
    """Folders elsewhere that the corpus reaches through links in one of its own."""
    folders = {Path(file.path).parent for file in plan.files}
    above = {
        folder
        for lowest in folders
        if lowest.is_relative_to(inside)
        for folder in (lowest, *lowest.parents)
        if folder != inside and folder.is_relative_to(inside)
    }
    return {folder.resolve() for folder in above if folder.is_symlink()}
