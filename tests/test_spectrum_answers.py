"""The graded world's answers, worked out again from the texts alone."""

from __future__ import annotations

import re

import pytest

from gradatim.corpus.spectrum.generate import LEVELS, SPLITS, Item, generate
from spectrum_solver import DAYS, NUMBERS, solve

NUM_ITEMS = 300


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_answer_follows_from_the_text(level: str, split: str) -> None:
    for item in generate(level, split, seed=21, num_items=NUM_ITEMS):
        assert solve(item) == item.answer, item.text


def plain_sense(item: Item) -> str | None:
    """The last word of a level-a item, where it can be worked out."""
    prompt = item.prompt
    if match := re.search(r"It was (\w+day)\. .* one day (later|before), on$", prompt):
        return DAYS[(DAYS.index(match[1]) + (1 if match[2] == "later" else -1)) % 7]
    if match := re.search(r": .* (\w+),$", prompt):
        return NUMBERS[NUMBERS.index(match[1]) + 1]
    if match := re.search(r"saw one (\w+)\. Then \w+ saw (\w+)$", prompt):
        return match[1] + "s"
    if match := re.search(r"saw \w+ (\w+)s\. Then \w+ saw only one$", prompt):
        return match[1]
    if match := re.search(r"(\w+) have the \w+ \w+\. The \w+ \w+ is$", prompt):
        return "theirs"
    return None


@pytest.mark.parametrize("split", SPLITS)
def test_simple_sentences_end_as_plain_sense_has_it(split: str) -> None:
    items = list(generate("a", split, seed=21, num_items=600))
    worked_out = [(plain_sense(item), item) for item in items if plain_sense(item)]
    assert len(worked_out) > 100
    for answer, item in worked_out:
        assert answer == item.answer, item.text


def test_steps_end_at_the_answer() -> None:
    for item in generate("f", "train", seed=4, num_items=NUM_ITEMS):
        last = item.steps.split(". ")[-1]
        assert item.answer in last, item.text


def test_a_problem_is_asked_with_and_without_its_steps() -> None:
    shown, direct = generate("f", "train", seed=0, num_items=2)
    assert shown.text == (
        f"{shown.prompt.removesuffix('Answer:')}Steps: {shown.steps} Answer: {shown.answer}."
    )
    assert direct.text == f"{direct.prompt} {direct.answer}."
    assert direct.steps
    assert direct.prompt.endswith("? Answer:")
