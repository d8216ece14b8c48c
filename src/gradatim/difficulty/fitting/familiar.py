"""Makes the list of familiar words from free books for children.

Dale and Chall's list of three thousand words that four in five pupils of the fourth grade know is
not free. This one ranks words by their frequency in graded readers, children's books and picture
books; a word must occur in one in ten of these sources, and mostly without a capital. The first
2,400 are the base; regular endings of base words (-s, -es, -ed, -ing, -er, -est, -ly, -ies, -ied,
with doubled or dropped letters) are familiar too. The first 1,000, marked with a star, serve the
formula for the first grades.

    python -m gradatim.difficulty.fitting.familiar DATA_FOLDER > familiar_words.txt
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gradatim.corpus.documents import read_documents
from gradatim.difficulty.english import listed_words

NUM_FAMILIAR, NUM_EARLY = 2400, 1000
_FEWEST_SOURCES_SHARE, _STORIES_A_SOURCE, _LEAST_ZIPF_CENTI = 0.1, 35, 200
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
_ENDINGS = ("'s", "s", "es", "ed", "d", "ing", "er", "est", "ly", "ies", "ied")


def stems(word: str) -> Iterator[str]:
    """The words that a word may be a regular form of."""
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        yield stem
        if ending in ("ies", "ied"):
            yield stem + "y"
        if ending in ("ing", "ed", "er", "est"):
            yield stem + "e"
            if stem[-1] == stem[-2]:
                yield stem[:-1]


def children_sources(folder: Path) -> list[str]:
    """Texts for children, each about a book long."""
    books = read_documents(folder / "books.parquet")
    texts = [book.text for book in books if book.level in ("primer", "child")]
    stories = [story.text for story in read_documents(folder / "storybooks.parquet")]
    groups = range(0, len(stories), _STORIES_A_SOURCE)
    return texts + ["\n".join(stories[i : i + _STORIES_A_SOURCE]) for i in groups]


def ranked_words(sources: list[str]) -> list[str]:
    """Words of English that the sources use, the most frequent first."""
    occurrences: Counter[str] = Counter()
    small: Counter[str] = Counter()
    num_sources: Counter[str] = Counter()
    for text in sources:
        found = Counter(_WORD.findall(text.replace("’", "'")))
        lowered: Counter[str] = Counter()
        for word, number in found.items():
            lowered[word.lower()] += number
            small[word] += number * word.islower()
        occurrences.update(lowered)
        num_sources.update(lowered.keys())
    kept = [
        word
        for word in _listed()
        if num_sources[word] >= _FEWEST_SOURCES_SHARE * len(sources)
        and (2 * small[word] > occurrences[word] or word in ("i", "i'm", "i'll", "i've", "i'd"))
    ]
    return sorted(kept, key=lambda word: (-occurrences[word], word))


def with_endings(base: list[str]) -> list[str]:
    """The base words and the listed words that are regular forms of them, sorted."""
    known = set(base)
    forms = [word for word in _listed() if any(stem in known for stem in stems(word))]
    return sorted(known | set(forms))


def _listed() -> list[str]:
    words, zipf_centi = listed_words()
    pairs = zip(words, zipf_centi.tolist(), strict=True)
    return [word for word, zipf in pairs if zipf >= _LEAST_ZIPF_CENTI and word.isascii()]


def main(arguments: list[str]) -> None:
    ranked = ranked_words(children_sources(Path(arguments[0])))
    early = set(with_endings(ranked[:NUM_EARLY]))
    for word in with_endings(ranked[:NUM_FAMILIAR]):
        sys.stdout.write(f"{word} *\n" if word in early else f"{word}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
