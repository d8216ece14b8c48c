"""Learns the letter patterns of `syllable_patterns` from a pronouncing dictionary.

Greedy correction of errors (after E. Brill, "Transformation-based error-driven learning",
Computational Linguistics 21, 1995): start from the kernel's vowel groups; again and again add the
letter pattern whose ±1 rights the most weight of words, until none is worth it. A word weighs 1,
and up to 20 more with the root of its frequency in running text.

    python -m gradatim.difficulty.fitting.syllables cmudict.zip books.parquet > syllable_patterns.py
"""

from __future__ import annotations

import re
import sys
import textwrap
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gradatim.corpus.documents import read_documents
from gradatim.difficulty.patterns import SYMBOLS
from gradatim.difficulty.syllables import base_syllables

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def read_pronunciations(path: str) -> dict[str, list[int]]:
    """Word → syllables of each of its pronunciations, from `cmudict.zip` of the NLTK data."""
    syllables: dict[str, list[int]] = {}
    with zipfile.ZipFile(path) as archive:
        text = archive.read("cmudict/cmudict").decode()
    for line in text.splitlines():
        word, _, *phones = line.lower().split()
        if _WORD.fullmatch(word):
            syllables.setdefault(word, []).append(sum(phone[-1].isdigit() for phone in phones))
    return syllables


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs."""
    frequencies: Counter[str] = Counter()
    for text in texts:
        frequencies.update(_WORD.findall(text.lower().replace("’", "'")))
    return frequencies


def learn_patterns(
    syllables: Mapping[str, int],
    frequencies: Mapping[str, int],
    *,
    max_letters: int = 6,
    min_words: int = 3,
    min_gain: float = 4.0,
) -> dict[str, int]:
    """Pattern → change of the syllable count.

    Args:
        syllables: the truth, by word.
        frequencies: occurrences in running text, by word.
        max_letters: longest pattern, borders of the word (`^`) included.
        min_words: a pattern occurs in at least so many of the words.
        min_gain: a pattern rights at least so much weight more than it spoils.
    """
    words = sorted(syllables)
    patterns, occurrences = _occurrences(words, max_letters, min_words)
    is_in = (occurrences > 0).astype(np.float64).T.tocsr()
    columns = occurrences.tocsc()
    missing = np.array([syllables[word] - _base(word) for word in words])
    frequency = np.array([frequencies.get(word, 0) for word in words])
    weight = 1 + np.minimum(20, np.sqrt(frequency) / 3)
    changes: dict[str, int] = {}
    while True:
        gain_up = is_in @ (weight * np.where(missing >= 1, 1, -1))
        gain_down = is_in @ (weight * np.where(missing <= -1, 1, -1))
        best = int(np.argmax(np.maximum(gain_up, gain_down)))
        if max(gain_up[best], gain_down[best]) < min_gain:
            return {pattern: change for pattern, change in changes.items() if change}
        change = 1 if gain_up[best] >= gain_down[best] else -1
        column = slice(columns.indptr[best], columns.indptr[best + 1])
        missing[columns.indices[column]] -= change * columns.data[column]
        changes[patterns[best]] = changes.get(patterns[best], 0) + change


def _occurrences(
    words: list[str], max_letters: int, min_words: int
) -> tuple[list[str], sparse.csr_matrix]:
    """The patterns in enough words, and how often each is in each word, [words, patterns]."""
    numbers: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, word in enumerate(words):
        bordered = f"^{word}^"
        for length in range(2, max_letters + 1):
            for start in range(len(bordered) - length + 1):
                rows.append(row)
                pattern = bordered[start : start + length]
                columns.append(numbers.setdefault(pattern, len(numbers)))
    shape = (len(words), len(numbers))
    matrix = sparse.csr_matrix((np.ones(len(rows), np.int64), (rows, columns)), shape)
    is_frequent = np.asarray((matrix > 0).sum(axis=0)).ravel() >= min_words
    names = [name for name, keep in zip(numbers, is_frequent, strict=True) if keep]
    return names, matrix[:, is_frequent]


def _base(word: str) -> int:
    letters: NDArray[np.uint8] = np.zeros(len(word) + 2, np.uint8)
    letters[1:-1] = [SYMBOLS[letter] for letter in word]
    return int(base_syllables(letters, len(word)))


def _module(changes: Mapping[str, int]) -> str:
    """The text of `syllable_patterns`."""
    parts = [
        '"""Letter patterns that add a syllable to the vowel groups, or take one away.\n\n'
        "Written by `gradatim.difficulty.fitting.syllables` from the CMU Pronouncing\n"
        'Dictionary; a pattern of two changes stands twice.\n"""\n'
    ]
    for name, sign in (("ONE_MORE", 1), ("ONE_FEWER", -1)):
        chosen = [p for p, change in sorted(changes.items()) for _ in range(sign * change)]
        lines = textwrap.fill(" ".join(chosen), 96, break_on_hyphens=False)
        parts.append(f'{name} = """\n{lines}\n"""\n')
    return "\n".join(parts)


def main(arguments: list[str]) -> None:
    dictionary, *corpora = arguments
    syllables = {word: counts[0] for word, counts in read_pronunciations(dictionary).items()}
    frequencies = count_words(document.text for document in read_documents(corpora))
    sys.stdout.write(_module(learn_patterns(syllables, frequencies)))


if __name__ == "__main__":
    main(sys.argv[1:])
