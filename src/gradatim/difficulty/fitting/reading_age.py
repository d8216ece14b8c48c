"""Fits the reading age to books of known reader, and says how well it does.

    python -m gradatim.difficulty.fitting.reading_age DATA_FOLDER

writes `word_ages.json` and `reading_age.json` beside this module, the same bytes from the same
data, and prints the evaluation. Nothing of `clear.parquet` is read but to be measured.

Word ages come first, weights second: those are fitted to passages the ages of whose words were
learned without the passages' own fold of the data, since an age learned from the very book would
look better than it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from gradatim.difficulty.counts import count_batch
from gradatim.difficulty.fitting.evaluation import Unseen, error_variance, people_report, report
from gradatim.difficulty.fitting.sources import (
    ANCHOR_YEARS,
    NUM_FOLDS,
    Sample,
    WordUse,
    read_sources,
)
from gradatim.difficulty.fitting.word_ages import WordAgeLearner, WordAges
from gradatim.difficulty.reading_age import (
    FEATURES,
    AgeModel,
    bounded_years,
    features,
    latent_years,
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LIMITS_YEARS = (4.0, 25.0)
LIMIT_SDS = 4.0
BEND_YEARS = 1.5

_SAMPLE_WEIGHT = {"books": 1.0, "onestop": 0.25, "storybooks": 0.15, "turkcorpus": 0.1}
"""Of each level of a source; within it, of each group alike."""
_PAIR_WEIGHT = {"onestop": 0.5, "turkcorpus": 0.15}
"""Of all pairs of a source."""
_PRIOR_WEIGHT = 1.0
_PRIOR = {
    "word_age": 0.34, "sentence_words": 0.13, "long_sentences": 0.19, "syllables": 0.06,
    "letters": 0.06, "long_words": 0.06, "complex_words": 0.06, "below_zipf_4": 0.06,
    "below_zipf_5": 0.04, "personal_pronouns": 0.0,
}  # fmt: skip
"""Shares of the features before any data, about a third each to the words' ages, the sentences,
and the words' lengths and rarity. Shrinking to them keeps features that say the same thing side by
side, so that none carries the sum alone where text is unlike the training's."""
_READER_WEIGHT = 10.0
"""Of the demand that within graded readers the sum does not go with the share of pronouns."""
_PRONOUNS = list(FEATURES).index("personal_pronouns")


