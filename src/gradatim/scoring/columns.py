"""What the columns of a scores folder mean: unit, direction, one clause."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

CORPUS_RARITY, TOKENS_PER_WORD = "corpus_rarity", "tokens_per_word"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its unit, what a higher value is, and what it measures."""

    unit: str
    higher_is: Literal["harder", "easier"]
    describes: str


def _harder(unit: str, describes: str) -> Metric:
    return Metric(unit, "harder", describes)


COLUMNS: dict[str, Metric] = {
    "reading_age": _harder("years", "age at which the text reads easily"),
    "reading_age_sd": _harder("years", "standard deviation of the reading age"),
    "flesch_reading_ease": Metric("points", "easier", "Flesch reading ease"),
    "flesch_kincaid_grade": _harder("grade", "Flesch-Kincaid grade"),
    "flesch_kincaid_age": _harder("years", "Flesch-Kincaid grade and five years"),
    "gunning_fog": _harder("grade", "Gunning fog index"),
    "smog": _harder("grade", "SMOG grade"),
    "automated_readability_index": _harder("grade", "automated readability index"),
    "coleman_liau": _harder("grade", "Coleman-Liau index"),
    "linsear_write": _harder("grade", "Linsear Write grade"),
    "new_dale_chall": _harder("score", "new Dale-Chall score"),
    "lix": _harder("points", "LIX"),
    "rix": _harder("long words a sentence", "RIX"),
    "spache": _harder("grade", "Spache grade"),
    "mtld": _harder("words", "measure of textual lexical diversity"),
    "mattr": _harder("ratio", "moving-average type-token ratio"),
    "word_rarity": _harder("bits a word", "mean surprise of the words in general English"),
    "word_rarity_p90": _harder("bits", "surprise that one word in ten exceeds"),
    "word_rarity_p95": _harder("bits", "surprise that one word in twenty exceeds"),
    "zstd_ratio": _harder("ratio", "bytes after zstd compression to bytes before"),
    "zlib_ratio": _harder("ratio", "bytes after zlib compression to bytes before"),
    TOKENS_PER_WORD: _harder("tokens a word", "length of words in a tokenizer's tokens"),
    CORPUS_RARITY: _harder("bits a word", "mean surprise of the words, counted in this corpus"),
}


def describe(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The entries of `scores.json`, in the order of `names`."""
    return {name: asdict(COLUMNS[name]) for name in names}
