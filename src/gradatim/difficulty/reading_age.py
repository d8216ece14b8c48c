"""Reading age in years, and how sure it is, from counts of a text.

A weighted sum of nine ratios of counts, in each of which more is harder: the ages of the rarer
words (`gradatim.difficulty.word_ages`), lengths of sentences and words, and how many words are
rare. Weights, scale and uncertainty are in `reading_age.json`, written by
`gradatim.difficulty.fitting.reading_age`; `docs/stations/reading-age.md` is the model card.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.counts import Counts, FloatColumn

Floats = NDArray[np.float64]

UNLISTED_WORD_TENTHS = 150
"""Age of a word that no list knows, in tenths of a year."""


@dataclass(frozen=True, slots=True)
class ReadingAges:
    """Of many texts; masked where a text has no word.

    Attributes:
        years: reading age, within the model's limits.
        sd_years: standard deviation of its error, larger for shorter texts.
    """

    years: FloatColumn
    sd_years: FloatColumn


@dataclass(frozen=True, slots=True)
class AgeModel:
    """The weighted sum, as read from JSON; arrays have shape [num_features].

    Attributes:
        mean, sd: of the features over the training passages.
        weights: years for each standard deviation of a feature, none negative.
        intercept_years: reading age of the mean passage.
        limit_sds: a feature is cut off so many standard deviations from its mean.
        limits_years: the age bends towards these and never passes them.
        bend_years: how far from a limit the bend begins, about.
        sd_long_years: standard deviation of the error of a long text.
        sd_word_years: what a text of one word adds to it; its square falls as 1 / words.
    """

    mean: Floats
    sd: Floats
    weights: Floats
    intercept_years: float
    limit_sds: float
    limits_years: tuple[float, float]
    bend_years: float
    sd_long_years: float
    sd_word_years: float


def reading_age(counts: Counts, model: AgeModel | None = None) -> ReadingAges:
    """Reading ages of texts from their counts; the shipped model unless another is given."""
    model = shipped_model() if model is None else model
    num_words = counts["num_words"]
    latent = latent_years(features(counts), model)
    variance = model.sd_long_years**2 + model.sd_word_years**2 / np.maximum(num_words, 1)
    is_empty = num_words == 0
    return ReadingAges(
        np.ma.MaskedArray(bounded_years(latent, model), is_empty),
        np.ma.MaskedArray(np.sqrt(variance), is_empty),
    )


def latent_years(values: Floats, model: AgeModel) -> Floats:
    """The weighted sum of features [num_texts, num_features], before the limits in years."""
    deviations = (values - model.mean) / model.sd
    deviations = np.clip(deviations, -model.limit_sds, model.limit_sds)
    # A feature that a text does not have takes no side.
    return model.intercept_years + np.nan_to_num(deviations, nan=0.0) @ model.weights


def bounded_years(latent: Floats, model: AgeModel) -> Floats:
    """Bent towards the limits, so that there too the harder text is the older one."""
    lowest, highest = model.limits_years
    bend = model.bend_years
    above = lowest + bend * np.logaddexp(0, (latent - lowest) / bend)
    years: Floats = np.maximum(lowest, highest - bend * np.logaddexp(0, (highest - above) / bend))
    return years


def features(counts: Counts) -> Floats:
    """The features of texts, [num_texts, num_features]; NaN where nothing was there to count."""
    return np.stack([feature(counts) for feature in FEATURES.values()], axis=1)


def _ratio(numerator: NDArray[Any], denominator: NDArray[np.int64]) -> Floats:
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def _word_age(counts: Counts) -> Floats:
    """Mean age of the words of Zipf frequency below 5 that are no names, in years."""
    tenths = counts["sum_age_tenths"] + UNLISTED_WORD_TENTHS * counts["num_unlisted_parts"]
    return _ratio(tenths / 10, counts["num_below_zipf_5"])


def _sentence_words(counts: Counts) -> Floats:
    """Logarithm of words per sentence."""
    return np.log(np.maximum(_ratio(counts["num_words"], counts["num_sentences"]), 1))


def _long_sentences(counts: Counts) -> Floats:
    """Logarithm of the length of the sentence in which the average word stands."""
    ratio = _ratio(counts["sum_squared_sentence_words"], counts["num_words"])
    return np.log(np.maximum(ratio, 1))


FEATURES: dict[str, Callable[[Counts], Floats]] = {
    "word_age": _word_age,
    "sentence_words": _sentence_words,
    "long_sentences": _long_sentences,
    "syllables": lambda n: _ratio(n["num_syllables"], n["num_words"]),
    "letters": lambda n: np.sqrt(_ratio(n["sum_squared_word_letters"], n["num_words"])),
    "long_words": lambda n: np.sqrt(_ratio(n["num_long_words"], n["num_words"])),
    "complex_words": lambda n: np.sqrt(_ratio(n["num_complex_words"], n["num_words"])),
    "below_zipf_4": lambda n: np.sqrt(_ratio(n["num_below_zipf_4"], n["num_common_parts"])),
    "below_zipf_5": lambda n: _ratio(n["num_below_zipf_5"], n["num_common_parts"]),
    "personal_pronouns": lambda n: _ratio(n["num_personal_pronouns"], n["num_words"]),
}
"""Name → feature of the counts, higher is harder. Personal pronouns tell the kind of text: a story
is harder than a report of the same words and sentences."""


@lru_cache(maxsize=1)
def shipped_model() -> AgeModel:
    """The model of `reading_age.json`."""
    file = resources.files("gradatim.difficulty") / "reading_age.json"
    return model_of(json.loads(file.read_text(encoding="utf-8")))


def model_of(spec: dict[str, Any]) -> AgeModel:
    """A model from the content of its JSON."""
    rows = [spec["features"][name] for name in FEATURES]
    return AgeModel(
        mean=np.array([row["mean"] for row in rows]),
        sd=np.array([row["sd"] for row in rows]),
        weights=np.array([row["years_per_sd"] for row in rows]),
        limits_years=(spec["limits_years"][0], spec["limits_years"][1]),
        **{name: spec[name] for name in ("intercept_years", "limit_sds", "bend_years")},
        **{name: spec["uncertainty"][name] for name in ("sd_long_years", "sd_word_years")},
    )
