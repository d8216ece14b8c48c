"""What the reading age learns from: passages of known reader, and word counts of whole documents.

Four free sources, found in one folder: `books.parquet` (public domain, intended reader by hand),
`onestop.parquet` (CC BY-SA, articles at three levels), `storybooks.parquet` (CC BY, picture books)
and `turkcorpus.parquet` (Wikipedia and Simple Wikipedia, CC BY-SA). All passages of a book,
article or story share a group, and all of a group a fold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gradatim.corpus.documents import Document
from gradatim.corpus.passages import cut

ANCHOR_YEARS = {
    "picture": 5.0, "primer": 6.0, "child": 10.0, "youth": 13.0, "adult": 16.0, "scholar": 20.0,
    "elementary": 11.0, "intermediate": 13.0, "advanced": 15.5, "simple": 14.5, "complex": 16.0,
}  # fmt: skip
"""Level to the age it stands for: conventions, not measurements."""

INFORMATION_LEVELS = frozenset(
    ("scholar", "elementary", "intermediate", "advanced", "simple", "complex")
)
"""Levels of text that informs; at the others nearly all is literature."""

NUM_FOLDS = 5
_MAX_BYTES, _MIN_BYTES = 1150, 500  # about 175 words
_BOOK_PASSAGES, _STORY_PASSAGES = 40, 3
_TURK_SENTENCES = 8
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_GRADED_READER = re.compile("reader|McGuffey", re.IGNORECASE)
_FIRST_PERSON = frozenset(("i", "i'm", "i'll", "i've", "i'd"))


@dataclass(frozen=True, slots=True)
class Sample:
    """A text of known level; what is compared shares a group.

    In a graded reader teachers put stories beside lessons for the same pupils.
    """

    source: str
    group: str
    level: str
    fold: int
    text: str
    is_of_reader: bool = False


@dataclass(frozen=True, slots=True)
class WordUse:
    """Words of a document that are no names, with their numbers of occurrences."""

    source: str
    level: str
    fold: int
    occurrences: Counter[str]


def read_sources(folder: Path) -> tuple[list[Sample], list[WordUse]]:
    """Samples to fit to, and documents to learn word ages from."""
    samples: list[Sample] = []
    uses: list[WordUse] = []
    for read in (_books, _onestop, _storybooks, _turkcorpus):
        wholes, passages = read(folder)
        samples += passages
        merged: dict[tuple[str, str, int], Counter[str]] = {}
        for whole in wholes:
            # Books are documents by themselves; short texts are taken together, a fold and level.
            name = whole.group if whole.source == "books" else ""
            key = (name, whole.level, whole.fold)
            merged.setdefault(key, Counter()).update(common_words(whole.text))
        source = wholes[0].source
        uses += [WordUse(source, level, fold, count) for (_, level, fold), count in merged.items()]
    return samples, uses


def common_words(text: str) -> Counter[str]:
    """Occurrences of the words that are no names: seen with a small letter as often as not."""
    small: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for word in _WORD.findall(text):
        (capital if word[0].isupper() else small)[word.lower().replace("’", "'")] += 1
    for word, number in capital.items():
        if word in _FIRST_PERSON or 2 * small[word] >= number:
            small[word] += number
    return +small


def passages_of(text: str, max_bytes: int = _MAX_BYTES) -> list[str]:
    """Prose of about the length that people were asked to judge, cut where a reader would pause."""
    document = Document(id="", text=text, source="")
    return [
        passage.text
        for passage in cut(document, max_bytes=max_bytes, min_bytes=min(_MIN_BYTES, max_bytes // 2))
        if _is_running_text(passage.text)
    ]


def _is_running_text(text: str) -> bool:
    """Neither a word list nor a table of contents."""
    words = text.split()
    num_ends = sum(text.count(mark) for mark in ".!?")
    num_alpha = sum(word.lstrip("\"'“‘(_[")[:1].isalpha() for word in words)
    num_capitals = sum(len(word) > 1 and word.isupper() for word in words)
    return (
        bool(words)
        and num_alpha > 0.85 * len(words)
        and num_ends >= len(words) / 90
        and num_capitals < 0.25 * len(words)
    )


def _rows(folder: Path, name: str) -> list[dict[str, object]]:
    return list(pq.read_table(folder / f"{name}.parquet").to_pylist())


def _spread(texts: list[str], most: int) -> Iterator[str]:
    """At most so many of the texts, evenly from the beginning to the end."""
    if len(texts) <= most:
        yield from texts
    else:
        for i in np.linspace(0, len(texts) - 1, most).round().astype(int):
            yield texts[i]


def _folds(names: Iterable[str]) -> dict[str, int]:
    return {name: i % NUM_FOLDS for i, name in enumerate(sorted(set(names)))}


def _books(folder: Path) -> tuple[list[Sample], list[Sample]]:
    rows = _rows(folder, "books")
    folds = _folds(f"{row['level']} {row['doc_id']}" for row in rows)
    wholes, passages = [], []
    for row in rows:
        level, text = str(row["level"]), str(row["text"])
        head = ("books", str(row["doc_id"]), level, folds[f"{level} {row['doc_id']}"])
        wholes.append(Sample(*head, text))
        found = passages_of(text)
        inner = found[len(found) // 25 : len(found) - len(found) // 50]  # no front or end matter
        is_reader = _GRADED_READER.search(str(row["title"])) is not None
        passages += [Sample(*head, piece, is_reader) for piece in _spread(inner, _BOOK_PASSAGES)]
    return wholes, passages


def _onestop(folder: Path) -> tuple[list[Sample], list[Sample]]:
    rows = _rows(folder, "onestop")
    folds = _folds(str(row["article"]) for row in rows)
    wholes = [
        Sample("onestop", article, str(row["level"]), folds[article], str(row["text"]))
        for row in rows
        for article in (str(row["article"]),)
    ]
    return wholes, wholes


def _storybooks(folder: Path) -> tuple[list[Sample], list[Sample]]:
    rows = _rows(folder, "storybooks")
    folds = _folds(str(row["doc_id"]) for row in rows)
    wholes, passages = [], []
    for row in rows:
        story = str(row["doc_id"])
        head = ("storybooks", story, "picture", folds[story])
        wholes.append(Sample(*head, str(row["text"])))
        long = [piece for piece in passages_of(str(row["text"])) if len(piece.split()) >= 40]
        passages += [Sample(*head, piece) for piece in long[:_STORY_PASSAGES]]
    return wholes, passages


def _turkcorpus(folder: Path) -> tuple[list[Sample], list[Sample]]:
    """Pairs of eight sentences, as they stand and from Simple Wikipedia: single ones are noise."""
    rows = _rows(folder, "turkcorpus")
    wholes = []
    for i in range(0, len(rows) - _TURK_SENTENCES + 1, _TURK_SENTENCES):
        number = i // _TURK_SENTENCES
        for level, column in (("complex", "complex"), ("simple", "simple_wikipedia")):
            sentences = [str(row[column]) for row in rows[i : i + _TURK_SENTENCES]]
            text = " ".join(map(_untokenized, sentences))
            wholes.append(Sample("turkcorpus", str(number), level, number % NUM_FOLDS, text))
    return wholes, wholes


def _untokenized(sentence: str) -> str:
    """Without the blanks before signs; begun with a capital."""
    for token, sign in (("-lrb-", "("), ("-rrb-", ")"), ("``", '"'), ("''", '"')):
        sentence = sentence.replace(token, sign)
    sentence = re.sub(r" ([.,;:!?)\]%'])", r"\1", sentence)
    sentence = re.sub(r"([(\[]) ", r"\1", sentence).replace(" n't", "n't")
    return sentence[:1].upper() + sentence[1:]
