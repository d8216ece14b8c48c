"""From documents to token files: passages cut, encoded, and sorted into buckets by reading age.

The tokenizers library encodes a batch on all its threads with the interpreter lock released, so
one batch is always encoding while the one before it is scored and written and the next is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from gradatim.blocks.difficulty import difficulty_columns
from gradatim.blocks.held_out import LABELS, largest
from gradatim.blocks.packing import Bucket, BucketWriter, half_year_of
from gradatim.blocks.passages import OnBytes, PassageSource
from gradatim.blocks.store import SPLITS, token_dtype
from gradatim.blocks.tokenizer import Vocabulary
from gradatim.corpus.passages import Passage, in_batches

BATCH_BYTES = 1 << 20
BATCH_PASSAGES = 4096


def encode_passages(
    source: PassageSource, vocabulary: Vocabulary, folder: Path, *, on_bytes: OnBytes
) -> dict[str, Any]:
    """Writes the bucket files of a corpus to `folder`; returns the counts for the report.

    Raises:
        InputError: the corpus cannot be read as asked.
    """
    num_passages: Counter[str] = Counter()
    split_bytes: Counter[str] = Counter()
    label_bytes = {label: {split: Counter[str]() for split in SPLITS} for label in LABELS}
    num_tokens = 0
    with BucketWriter(folder) as writer:
        for passages, encodings in _encoded(source.passages(on_bytes), vocabulary.tokenizer):
            num_tokens += _append(passages, encodings, writer, vocabulary)
            for passage in passages:
                split, num_bytes = str(passage.split), len(passage.text.encode())
                num_passages[split] += 1
                split_bytes[split] += num_bytes
                label_bytes["source"][split][passage.source] += num_bytes
                if passage.level is not None:
                    label_bytes["level"][split][passage.level] += num_bytes
    return {
        "num_documents": source.num_documents,
        "num_passages": dict(num_passages),
        "passage_bytes": dict(split_bytes),
        "label_bytes": {label: largest(amounts) for label, amounts in label_bytes.items()},
        "cut_documents": source.cut_documents,
        "num_tokens": num_tokens,
        "corpus_bytes": source.num_bytes,
        "num_duplicates": source.num_duplicates,
        "duplicate_bytes": source.num_duplicate_bytes,
        "skipped": asdict(source.skipped),
    }


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
