"""No answer of the graded world can be told from the words on the page without reading them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gradatim.corpus.spectrum.generate import SPLITS, Item, generate
from spectrum_solver import facts

NUM_TRAIN, NUM_TEST = 2000, 1000
MARGIN = 0.05
LEVELS = ("b", "d", "e", "f")

Score = Callable[[Item, str], float]
Split = Sequence[Item]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def mentions(item: Item, choice: str) -> list[int]:
    """How often each word of the choice stands in the prompt."""
    prompt = Counter(words(item.prompt))
    return [prompt[word] for word in words(choice)]


def accuracy(items: Split, scores: NDArray[np.float64]) -> float:
    """The share of items whose right choice has the highest score; ties count as a blind guess."""
    right, start = 0.0, 0
    for item in items:
        own = scores[start : start + len(item.choices)]
        best = own >= own.max() - 1e-12
        right += best[item.choices.index(item.answer)] / best.sum()
        start += len(item.choices)
    return right / len(items)


def chance(items: Split) -> float:
    return float(np.mean([item.chance for item in items]))


def bag_of_words_accuracy(items: Split) -> float:
    """Logistic regression on words of prompt and choice, and mentions of the choice's words."""
    feature_extraction = pytest.importorskip("sklearn.feature_extraction")
    linear_model = pytest.importorskip("sklearn.linear_model")

    def features(item: Item, choice: str) -> dict[str, float]:
        counts = mentions(item, choice)
        bag: dict[str, float] = {f"prompt {word}": 1 for word in words(item.prompt)}
        bag |= {f"choice {word}": n for word, n in Counter(words(choice)).items()}
        bag |= {"mean mentions": float(np.mean(counts)), "least mentions": min(counts)}
        bag |= {"most mentions": max(counts), "whole mentions": item.prompt.count(choice)}
        return bag

    rows = [features(item, choice) for item in items for choice in item.choices]
    right = np.array([choice == item.answer for item in items for choice in item.choices])
    num_train_rows = sum(len(item.choices) for item in items[:NUM_TRAIN])
    vectorizer = feature_extraction.DictVectorizer()
    train = vectorizer.fit_transform(rows[:num_train_rows])
    model = linear_model.LogisticRegression(max_iter=300).fit(train, right[:num_train_rows])
    scores = model.decision_function(vectorizer.transform(rows[num_train_rows:]))
    return accuracy(items[NUM_TRAIN:], scores)


HEURISTICS: dict[str, Score] = {
    "mentioned most": lambda item, choice: float(np.mean(mentions(item, choice))),
    "mentioned least": lambda item, choice: -float(np.mean(mentions(item, choice))),
    "first mentioned": lambda item, choice: -item.prompt.find(choice),
    "last mentioned": lambda item, choice: item.prompt.rfind(choice),
    "longest": lambda _, choice: len(choice),
    "shortest": lambda _, choice: -len(choice),
    "first choice": lambda item, choice: -item.choices.index(choice),
    "last choice": lambda item, choice: item.choices.index(choice),
    "alphabet": lambda item, choice: -sorted(item.choices).index(choice),
}


@pytest.mark.parametrize("level", LEVELS)
def test_a_bag_of_words_does_not_know_the_answer(level: str) -> None:
    items = list(generate(level, "train", seed=31, num_items=NUM_TRAIN + NUM_TEST))
    gain = bag_of_words_accuracy(items) - chance(items[NUM_TRAIN:])
    assert gain < MARGIN, f"level {level}: {gain:+.3f} over chance"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", LEVELS)
def test_no_rule_of_thumb_knows_the_answer(level: str, split: str) -> None:
    items = list(generate(level, split, seed=32, num_items=NUM_TEST))
    for rule, score in HEURISTICS.items():
        scores = np.array([score(item, choice) for item in items for choice in item.choices], float)
        gain = accuracy(items, scores) - chance(items)
        assert abs(gain) < MARGIN, f"level {level}, {rule}: {gain:+.3f} over chance"


@pytest.mark.parametrize("level", LEVELS)
def test_the_choice_most_often_right_in_training_is_not_so_later(level: str) -> None:
    items = list(generate(level, "train", seed=33, num_items=NUM_TRAIN + NUM_TEST))
    often = Counter(item.answer for item in items[:NUM_TRAIN])
    test = items[NUM_TRAIN:]
    scores = np.array([often[choice] for item in test for choice in item.choices], float)
    assert accuracy(test, scores) - chance(test) < MARGIN


def test_the_classifier_finds_a_shortcut_where_there_is_one() -> None:
    """With the answer named once more in the prompt, the same classifier knows everything."""
    items = [
        Item(i.id, i.level, i.split, i.template, f"{i.answer}. {i.prompt}", i.answer, i.choices, 1)
        for i in generate("d", "train", seed=31, num_items=NUM_TRAIN + NUM_TEST)
    ]
    assert bag_of_words_accuracy(items) > 0.95


@pytest.mark.parametrize("template", ["swap", "move"])
def test_what_was_at_first_is_right_as_often_as_a_guess(template: str) -> None:
    """Else "nothing has changed" would be worth guessing, or worth ruling out."""
    gains = []
    for item in generate("f", "train", seed=34, num_items=8000):
        if item.template == template:
            before = {s: v for r, s, v in facts(item.prompt) if r in ("has", "in")}
            asked = re.search(r"(?:What does|Where is) (?:the )?(\w+)", item.prompt)
            assert asked
            (first,) = (v for s, v in before.items() if s.split()[-1] == asked[1])
            gains.append((item.answer in first) - item.chance)
    assert len(gains) > 1000
    assert abs(np.mean(gains)) < MARGIN


def test_no_number_of_a_problem_is_among_its_choices() -> None:
    for item in generate("f", "train", seed=35, num_items=1000):
        if item.template in ("count", "compare"):
            assert not set(words(item.prompt)) & set(item.choices), item.prompt
