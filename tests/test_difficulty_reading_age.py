"""The reading age: its model on hand-made texts and counts, its files, what is claimed of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.difficulty.columns import COUNT_NAMES, MEASURE_NAMES
from gradatim.difficulty.counts import Counts, count_batch
from gradatim.difficulty.english import listed_words
from gradatim.difficulty.fitting import reading_age as fit_reading_age
from gradatim.difficulty.fitting import word_ages as fit_word_ages
from gradatim.difficulty.fitting.evaluation import (
    Unseen,
    agreement,
    error_variance,
    interval,
    rank_correlation_of_books,
    share_of_triples_in_order,
    years_apart,
)
from gradatim.difficulty.fitting.sources import Sample, WordUse, common_words
from gradatim.difficulty.fitting.word_ages import WordAgeLearner
from gradatim.difficulty.reading_age import (
    FEATURES,
    features,
    latent_years,
    reading_age,
    shipped_model,
)
from gradatim.difficulty.word_ages import word_ages_tenths

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

PRIMER = (
    "The cat has a ball. The ball is red. See the cat run! She runs to the tree. "
    "“Come down, cat,” said Tom. The cat did not come down. Tom had some milk. "
    "The cat saw the milk and came down."
)
CHILD = (
    "The old farmer woke before the sun and lit his lamp. It was cold, and the snow lay deep "
    "around the barn. He put on his boots, called the dog, and went out to feed the sheep. "
    "Halfway across the yard he stopped, for there in the snow were the tracks of a wolf."
)
NEWS = (
    "The government announced on Tuesday that it will build a new railway between the two "
    "largest cities, although several local councils oppose the plan. Officials say the line "
    "will reduce traffic and create thousands of jobs. Critics argue that the money would be "
    "better spent on repairing existing roads and schools."
)
TREATISE = (
    "Whatever proposition is affirmed of an infinite multitude must be established either by "
    "demonstration from antecedent principles, or by an induction sufficiently comprehensive to "
    "preclude the supposition of exceptions; and since no enumeration of particular instances, "
    "however extensive, can exhaust the multitude in question, it follows that the universality "
    "of such a proposition is derived from the constitution of the understanding itself."
)


def _years(*texts: str) -> list[float]:
    years: list[float] = reading_age(count_batch(list(texts))).years.tolist()
    return years


def test_the_ages_of_four_texts() -> None:
    assert _years(PRIMER, CHILD, NEWS, TREATISE) == pytest.approx(GOLDEN_YEARS, abs=0.05)


GOLDEN_YEARS = [4.01, 4.80, 12.75, 24.86]


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        ("The dog ran to the house.", "The hound proceeded towards the residence."),
        ("We got the food. Then we ate.", "We got the food, and when we had got it, we ate."),
        ("He helps people who are ill.", "He administers treatment to afflicted individuals."),
        (PRIMER, CHILD),
        (CHILD, NEWS),
        (NEWS, TREATISE),
    ],
)
def test_easier_wording_is_younger(easy: str, hard: str) -> None:
    easy_years, hard_years = _years(easy, hard)
    assert easy_years < hard_years


def test_names_do_not_make_a_text_harder() -> None:
    plain, named = _years(
        "Then Tom and Ann saw the boat.", "Then Zebulon and Xanthippe saw the boat."
    )
    assert named - plain < 2.5  # they are longer


def test_every_text_has_a_number_or_a_mask() -> None:
    texts = ["", None, "12 34 5.6", "a", "...", "Æ", "word " * 5000, "猫" * 50, "The " * 200, "\0"]
    ages = reading_age(count_batch(texts))
    has_words = count_batch(texts)["num_words"] > 0
    assert (~np.ma.getmaskarray(ages.years) == has_words).all()
    for column in (ages.years, ages.sd_years):
        assert np.isfinite(column.data).all()
    assert ages.years.min() >= 4
    assert ages.years.max() <= 25
    assert (ages.sd_years.compressed() > 0).all()


def test_shorter_texts_are_less_certain() -> None:
    sd_years = reading_age(count_batch([PRIMER, PRIMER * 3, PRIMER * 100])).sd_years
    assert sd_years[0] > sd_years[1] > sd_years[2] >= shipped_model().sd_long_years


# A column of counts, and whether more of it is harder.
DIRECTIONS = {
    "sum_age_tenths": True,
    "num_sentences": False,
    "sum_squared_sentence_words": True,
    "num_syllables": True,
    "sum_squared_word_letters": True,
    "num_long_words": True,
    "num_complex_words": True,
    "num_below_zipf_4": True,
    "num_personal_pronouns": True,
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(DIRECTIONS)),
    st.lists(st.integers(1, 400), min_size=len(COUNT_NAMES), max_size=len(COUNT_NAMES)),
    st.integers(1, 400),
)
def test_more_of_what_is_hard_is_never_younger(name: str, row: list[int], more: int) -> None:
    whole = np.array([row, row], np.int64)
    whole[1, COUNT_NAMES.index(name)] += more
    years = reading_age(Counts(whole, np.full((2, len(MEASURE_NAMES)), np.nan))).years
    assert years[1] >= years[0] if DIRECTIONS[name] else years[1] <= years[0]


def test_the_files_are_what_they_say() -> None:
    folder = resources.files("gradatim.difficulty")
    spec = json.loads((folder / "reading_age.json").read_text("utf-8"))
    assert list(spec["features"]) == list(FEATURES)
    assert all(row["years_per_sd"] >= 0 and row["sd"] > 0 for row in spec["features"].values())
    table = json.loads((folder / "word_ages.json").read_text("utf-8"))
    own = {word: int(age) for age, words in table["words"].items() for word in words.split()}
    assert len(own) == sum(len(words.split()) for words in table["words"].values()) > 10_000
    words, zipf_centi = listed_words()
    frequency = dict(zip(words, zipf_centi.tolist(), strict=True))
    assert all(frequency[word] < 500 and 40 <= age <= 205 for word, age in own.items())


def test_ages_of_words() -> None:
    words = ["kitten", "puddle", "committee", "jurisprudence", "the", "said"]
    ages = word_ages_tenths(words, np.array([401, 334, 491, 305, 773, 600]))
    assert ages[0] <= ages[1] < ages[2] < ages[3]
    assert ages[4] == ages[5] == 0


def _uses() -> list[WordUse]:
    child = "kitten kitten meadow puddle lantern window garden"
    scholar = "jurisprudence axiom meadow postulate theorem window induction"
    return [
        WordUse("books", level, fold, Counter(text.split()))
        for level, text in (("child", child), ("scholar", scholar))
        for fold in range(5)
    ]


def test_word_ages_are_learned_from_the_documents_that_use_them() -> None:
    learner = WordAgeLearner(_uses())
    counts = count_batch(["kitten", "window", "axiom"], known=learner.learn().lexicon)
    child, both, scholar = counts["sum_age_tenths"].tolist()
    assert child < both < scholar


def test_word_ages_know_nothing_of_the_folds_left_out() -> None:
    uses = _uses() + [WordUse("books", "child", 0, Counter(["axiom"] * 50)) for _ in range(30)]
    words, learner = ["axiom"], WordAgeLearner(uses)
    seen, unseen, clean = (
        int(count_batch(words, known=ages.lexicon)["sum_age_tenths"][0])
        for ages in (
            learner.learn(),
            learner.learn(without_folds=(0,)),
            WordAgeLearner(uses[:10]).learn(without_folds=(0,)),
        )
    )
    assert seen < unseen == clean


def test_words_of_reports_and_of_stories_come_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    uses = [
        WordUse(source, level, fold, Counter([word, "window"]))
        for source, level, word in (
            ("books", "child", "meadow"),
            ("books", "youth", "lantern"),
            ("onestop", "elementary", "tribunal"),
            ("onestop", "advanced", "premise"),
        )
        for fold in range(5)
    ]
    words = ["meadow", "lantern", "tribunal", "premise"]
    gaps = []
    for share in (0.0, 0.5):
        monkeypatch.setattr(fit_word_ages, "_KIND_SHARE", share)
        counts = count_batch(words, known=WordAgeLearner(uses).learn().lexicon)
        meadow, lantern, tribunal, premise = counts["sum_age_tenths"].tolist()
        assert meadow < lantern
        assert tribunal < premise
        gaps.append(tribunal + premise - meadow - lantern)
    assert 0 < gaps[1] < gaps[0]


def test_names_are_left_out_of_the_words() -> None:
    found = common_words("Tom saw a bear. The bear saw Tom, and I ran. Bears run.")
    assert found == Counter(["saw", "a", "bear", "bear", "saw", "and", "i", "ran", "run"])


def _samples() -> list[Sample]:
    texts = {"child": CHILD, "youth": NEWS, "scholar": TREATISE, "primer": PRIMER}
    samples = [
        Sample("books", f"{level}{fold}", level, fold, text)
        for level, text in texts.items()
        for fold in range(5)
    ]
    levels = {"elementary": PRIMER, "intermediate": CHILD, "advanced": TREATISE}
    samples += [
        Sample("onestop", f"article{fold}", level, fold, text)
        for level, text in levels.items()
        for fold in range(5)
    ]
    for level, text in (("simple", CHILD), ("complex", TREATISE)):
        samples += [Sample("turkcorpus", f"{fold}", level, fold, text) for fold in range(5)]
    return samples


def test_a_fit_orders_what_it_was_fitted_to_and_no_weight_is_negative() -> None:
    samples = _samples()
    study = fit_reading_age.Study(samples, _uses())
    values = fit_reading_age.counted(study.texts, study.learner.learn())
    model = study.fit(values, np.ones(len(samples), np.bool_))
    assert (model.weights >= 0).all()
    assert model.weights.sum() > 0
    years = reading_age(count_batch(study.texts), replace(model, limits_years=(-99, 99))).years
    assert share_of_triples_in_order(samples, years.data) == 1
    assert rank_correlation_of_books(samples, years.data)[0] > 0.99


def test_within_a_graded_reader_stories_are_as_old_as_lessons() -> None:
    story = "He said that she saw him. " + CHILD
    apart, together = (
        [
            *_samples(),
            *(
                Sample("books", f"reader{fold}", "child", fold, text, is_of_reader)
                for fold in range(5)
                for text in (story, NEWS)
            ),
        ]
        for is_of_reader in (False, True)
    )
    gaps = []
    for samples in (apart, together):
        study = fit_reading_age.Study(samples, _uses())
        values = fit_reading_age.counted(study.texts, study.learner.learn())
        model = study.fit(values, np.ones(len(samples), np.bool_))
        gaps.append(np.diff(latent_years(values[-2:], model))[0])
    assert abs(gaps[1]) < abs(gaps[0])


def test_what_information_has_above_literature_of_the_same_ease() -> None:
    ease = np.array([0.0, 1.0, 2.0, 1.0, 2.0, 3.0])
    informs = np.arange(6) >= 3
    assert years_apart(20 - 2 * ease + 3 * informs, ease, informs) == pytest.approx(3)


def test_the_error_of_short_texts_is_found() -> None:
    generator = np.random.default_rng(0)
    samples = [Sample("books", str(i), "child", i % 5, "") for i in range(20_000)]
    words = {n: np.full(len(samples), float(n)) for n in (20, 40, 80, 320)}
    years = {
        n: 10 + np.sqrt(2.0**2 + 12.0**2 / n) * generator.standard_normal(len(samples))
        for n in words
    }
    long_years, word_years = error_variance(Unseen(samples, years, words))
    assert long_years == pytest.approx(2, abs=0.1)
    assert word_years == pytest.approx(12, abs=0.6)


def test_what_is_claimed_of_people_and_articles() -> None:
    if not (DATA / "clear.parquet").exists():
        pytest.skip("no shared data")
    people = pq.read_table(DATA / "clear.parquet").to_pydict()
    years = reading_age(count_batch(people["text"])).years.data
    ease = np.array(people["BT_easiness"])
    assert np.corrcoef(years, ease)[0, 1] < -0.65
    apart = ~np.array(people["in_shared_books"], np.bool_)
    assert agreement(years[apart], ease[apart]) > 0.65
    assert interval(years, ease)[0] > 0.66
    assert years_apart(years, ease, np.array(people["category"]) == "Info") < 2.6
    rows = pq.read_table(DATA / "onestop.parquet").to_pylist()
    samples = [Sample("onestop", row["article"], row["level"], 0, row["text"]) for row in rows]
    ages = reading_age(count_batch([sample.text for sample in samples])).years.data
    assert share_of_triples_in_order(samples, ages) >= 0.95


@pytest.mark.slow
def test_the_script_writes_the_files_that_are_shipped() -> None:
    if not (DATA / "books.parquet").exists():
        pytest.skip("no shared data")
    model, ages, _ = fit_reading_age.fit(DATA)
    folder = resources.files("gradatim.difficulty")
    assert fit_reading_age.written_model(model) == (folder / "reading_age.json").read_text("utf-8")
    assert fit_reading_age.written_ages(ages) == (folder / "word_ages.json").read_text("utf-8")


def test_features_of_nothing_are_missing_not_zero() -> None:
    assert np.isnan(features(count_batch([""]))).all()
