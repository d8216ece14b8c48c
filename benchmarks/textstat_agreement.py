"""How far our counts and formulas agree with textstat's, where they differ, and why.

    NLTK_DATA=FOLDER python benchmarks/textstat_agreement.py DATA_FOLDER [--out PAGE.md]

textstat is taken as it is first. Then the texts are changed, one step after the other, so that a
known difference cannot show (abbreviations lose their points, numbers become a word, …), for both
programs alike; what remains at the end are the differences without a name.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import textstat
from numpy.typing import NDArray

from gradatim.difficulty.counts import Counts, count_batch
from gradatim.difficulty.formulas import FORMULAS

NUM_BOOK_PASSAGES, MIN_WORDS, MAX_WORDS = 10, 150, 400
TOLERANCES = {"words": 0.02, "sentences": 0.02, "syllables": 0.03}
SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
ABBREVIATION = re.compile(
    r"\b(Mr|Mrs|Ms|Messrs|Dr|Prof|St|Rev|Hon|Gen|Col|Capt|Lt|Sgt|Gov|Sen|Rep|Pres|vs|viz|etc|Inc"
    r"|Co|Ltd|Jr|Sr|Esq|No|[Vv]ol|pp?|fig|ft|lb|[A-Za-z])\."
)
Step = tuple[str, str, Callable[[str], str]]


def _sub(pattern: str, replacement: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, replacement, text)


def _join_initials(text: str) -> str:
    dotless = re.sub(r"(\b\w\.)(\w\.)+", lambda m: m.group(0).replace(".", ""), text)
    return ABBREVIATION.sub(r"\1", dotless)


STEPS: list[Step] = [
    (
        "dashes without spaces (`him--the man`, `left—and`)",
        "textstat glues the two words into one; they are two",
        _sub(r"-{2,}|[—–]", " - "),
    ),
    (
        "numbers (`1984`, `3.14`)",
        "textstat takes one syllable for any number and ends a sentence in decimals; read aloud, "
        "a number has about as many syllables as digits",
        _sub(r"\w*\d[\w.,:/']*\w|\d", "ten"),
    ),
    (
        "abbreviations and initials (`Mr.`, `U.S.`, `p. 7`)",
        "textstat ends a sentence at each point",
        _join_initials,
    ),
    (
        "quotations and exclamations inside a sentence (`“Where?” he asked`)",
        "textstat ends the sentence at the mark; it goes on",
        lambda text: re.sub(
            r"\.(?=[\"')\]]+[\s-]*[\"'(]?[a-z])|[!?]+(?=[\"')\]]*[\s-]*[\"'(]?[a-z])",
            " , ",
            text.replace("’", "'").replace("“", '"').replace("”", '"').replace("‘", "'"),
        ),
    ),
    (
        "ellipses (`so... he went`)",
        "textstat ends a sentence at each, also inside one",
        _sub(r"\.( ?\.)+|…", " , "),
    ),
    (
        "headings and verse: paragraphs without a mark at the end",
        "textstat runs them into the next paragraph; a blank line ends a sentence",
        _sub(r"([^.!?\s][\"')\]_*]*)\s*(\n\s*\n|$)", r"\1.\2"),
    ),
    (
        "hyphens (`well-known`)",
        "textstat strikes the hyphen and looks `wellknown` up in vain",
        _sub(r"(\w)-(\w)", r"\1\2"),
    ),
]


def passages(folder: Path) -> list[tuple[str, str]]:
    """Source and text of real passages of 150 to 400 words, the same at every call."""
    rng = np.random.default_rng(0)
    found: list[tuple[str, str]] = []
    for book in pl.read_parquet(folder / "books.parquet")["text"].to_list():
        paragraphs = book.split("\n\n")
        taken = 0
        for start in rng.permutation(len(paragraphs)).tolist():
            text, end = "", start
            while end < len(paragraphs) and len(text.split()) < 200:
                text += paragraphs[end] + "\n\n"
                end += 1
            if MIN_WORDS < len(text.split()) < MAX_WORDS:
                found.append(("books", text.strip()))
                taken += 1
            if taken == NUM_BOOK_PASSAGES:
                break
    for name, most in (("clear", 600), ("onestop", 300), ("wikipedia", 91), ("speeches", 124)):
        texts = pl.read_parquet(folder / f"{name}.parquet")["text"].to_list()
        chosen = rng.permutation(len(texts))[:most].tolist()
        found += [(name, texts[i][:3000]) for i in chosen]
    return found


def textstat_counts(texts: list[str]) -> dict[str, NDArray[np.float64]]:
    """The counts behind textstat's formulas, by its own functions."""
    rows = [
        {
            "words": textstat.lexicon_count(text),
            "sentences": textstat.sentence_count(text),
            "all_sentences": max(1, len(SENTENCE.findall(text))),
            "syllables": textstat.syllable_count(text),
            "polysyllables": textstat.polysyllabcount(text),
            "characters": textstat.char_count(text),
            "letters": textstat.letter_count(text),
            "long": textstat.long_word_count(text),
            "hard": textstat.difficult_words(text, 3, unique=False),
            "difficult": textstat.difficult_words(text, 2, unique=False),
            "unfamiliar": textstat.difficult_words(text, 0, unique=False),
        }
        for text in texts
    ]
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]}


