"""From documents to token files: passages cut, encoded, and sorted into buckets by reading age.

The tokenizers library encodes a batch on all its threads with the interpreter lock released, so
one batch is always encoding while the one before it is scored and written and the next is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from gradatim.blocks.difficulty import difficulty_columns
from gradatim.blocks.packing import Bucket, BucketWriter, half_year_of
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import TRAIN, token_dtype
from gradatim.blocks.tokenizer import Vocabulary
from gradatim.corpus.documents import Document, Skipped, read_documents
from gradatim.corpus.passages import Deduplicator, Passage, cut, in_batches
from gradatim.corpus.spectrum import generate
from gradatim.corpus.split import split_of
from gradatim.errors import InputError

BATCH_BYTES = 1 << 20
BATCH_PASSAGES = 4096
MIN_PASSAGE_BYTES = 200

OnBytes = Callable[[int], None]


@dataclass
class PassageSource:
    """All passages of a corpus, each with its split, and what was left out on the way."""

    spec: StoreSpec
    skipped: Skipped = field(default_factory=Skipped)
    num_documents: int = 0
    num_bytes: int = 0
    num_duplicates: int = 0
    num_duplicate_bytes: int = 0

    def passages(self, on_bytes: OnBytes) -> Iterator[Passage]:
        """Streams the passages; `on_bytes` hears the bytes of each document as it is cut.

        Raises:
            InputError: the corpus cannot be read as asked.
        """
        spec = self.spec
        duplicates = Deduplicator() if spec.deduplicate else None
        max_bytes = spec.max_passage_bytes
        min_bytes = min(MIN_PASSAGE_BYTES, max_bytes // 2)
        for document in _with_split(_documents(spec, self.skipped), spec):
            num_bytes = len(document.text.encode())
            self.num_documents += 1
            self.num_bytes += num_bytes
            for passage in cut(document, max_bytes=max_bytes, min_bytes=min_bytes):
                if duplicates is None or duplicates.is_new(passage.text):
                    yield passage
            on_bytes(num_bytes)
        if duplicates is not None:
            self.num_duplicates = duplicates.num_dropped
            self.num_duplicate_bytes = duplicates.num_dropped_bytes


def training_texts(spec: StoreSpec, on_bytes: OnBytes) -> Iterator[tuple[str, str]]:
    """(key, text) of every passage a tokenizer may be trained on."""
    for passage in PassageSource(spec).passages(on_bytes):
        if passage.split == TRAIN:
            yield f"{passage.document_id}\n{passage.index}", passage.text


def encode_passages(
    spec: StoreSpec, vocabulary: Vocabulary, folder: Path, *, on_bytes: OnBytes
) -> dict[str, Any]:
    """Writes the bucket files of a corpus to `folder`; returns the counts for the report.

    Raises:
        InputError: the corpus cannot be read as asked, or holds no training text.
    """
    source = PassageSource(spec)
    counts: dict[str, Counter[str]] = {"passages": Counter(), "bytes": Counter()}
    num_tokens = 0
    with BucketWriter(folder) as writer:
        for passages, encodings in _encoded(source.passages(on_bytes), vocabulary.tokenizer):
            num_tokens += _append(passages, encodings, writer, vocabulary)
            for passage in passages:
                counts["passages"][str(passage.split)] += 1
                counts["bytes"][str(passage.split)] += len(passage.text.encode())
    if not counts["passages"][TRAIN]:
        raise InputError(
            "every document fell into the held-out split",
            where="corpus",
            got=f"{source.num_documents} documents",
            remedy="Give more documents, a smaller held_out_fraction or another seed",
        )
    return {
        "num_documents": source.num_documents,
        "num_passages": dict(counts["passages"]),
        "passage_bytes": dict(counts["bytes"]),
        "num_tokens": num_tokens,
        "corpus_bytes": source.num_bytes,
        "num_duplicates": source.num_duplicates,
        "duplicate_bytes": source.num_duplicate_bytes,
        "skipped": asdict(source.skipped),
    }


def _documents(spec: StoreSpec, skipped: Skipped) -> Iterator[Document]:
    if spec.spectrum is not None:
        return generate.documents(spec.spectrum.num_bytes, seed=spec.spectrum.seed)
    assert spec.corpus is not None
    return read_documents(**spec.corpus.model_dump(), skipped=skipped)


def _with_split(documents: Iterator[Document], spec: StoreSpec) -> Iterator[Document]:
    for document in documents:
        if document.split is None:
            split = split_of(document.id, spec.held_out_fraction, spec.seed)
            yield Document(document.id, document.text, document.source, document.level, split)
        else:
            yield document


def _encoded(
    passages: Iterator[Passage], tokenizer: Tokenizer
) -> Iterator[tuple[list[Passage], list[Encoding]]]:
    """Batches with their encodings, one batch ahead of the reader."""

    def encode(batch: Sequence[Passage]) -> list[Encoding]:
        texts = [passage.text for passage in batch]
        return tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead: tuple[list[Passage], Future[list[Encoding]]] | None = None
        for batch in in_batches(passages, max_characters=BATCH_BYTES, max_texts=BATCH_PASSAGES):
            following = (batch, pool.submit(encode, batch))
            if ahead is not None:
                yield ahead[0], ahead[1].result()
            ahead = following
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def _append(
    passages: list[Passage],
    encodings: list[Encoding],
    writer: BucketWriter,
    vocabulary: Vocabulary,
) -> int:
    """Hands a batch to the writer; returns its tokens, separators not counted."""
    dtype = token_dtype(vocabulary.size)
    num_tokens = 0
    half_years = half_year_of(
        difficulty_columns([passage.text for passage in passages])["reading_age"]
    ).tolist()
    for passage, encoding, half_year in zip(passages, encodings, half_years, strict=True):
        ids = encoding.ids
        num_tokens += len(ids)
        ids.append(vocabulary.separator_id)
        writer.append(
            Bucket(str(passage.split), passage.level, half_year),
            np.array(ids, dtype),
            document=passage.document_id,
            source=passage.source,
        )
    return num_tokens
