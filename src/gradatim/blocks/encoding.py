"""From documents to token files: passages cut, encoded, and sorted into buckets by reading age.

The tokenizers library encodes a batch on all its threads with the interpreter lock released, so
one batch is always encoding while the one before it is scored and written and the next is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from gradatim.blocks.difficulty import difficulty_columns
from gradatim.blocks.held_out import LABELS, largest
from gradatim.blocks.packing import Bucket, BucketWriter, half_year_of
from gradatim.blocks.passages import OnBytes, PassageSource
from gradatim.blocks.spelling import Speller
from gradatim.blocks.store import SPLITS, token_dtype
from gradatim.blocks.tokenizer import Vocabulary, unusable
from gradatim.corpus.passages import Passage, in_batches
from gradatim.errors import SpecError

BATCH_BYTES = 1 << 20
BATCH_PASSAGES = 4096
BATCH_SECONDS = 120.0  # a batch takes less than one


def encode_passages(
    source: PassageSource, vocabulary: Vocabulary, folder: Path, *, on_bytes: OnBytes
) -> dict[str, Any]:
    """Writes the bucket files of a corpus to `folder`; returns the counts for the report.

    Raises:
        InputError: the corpus cannot be read as asked.
        SpecError: the tokenizer loses something of it.
    """
    num_passages: Counter[str] = Counter()
    split_bytes: Counter[str] = Counter()
    label_bytes = {label: {split: Counter[str]() for split in SPLITS} for label in LABELS}
    num_tokens = num_spelled_bytes = 0
    speller = Speller.of(vocabulary)
    with BucketWriter(folder, difficulty_columns=source.spec.difficulty_columns) as writer:
        for passages, encodings in _encoded(source.passages(on_bytes), vocabulary.tokenizer):
            tokens, spelled_bytes = _append(passages, encodings, writer, vocabulary, speller)
            num_tokens += tokens
            num_spelled_bytes += spelled_bytes
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
        "spelled_bytes": num_spelled_bytes,
        "corpus_bytes": source.num_bytes,
        "num_duplicates": source.num_duplicates,
        "duplicate_bytes": source.num_duplicate_bytes,
        "skipped": asdict(source.skipped),
    }


def _encoded(
    passages: Iterator[Passage], tokenizer: Tokenizer
) -> Iterator[tuple[list[Passage], list[Encoding]]]:
    """Batches with their encodings, one batch ahead of the reader.

    Raises:
        SpecError: the tokenizer breaks down, or does not come to an end.
    """

    def encode(batch: Sequence[Passage], encodings: Future[list[Encoding]]) -> None:
        texts = [passage.text for passage in batch]
        try:
            found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except BaseException as error:  # a panic of the library is no Exception
            encodings.set_exception(unusable(error))
        else:
            encodings.set_result(found)

    ahead: tuple[list[Passage], Future[list[Encoding]]] | None = None
    for batch in in_batches(passages, max_characters=BATCH_BYTES, max_texts=BATCH_PASSAGES):
        following = (batch, Future[list[Encoding]]())
        # No pool: at the end of the process it would wait for a pattern that never ends.
        Thread(target=encode, args=following, daemon=True).start()
        if ahead is not None:
            yield ahead[0], _result(ahead[1])
        ahead = following
    if ahead is not None:
        yield ahead[0], _result(ahead[1])


def _result(encodings: Future[list[Encoding]]) -> list[Encoding]:
    try:
        return encodings.result(timeout=BATCH_SECONDS)
    except TimeoutError:
        raise SpecError(
            "the tokenizer does not come to an end",
            where="tokenizer",
            got=f"no result for a megabyte of text in {BATCH_SECONDS:g} seconds",
            remedy="Train one (vocab_size), or mend its pattern",
        ) from None


def _append(
    passages: list[Passage],
    encodings: list[Encoding],
    writer: BucketWriter,
    vocabulary: Vocabulary,
    speller: Speller,
) -> tuple[int, int]:
    """Hands a batch to the writer; returns its tokens, separators not counted, and their bytes.

    Raises:
        SpecError: a passage is not what its tokens spell.
    """
    dtype = token_dtype(vocabulary.size)
    texts = [passage.text for passage in passages]
    # The separator is put at the end of the same array, so that nothing is copied twice.
    tokens = [np.array([*encoding.ids, vocabulary.separator_id], dtype) for encoding in encodings]
    names = [f"{passage.document_id}, passage {passage.index}" for passage in passages]
    num_bytes = speller.check(texts, [ids[:-1] for ids in tokens], names)
    half_years = half_year_of(difficulty_columns(texts)["reading_age"]).tolist()
    for passage, ids, half_year in zip(passages, tokens, half_years, strict=True):
        writer.append(
            Bucket(str(passage.split), passage.level, half_year),
            ids,
            document=passage.document_id,
            source=passage.source,
            values=passage.values,
        )
    return sum(map(len, tokens)) - len(tokens), num_bytes
