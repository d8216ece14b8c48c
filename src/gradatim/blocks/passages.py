"""The passages of a corpus, each with its split: one pass chooses what is held out.

The graded world brings its own split. Otherwise `choose_held_out` counts the documents, and
every later pass tells from a document's id, and the passages of one that is cut, where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gradatim.blocks.difficulty import difficulty_columns
from gradatim.blocks.packing import half_year_of
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import HELD_OUT, TRAIN
from gradatim.corpus.documents import Document, Skipped, read_documents
from gradatim.corpus.passages import Deduplicator, Passage, cut, in_batches
from gradatim.corpus.spectrum import generate
from gradatim.corpus.split import DocumentCounts, Split

MIN_PASSAGE_BYTES = 200
JUDGED_CHARACTERS = 4000
"""Of each document, where documents are told apart by their difficulty."""
_BATCH_CHARACTERS, _BATCH_DOCUMENTS = 1 << 20, 1024

OnBytes = Callable[[int], None]


def documents_of(spec: StoreSpec, skipped: Skipped) -> Iterator[Document]:
    """The documents of a store's corpus.

    Raises:
        InputError: the corpus cannot be read as asked.
    """
    if spec.spectrum is not None:
        return generate.documents(spec.spectrum.num_bytes, seed=spec.spectrum.seed)
    assert spec.corpus is not None
    options = spec.corpus.model_dump(exclude={"difficulty_columns"})
    return read_documents(**options, value_columns=spec.difficulty_columns, skipped=skipped)


def choose_held_out(spec: StoreSpec, on_bytes: OnBytes = lambda _: None) -> Split | None:
    """The split of a corpus, from one pass over it; none where the corpus brings its own.

    Raises:
        InputError: the corpus cannot be read as asked, or has too many levels.
    """
    if spec.spectrum is not None:
        return None
    counts = DocumentCounts(spec.held_out_fraction, spec.seed)
    documents = documents_of(spec, Skipped())
    for batch in in_batches(
        documents, max_characters=_BATCH_CHARACTERS, max_texts=_BATCH_DOCUMENTS
    ):
        half_years: list[int] | list[None] = [None] * len(batch)
        if counts.needs_half_year:
            texts = [document.text[:JUDGED_CHARACTERS] for document in batch]
            half_years = half_year_of(difficulty_columns(texts)["reading_age"]).tolist()
        for document, half_year in zip(batch, half_years, strict=True):
            num_bytes = len(document.text.encode())
            counts.add(
                document.id,
                source=document.source,
                level=document.level or None,
                num_bytes=num_bytes,
                half_year=half_year,
            )
            on_bytes(num_bytes)
    return counts.choose(min_cut_bytes=spec.max_passage_bytes)


def write_split(split: Split | None, file: Path) -> None:
    with file.open("wb") as output:
        if split is not None:
            np.savez(
                output,
                held_out=split.held_out,
                cut_documents=np.array(list(split.cuts), np.uint64),
                cut_bytes=np.array(list(split.cuts.values()), np.int64),
            )


def read_split(file: Path, seed: int) -> Split | None:
    """What `write_split` wrote; `seed` is that of the spec."""
    if not file.stat().st_size:
        return None
    with np.load(file, allow_pickle=False) as arrays:
        cuts = zip(arrays["cut_documents"].tolist(), arrays["cut_bytes"].tolist(), strict=True)
        return Split(seed, arrays["held_out"], dict(cuts))


@dataclass
class PassageSource:
    """All passages of a corpus, each with its split, and what was left out on the way.

    Attributes:
        spec: names the corpus.
        split: what `choose_held_out` gave for it.
        cut_documents: ids of documents of which a part is held out.
    """

    spec: StoreSpec
    split: Split | None
    skipped: Skipped = field(default_factory=Skipped)
    num_documents: int = 0
    num_bytes: int = 0
    num_duplicates: int = 0
    num_duplicate_bytes: int = 0
    cut_documents: list[str] = field(default_factory=list)

    def passages(self, on_bytes: OnBytes) -> Iterator[Passage]:
        """Streams the passages; `on_bytes` hears the bytes of each document as it is cut.

        Raises:
            InputError: the corpus cannot be read as asked.
        """
        spec = self.spec
        duplicates = Deduplicator() if spec.deduplicate else None
        for document in documents_of(spec, self.skipped):
            if document.level == "":  # an empty cell is no level, as a null is none
                document = replace(document, level=None)
            max_bytes = spec.max_passage_bytes
            if self.split is not None:
                max_bytes = self.split.max_passage_bytes(document.id, max_bytes)
            min_bytes = min(MIN_PASSAGE_BYTES, max_bytes // 2)
            num_bytes = len(document.text.encode())
            self.num_documents += 1
            self.num_bytes += num_bytes
            for passage in self._with_split(
                cut(document, max_bytes=max_bytes, min_bytes=min_bytes)
            ):
                if duplicates is None or duplicates.is_new(passage.text):
                    yield passage
            on_bytes(num_bytes)
        if duplicates is not None:
            self.num_duplicates = duplicates.num_dropped
            self.num_duplicate_bytes = duplicates.num_dropped_bytes

    def _with_split(self, passages: Iterator[Passage]) -> Iterator[Passage]:
        """The passages of one document."""
        if self.split is None:
            yield from passages
            return
        of_document = list(passages)
        document_id = of_document[0].document_id
        sizes = [len(passage.text.encode()) for passage in of_document]
        is_held_out = self.split.is_held_out(document_id, sizes)
        if len(set(is_held_out)) > 1:
            self.cut_documents.append(document_id)
        for passage, held_out in zip(of_document, is_held_out, strict=True):
            yield replace(passage, split=HELD_OUT if held_out else TRAIN)


def training_texts(
    spec: StoreSpec, split: Split | None, on_bytes: OnBytes
) -> Iterator[tuple[str, str]]:
    """(key, text) of every passage a tokenizer may be trained on."""
    for passage in PassageSource(spec, split).passages(on_bytes):
        if passage.split == TRAIN:
            yield f"{passage.document_id}\n{passage.index}", passage.text