class Study:
    """All samples with their features, by the folds that their words' ages were learned without."""

    def __init__(self, samples: Sequence[Sample], uses: Sequence[WordUse]) -> None:
        self.samples = samples
        self.texts = [sample.text for sample in samples]
        self.source = np.array([sample.source for sample in samples])
        self.level = np.array([sample.level for sample in samples])
        self.group = np.array([sample.group for sample in samples])
        self.fold = np.array([sample.fold for sample in samples])
        self.is_of_reader = np.array([sample.is_of_reader for sample in samples])
        self.years = np.array([ANCHOR_YEARS[level] for level in self.level])
        self.learner = WordAgeLearner(uses)
        self._pairs = _pairs(samples)
        self._features: dict[frozenset[int], Floats] = {}

    def features_without(self, *folds: int) -> Floats:
        """Features of all samples, ages learned without some folds."""
        key = frozenset(folds)
        if key not in self._features:
            self._features[key] = counted(self.texts, self.learner.learn(without_folds=key))
        return self._features[key]

    def unseen_features(self, *folds: int) -> Floats:
        """Features of each sample with ages learned without its own fold, nor the given ones."""
        values = np.empty((len(self.samples), len(FEATURES)))
        for fold in range(NUM_FOLDS):
            values[self.fold == fold] = self.features_without(fold, *folds)[self.fold == fold]
        return values

    def fit(self, values: Floats, keep: Mask) -> AgeModel:
        """Weights from some samples: non-negative least squares, shrunk towards `_PRIOR`."""
        weight = self._sample_weights(keep)
        mean = np.average(values, axis=0, weights=weight)
        sd = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
        mean, sd = _rounded(mean, 5), _rounded(sd, 5)
        deviations = np.clip(np.nan_to_num((values - mean) / sd), -LIMIT_SDS, LIMIT_SDS)
        mean_years = float(np.average(self.years, weights=weight))
        sd_years = np.sqrt(np.average((self.years - mean_years) ** 2, weights=weight))
        rows = [deviations * np.sqrt(weight)[:, None]]
        wanted = [(self.years - mean_years) * np.sqrt(weight)]
        for source, pair_weight in _PAIR_WEIGHT.items():
            pairs = self._pairs[source][keep[self._pairs[source][:, 0]]]
            if len(pairs):
                easy, hard = pairs.T
                root = np.sqrt(pair_weight / len(pairs))
                rows.append((deviations[hard] - deviations[easy]) * root)
                wanted.append((self.years[hard] - self.years[easy]) * root)
        rows.append(self._slopes_on_pronouns(deviations, keep) * np.sqrt(_READER_WEIGHT))
        wanted.append(np.zeros(len(rows[-1])))
        rows.append(np.eye(len(FEATURES)) * np.sqrt(_PRIOR_WEIGHT))
        wanted.append(np.array(list(_PRIOR.values())) * sd_years * np.sqrt(_PRIOR_WEIGHT))
        weights, _ = nnls(np.concatenate(rows), np.concatenate(wanted))
        model = AgeModel(
            mean, sd, weights, mean_years, LIMIT_SDS, LIMITS_YEARS, BEND_YEARS, 1.0, 1.0
        )
        return self._calibrated(model, values, keep)

    def _slopes_on_pronouns(self, deviations: Floats, keep: Mask) -> Floats:
        """Slopes of the features on pronouns within graded readers, [1, num_features].

        There a story and a lesson are as hard as each other, so the sum's slope should be 0. No
        row without such passages.
        """
        here = self.is_of_reader & keep
        _, group, sizes = np.unique(self.group[here], return_inverse=True, return_counts=True)
        within = deviations[here].copy()
        for k in range(within.shape[1]):
            within[:, k] -= (np.bincount(group, within[:, k]) / sizes)[group]
        pronouns = within[:, _PRONOUNS]
        if not pronouns.any():
            return np.zeros((0, within.shape[1]))
        slopes: Floats = (pronouns @ within / (pronouns @ pronouns))[None]
        return slopes

    def _calibrated(self, model: AgeModel, values: Floats, keep: Mask) -> AgeModel:
        """Stretched so that the levels' mean ages lie along their anchors."""
        latent = latent_years(values, model)
        kinds = sorted({(s, v) for s, v in zip(self.source[keep], self.level[keep], strict=True)})
        kinds = [kind for kind in kinds if kind[0] != "turkcorpus"]
        means = [
            latent[keep & (self.source == source) & (self.level == level)].mean()
            for source, level in kinds
        ]
        slope, offset = np.polyfit(means, [ANCHOR_YEARS[level] for _, level in kinds], 1)
        return replace(
            model,
            weights=_rounded(model.weights * slope, 4),
            intercept_years=round(float(offset + slope * model.intercept_years), 4),
        )

    def _sample_weights(self, keep: Mask) -> Floats:
        weight = np.zeros(len(self.samples))
        for source, level in sorted(set(zip(self.source, self.level, strict=True))):
            here = keep & (self.source == source) & (self.level == level)
            _, group, sizes = np.unique(self.group[here], return_inverse=True, return_counts=True)
            if group.size:
                num_levels = np.unique(self.level[self.source == source]).size
                weight[here] = _SAMPLE_WEIGHT[source] / num_levels / sizes.size / sizes[group]
        return weight


def _pairs(samples: Sequence[Sample]) -> dict[str, NDArray[np.int64]]:
    """Source to pairs of samples of one group, the easier first, [num_pairs, 2]."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, sample in enumerate(samples):
        if sample.source in _PAIR_WEIGHT:
            groups.setdefault((sample.source, sample.group), []).append(i)
    pairs: dict[str, list[tuple[int, int]]] = {source: [] for source in _PAIR_WEIGHT}
    for (source, _), members in groups.items():
        members = sorted(members, key=lambda i: ANCHOR_YEARS[samples[i].level])
        pairs[source] += combinations(members, 2)
    return {source: np.array(found) for source, found in pairs.items()}


def _rounded(values: Floats, decimals: int) -> Floats:
    """So that what is written down is what was measured."""
    return np.array([round(value, decimals) for value in values.tolist()], np.float64)


def counted(texts: Sequence[str], ages: WordAges) -> Floats:
    """Features of texts with these ages of words."""
    return features(count_batch(texts, known=ages.lexicon))


def unseen_years(study: Study) -> Unseen:
    """Each sample's reading age by a model that saw nothing of its fold, at four lengths."""
    years: dict[int, Floats] = {}
    words: dict[int, Floats] = {}
    for num_words in (0, 25, 50, 100):
        texts = study.texts if num_words == 0 else [cut_short(t, num_words) for t in study.texts]
        years[num_words] = np.zeros(len(texts))
        words[num_words] = np.array([len(text.split()) for text in texts], np.float64)
        for fold in range(NUM_FOLDS):
            here = study.fold == fold
            model = study.fit(study.unseen_features(fold), ~here)
            if num_words == 0:
                values = study.features_without(fold)[here]
            else:
                ages = study.learner.learn(without_folds=(fold,))
                values = counted([texts[i] for i in np.flatnonzero(here)], ages)
            years[num_words][here] = bounded_years(latent_years(values, model), model)
    return Unseen(study.samples, years, words)