def textstat_formulas(n: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """textstat 0.7's formulas of its counts (the library's functions take texts alone)."""
    length, syllables = n["words"] / n["sentences"], n["syllables"] / n["words"]
    unfamiliar, difficult = 100 * n["unfamiliar"] / n["words"], 100 * n["difficult"] / n["words"]
    points = (n["words"] + 2 * n["polysyllables"]) / n["sentences"]
    return {
        "flesch_reading_ease": 206.835 - 1.015 * length - 84.6 * syllables,
        "flesch_kincaid_grade": 0.39 * length + 11.8 * syllables - 15.59,
        "gunning_fog": 0.4 * (length + difficult),
        "smog": 1.043 * np.sqrt(30 * n["polysyllables"] / n["sentences"]) + 3.1291,
        "automated_readability_index": 4.71 * n["characters"] / n["words"] + 0.5 * length - 21.43,
        "coleman_liau": (5.8 * n["letters"] - 29.6 * n["sentences"]) / n["words"] - 15.8,
        "linsear_write": np.where(points > 20, points, points - 2) / 2,
        "new_dale_chall": 0.1579 * unfamiliar + 0.0496 * length + 3.6365 * (unfamiliar > 5),
        "lix": length + 100 * n["long"] / n["words"],
        "rix": n["long"] / n["sentences"],
        "spache": 0.141 * length + 0.086 * difficult + 0.839,
    }


def agreement(ours: Counts, theirs: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Share of passages within the tolerance, by count."""
    shares = {}
    for name, tolerance in TOLERANCES.items():
        difference = ours[f"num_{name}"] / np.maximum(theirs[name], 1) - 1
        shares[name] = float((np.abs(difference) <= tolerance).mean())
    return shares


def correlations(ours: Counts, theirs: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    values = textstat_formulas(theirs)
    return {
        name: float(np.corrcoef(FORMULAS[name](ours).filled(0), column)[0, 1])
        for name, column in values.items()
    }


def like_with_like(ours: Counts, theirs: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Correlations where the two programs read a formula's rule differently, by one reading."""
    length = ours["num_words"] / np.maximum(ours["num_sentences"], 1)
    fog = length + 100 * ours["num_complex_words"] / np.maximum(ours["num_words"], 1)
    unfamiliar = ours["num_unfamiliar_words"] / np.maximum(ours["num_words"], 1)
    their_fog = theirs["words"] / theirs["sentences"] + 100 * theirs["hard"] / theirs["words"]
    their_unfamiliar = theirs["unfamiliar"] / theirs["words"]
    return {
        "`gunning_fog`, complex words from three syllables on in both": float(
            np.corrcoef(fog, their_fog)[0, 1]
        ),
        "`new_dale_chall`, only the share of unfamiliar words, names among them": float(
            np.corrcoef(unfamiliar, their_unfamiliar)[0, 1]
        ),
    }


def _row(*cells: object) -> str:
    return "| " + " | ".join(f"{c:.1%}" if isinstance(c, float) else str(c) for c in cells) + " |"


def page(named_texts: list[tuple[str, str]]) -> str:
    texts = [text for _, text in named_texts]
    ours, theirs = count_batch(texts), textstat_counts(texts)
    before = correlations(ours, theirs)
    shares = agreement(ours, theirs)
    lines = [
        "| texts | words within 2 % | sentences within 2 % | syllables within 3 % |",
        "| --- | --- | --- | --- |",
        _row(f"as they are ({len(texts)} passages)", *shares.values()),
    ]
    for name, _, change in STEPS:
        texts = [change(text) for text in texts]
        ours, theirs = count_batch(texts), textstat_counts(texts)
        lines.append(_row("… without " + name, *agreement(ours, theirs).values()))
    theirs["sentences"] = theirs["all_sentences"]
    lines.append(
        _row("… and counting sentences of one and two words", *agreement(ours, theirs).values())
    )
    lines += ["", "| difference | which is right |", "| --- | --- |"]
    lines += [_row(name, why) for name, why, _ in STEPS]
    lines.append(_row("sentences of one or two words", "textstat leaves them out; `No!` is one"))
    after = correlations(ours, theirs)
    lines += ["", "| formula | r, texts as they are | r, without the differences above |"]
    lines.append("| --- | --- | --- |")
    lines += [f"| `{name}` | {before[name]:.3f} | {after[name]:.3f} |" for name in after]
    lines += [f"| {name} | | {r:.3f} |" for name, r in like_with_like(ours, theirs).items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    textstat.set_rounding_points(None)  # full precision
    text = page(passages(arguments.data))
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
