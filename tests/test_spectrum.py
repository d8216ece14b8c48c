"""The graded world: the same bytes everywhere, and nothing held out ever seen in training."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus.spectrum.cast import VALUES, partners, people
from gradatim.corpus.spectrum.generate import (
    LEVELS,
    SPLITS,
    TEMPLATES,
    Item,
    documents,
    generate,
    item_at,
    tasks,
)
from gradatim.corpus.spectrum.words import BOYS, FAMILIES, GIRLS
from gradatim.errors import SpecError
from spectrum_solver import facts

GOLDEN = "c14cba56abc3693691c752000fd82938"
WHOLE_NAME = re.compile(rf"\b(?:{'|'.join(GIRLS + BOYS)}) (?:{'|'.join(FAMILIES)})\b")
SCATTERED = ("has", "in", "visited")  # relations whose combinations of words are kept apart


@pytest.fixture(scope="module")
def items() -> dict[tuple[str, str], list[Item]]:
    """Some items of every level and split; many of training."""
    return {
        (level, split): list(
            generate(level, split, seed=0, num_items=3000 if split == "train" else 1000)
        )
        for level in LEVELS
        for split in SPLITS
    }


def test_the_bytes_are_the_same_everywhere() -> None:
    digest = hashlib.blake2b(digest_size=16)
    for level in LEVELS:
        for split in SPLITS:
            for item in generate(level, split, seed=7, num_items=200):
                line = (item.id, item.template, item.prompt, *item.choices, item.steps, item.text)
                digest.update("\n".join(line).encode())
    assert digest.hexdigest() == GOLDEN


@settings(deadline=None)
@given(
    level=st.sampled_from(LEVELS),
    split=st.sampled_from(SPLITS),
    index=st.integers(0, 2**48 - 1),
    seed=st.integers(0, 2**70),
)
def test_an_item_is_whole_wherever_it_stands(level: str, split: str, index: int, seed: int) -> None:
    item = item_at(level, split, index, seed=seed)
    assert item == item_at(level, split, index, seed=seed)
    assert item.text.isascii()
    assert item.text.endswith(f" {item.answer}.")
    assert item.choices.count(item.answer) == 1
    assert len(set(item.choices)) == len(item.choices) >= 2
    assert item.chance == 1 / len(item.choices)
    assert item.num_hops >= 1
    assert "  " not in item.text
    assert not re.search(
        r"[{}]|\ba [aeiou]|\ban [^aeiou]|[.?] [a-z]|\bone (?!is\b)[a-z]+s\b", item.text
    )


def test_an_item_can_be_sought_without_those_before_it() -> None:
    assert list(generate("e", "train", seed=3, num_items=5))[4] == item_at("e", "train", 4, seed=3)


def test_other_seeds_make_other_items() -> None:
    one, other = (list(generate("d", "train", seed=seed, num_items=50)) for seed in (0, 1))
    assert not {item.text for item in one} & {item.text for item in other}


def test_splits_share_no_whole_name_but_every_first_name() -> None:
    for kind, names in (("girl", GIRLS), ("boy", BOYS)):
        casts = [people(split, kind) for split in SPLITS]
        assert len(set().union(*casts)) == sum(map(len, casts)) == len(names) * len(FAMILIES)
        for cast in casts:
            assert {person.name for person in cast} == set(names)


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(VALUES)),
    subject=st.sampled_from((*GIRLS, *BOYS, "red box", "blue sack")),
)
def test_splits_share_no_combination_and_have_every_noun(kind: str, subject: str) -> None:
    modifiers, nouns = VALUES[kind]
    for index, noun in enumerate(nouns):
        forms = [partners(split, subject, kind)[index] for split in SPLITS]
        assert [len(some) for some in forms] == [6, 1, 1]
        assert sorted(sum(forms, ())) == sorted(f"{modifier} {noun}" for modifier in modifiers)


def test_every_item_tells_of_people_of_its_split_alone(
    items: dict[tuple[str, str], list[Item]],
) -> None:
    for (_, split), some in items.items():
        whole_names = {
            person.whole_name for kind in ("girl", "boy") for person in people(split, kind)
        }
        for item in some:
            found = set(WHOLE_NAME.findall(item.prompt))
            assert found, item.text
            assert found <= whole_names, item.text


def test_no_text_and_no_fact_of_another_split_occurs_in_training(
    items: dict[tuple[str, str], list[Item]],
) -> None:
    def scattered(split: str) -> set[tuple[str, str, str]]:
        return {
            fact
            for level in LEVELS
            for item in items[level, split]
            for fact in facts(item.text)
            if fact[0] in SCATTERED
        }

    seen_texts = {item.text for level in LEVELS for item in items[level, "train"]}
    seen_facts = scattered("train")
    assert len(seen_facts) > 2000
    for split in SPLITS[1:]:
        assert not seen_texts & {item.text for level in LEVELS for item in items[level, split]}
        assert len(scattered(split)) > 500
        assert not scattered(split) & seen_facts


def test_the_words_on_either_side_of_a_fact_are_known_from_training(
    items: dict[tuple[str, str], list[Item]],
) -> None:
    def whole_facts(split: str) -> list[tuple[str, str, str]]:
        return [f for i in items["d", split] for f in facts(i.text) if f[0] in SCATTERED]

    seen = whole_facts("train")
    subjects, values = {fact[1] for fact in seen}, {fact[2] for fact in seen}
    for _, subject, value in whole_facts("held_out"):
        assert subject in subjects
        assert value in values


def test_every_word_outside_training_is_a_word_of_training_but_for_unseen_phrases(
    items: dict[tuple[str, str], list[Item]],
) -> None:
    def words(split: str) -> set[str]:
        return {
            word
            for level in LEVELS
            for item in items[level, split]
            for word in re.findall(r"[a-z]+", item.text.lower())
        }

    assert words("held_out") <= words("train")
    assert len(words("out_of_distribution") - words("train")) < 40
    assert len(set.union(*map(words, SPLITS))) < 700


def test_out_of_distribution_is_longer_and_has_kinds_of_its_own(
    items: dict[tuple[str, str], list[Item]],
) -> None:
    def mean(values: list[int]) -> float:
        return sum(values) / len(values)

    for level in LEVELS:
        near, far = items[level, "held_out"], items[level, "out_of_distribution"]
        assert mean([len(i.prompt) for i in far]) > 1.25 * mean([len(i.prompt) for i in near])
        known, unseen = map(set, TEMPLATES[level])
        assert {item.template for item in near} == known
        assert {item.template for item in far} == known | unseen
        assert not {i.template for i in items[level, "train"]} & unseen
    assert {item.num_hops for item in items["e", "train"]} == {2, 3}
    assert {item.num_hops for item in items["e", "out_of_distribution"]} == {2, 3, 4}


def test_documents_give_every_level_equal_bytes_in_every_prefix() -> None:
    made = list(documents(300_000, 5))
    assert len({document.id for document in made}) == len(made)
    assert {document.source for document in made} == {"spectrum"}
    for prefix in (made[: len(made) // 3], made):
        num_bytes: Counter[str] = Counter()
        for document in prefix:
            num_bytes[document.level or ""] += len(document.text)
            num_bytes[document.split or ""] += len(document.text)
        total = sum(num_bytes[split] for split in SPLITS)
        for level in LEVELS:
            assert num_bytes[level] / total == pytest.approx(1 / 6, abs=0.01)
        assert num_bytes["held_out"] / total == pytest.approx(0.06, abs=0.01)
    assert 300_000 <= total < 301_000


def test_documents_take_shares() -> None:
    made = list(documents(20_000, 5, level_shares={"a": 3, "d": 1}, split_shares={"train": 1}))
    num_bytes = {level: sum(len(d.text) for d in made if d.level == level) for level in LEVELS}
    assert num_bytes["a"] / num_bytes["d"] == pytest.approx(3, rel=0.05)
    assert sum(num_bytes.values()) == num_bytes["a"] + num_bytes["d"]
    assert {document.split for document in made} == {"train"}


def test_tasks_are_as_many_of_every_level_in_both_other_splits() -> None:
    counts = Counter((item.level, item.split) for item in tasks(7, seed=2))
    assert counts == {(level, split): 7 for level in LEVELS for split in SPLITS[1:]}


def test_generating_by_bytes_stops_with_the_item_that_reaches_them() -> None:
    made = [len(item.text) for item in generate("c", "train", seed=0, num_bytes=1000)]
    assert sum(made[:-1]) < 1000 <= sum(made)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: item_at("g", "train", 0, seed=0),
            "level: unknown level; expected a, b, c, d, e, f; got 'g'",
        ),
        (
            lambda: item_at("a", "test", 0, seed=0),
            "split: unknown split; expected train, held_out, out_of_distribution; got 'test'",
        ),
        (
            lambda: item_at("a", "train", 0, seed=-1),
            "seed: bad seed; expected an integer from 0 on; got -1",
        ),
        (lambda: item_at("a", "train", -1, seed=0), "index: bad index; expected 0 to 2^48 - 1"),
        (
            lambda: next(generate("a", "train", seed=0)),
            "expected exactly one of num_items and num_bytes; got neither",
        ),
        (lambda: next(documents(9, 0, level_shares={"x": 1})), "unknown level_shares"),
        (lambda: next(documents(9, 0, level_shares={"a": -1})), "level_shares.a: bad share"),
        (
            lambda: next(documents(9, 0, split_shares={"train": 0})),
            "split_shares: nothing to generate",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        call()


def test_a_megabyte_takes_less_than_a_second_of_one_core() -> None:
    start = time.process_time()
    num_bytes = sum(len(document.text) for document in documents(500_000, 0))
    assert num_bytes / (time.process_time() - start) > 1e6