def years_without(study: Study, source: str) -> Floats:
    """Reading ages by a model for which a source did not exist."""
    others = sorted(set(study.source) - {source})
    keep = study.source != source
    values = np.empty((len(study.samples), len(FEATURES)))
    for fold in range(NUM_FOLDS):
        ages = study.learner.learn(without_folds=(fold,), sources=others)
        values[study.fold == fold] = counted(study.texts, ages)[study.fold == fold]
    model = study.fit(np.where(keep[:, None], values, 0), keep)
    return latent_years(counted(study.texts, study.learner.learn(sources=others)), model)


def cut_short(text: str, num_words: int) -> str:
    """The first words of a text, up to the end of a sentence where one is near."""
    words = text.split()
    if len(words) <= num_words:
        return text
    for end in range(num_words, min(len(words), num_words + num_words // 4) + 1):
        if words[end - 1].rstrip("\"'”’)")[-1:] in tuple(".!?"):
            return " ".join(words[:end])
    return " ".join(words[:num_words])


def written_model(model: AgeModel) -> str:
    """The text of `reading_age.json`."""
    rows = zip(FEATURES, model.mean, model.sd, model.weights, strict=True)
    spec = {
        "about": "Reading age in years: intercept_years + sum of years_per_sd × (feature − mean) "
        "/ sd, features as defined in gradatim.difficulty.reading_age. Written by "
        "gradatim.difficulty.fitting.reading_age.",
        "trained_on": {
            "books.parquet": "152 books of Project Gutenberg, public domain in the USA",
            "onestop.parquet": "OneStopEnglish, CC BY-SA 4.0",
            "storybooks.parquet": "African Storybook and Pratham Books, CC BY",
            "turkcorpus.parquet": "TurkCorpus; sentences of Wikipedia, CC BY-SA 3.0",
            "wordfreq": "word frequencies, CC BY-SA 4.0",
        },
        "anchors_years": ANCHOR_YEARS,
        "intercept_years": model.intercept_years,
        "limit_sds": model.limit_sds,
        "limits_years": model.limits_years,
        "bend_years": model.bend_years,
        "uncertainty": {
            "about": "variance = sd_long_years² + sd_word_years² / words",
            "sd_long_years": model.sd_long_years,
            "sd_word_years": model.sd_word_years,
        },
        "features": {
            name: {"mean": mean, "sd": sd, "years_per_sd": weight}
            for name, mean, sd, weight in rows
        },
    }
    return json.dumps(spec, indent=2, ensure_ascii=False) + "\n"


def written_ages(ages: WordAges) -> str:
    """The text of `word_ages.json`: words by age, a line each."""
    words: dict[int, list[str]] = {}
    for word, tenths in ages.own_tenths.items():
        words.setdefault(tenths, []).append(word)
    spec = {
        "about": "Words by their age in tenths of a year, and the rule for all others: see "
        "gradatim.difficulty.word_ages. Learned by gradatim.difficulty.fitting.reading_age from "
        "the sources named in reading_age.json; words chosen by wordfreq (CC BY-SA 4.0).",
        "rule_years": ages.rule.tolist(),
        "words": {str(tenths): " ".join(sorted(words[tenths])) for tenths in sorted(words)},
    }
    return json.dumps(spec, indent=1, ensure_ascii=False) + "\n"


def fit(folder: Path) -> tuple[AgeModel, WordAges, list[str]]:
    """The model, the word ages it goes with, and the lines of its evaluation."""
    study = Study(*read_sources(folder))
    ages = study.learner.learn()
    unseen = unseen_years(study)
    sd_long_years, sd_word_years = error_variance(unseen)
    model = replace(
        study.fit(study.unseen_features(), np.ones(len(study.samples), np.bool_)),
        sd_long_years=sd_long_years,
        sd_word_years=sd_word_years,
    )
    lines = report(unseen, years_without(study, "onestop"), model)
    return model, ages, lines


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0])
    model, ages, lines = fit(folder)
    here = Path(__file__).parents[1]
    (here / "reading_age.json").write_text(written_model(model), encoding="utf-8")
    (here / "word_ages.json").write_text(written_ages(ages), encoding="utf-8")
    print("\n".join(lines))
    if (folder / "clear.parquet").exists():
        print("\n".join(people_report(folder / "clear.parquet", model, ages.lexicon)))


if __name__ == "__main__":
    main(sys.argv[1:])
