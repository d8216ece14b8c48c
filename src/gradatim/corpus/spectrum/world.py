"""One item's world: where its random draws, its cast and its turns of phrase come from.

All randomness is `random.Random(integer).random()`, which Python documents to give the same numbers
in every version, turned into indices here; nothing depends on hashes or on the order of sets.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from gradatim.corpus.spectrum.cast import VALUES, Person, partners, people
from gradatim.corpus.spectrum.words import ADJECTIVES, COLOURS, CONTAINERS, KIN, PLACES, VALUE_WORDS

T = TypeVar("T")

# How a fact is told: as in training, then as only the out-of-distribution split tells it.
PHRASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "has": (
        ("{0} has the {1}.", "{0} holds the {1}.", "{0} carries the {1}."),
        ("The {1} is in the hands of {0}.",),
    ),
    "is_in": (
        ("{0} is in the {1}.", "{0} sits in the {1}.", "{0} waits in the {1}."),
        ("In the {1} you can see {0}.",),
    ),
    "kin": (
        ("{1} is the {2} of {0}.", "{0}'s {2} is {1}.", "The {2} of {0} is {1}."),
        ("{0} can call {1} {3} {2}.",),
    ),
    "inside": (
        ("The {0} is in the {1}.", "The {0} lies in the {1}."),
        ("Inside the {1} lies the {0}.",),
    ),
    "stands": (
        ("The {0} is in the {1}.", "The {0} stands in the {1}."),
        ("In the {1} stands the {0}.",),
    ),
    "came_on": (
        ("{0} came on {1}.", "It was {1} when {0} came."),
        ("It was on {1} that {0} came.",),
    ),
    "before": (
        ("{0} came before {1}.", "{1} came after {0}."),
        ("{0} was there when {1} came.",),
    ),
    "likes": (("{0} likes {1}.", "{0} is fond of {1}."), ("It is {1} that {0} likes.",)),
    "aged": (("{0} is {1} years old.", "{0} is now {1} years old."), ("The age of {0} is {1}.",)),
    "feeds": (
        ("{0} feeds the {1}.", "{0} gives food to the {1}."),
        ("The {1} gets its food from {0}.",),
    ),
    "works": (("{0} is the {1}.",), ("The {1} is {0}.",)),
}

# How people are given their whole names: several, or one alone; likewise near and far.
INTRODUCTIONS = {
    True: (("{0} are friends.", "Here are {0}.", "We know {0}."), ("Once there were {0}.",)),
    False: (("Here is {0}.", "We know {0}."), ("Once there was {0}.",)),
}


class Draft(NamedTuple):
    """What a template writes; the answer is among the choices, in no particular order."""

    prompt: str
    answer: str
    choices: Sequence[str]
    num_hops: int = 1
    steps: str = ""


Template: TypeAlias = "Callable[[World], Draft]"


class World:
    """Draws for one item.

    Args:
        key: any non-negative integer; the same key gives the same draws everywhere.
        split: whose people and combinations the item is made of; out of distribution also means
            larger sizes, and phrases unseen in training.
    """

    def __init__(self, key: int, split: str) -> None:
        self.random = random.Random(key).random
        self.split = split
        self.is_far = split == "out_of_distribution"

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.random() * bound)

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def sample(self, items: Sequence[T], num_items: int) -> list[T]:
        """Distinct items in random order; quick when few of many are wanted."""
        if 2 * num_items > len(items):
            return self.shuffled(items)[:num_items]
        chosen: list[T] = []
        while len(chosen) < num_items:
            item = items[int(self.random() * len(items))]
            if item not in chosen:
                chosen.append(item)
        return chosen

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Fisher and Yates, from the last place down."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = int(self.random() * (last + 1))
            result[last], result[other] = result[other], result[last]
        return result

    def size(self, near: int, far: int) -> int:
        """`near` in training and held out, `far` out of distribution."""
        return far if self.is_far else near

    def kind(self) -> str:
        return "girl" if self.random() < 0.5 else "boy"

    def person(self) -> Person:
        return self.pick(people(self.split, self.kind()))

    def people(
        self, num_people: int, *, kind: str | None = None, known: Sequence[Person] = ()
    ) -> list[Person]:
        """People whose first names differ from each other's and from those of the known."""
        names = {person.name for person in known}
        drawn: list[Person] = []
        while len(drawn) < num_people:
            person = self.pick(people(self.split, kind or self.kind()))
            if person.name not in names:
                names.add(person.name)
                drawn.append(person)
        return drawn

    def partners(self, subjects: Sequence[str], kind: str) -> list[str]:
        """For each subject a "thing", "container" or "place" to be with, all of distinct nouns."""
        nouns = self.sample(range(len(VALUES[kind][1])), len(subjects))
        return [
            self.pick(partners(self.split, subject, kind)[noun])
            for subject, noun in zip(subjects, nouns, strict=True)
        ]

    def things(self, owners: Sequence[Person]) -> list[str]:
        return self.partners([person.name for person in owners], "thing")

    def places(self, visitors: Sequence[Person]) -> list[str]:
        return self.partners([person.name for person in visitors], "place")

    def values(self, relation: str, people: Sequence[Person]) -> list[str]:
        """Distinct values of a relation, one for each."""
        if relation == "is_in":
            return self.places(people)
        if relation == "has":
            return self.things(people)
        return self.sample(VALUE_WORDS[relation], len(people))

    def place(self, visitor: Person) -> str:
        return self.pick(self.pick(partners(self.split, visitor.name, "place")))

    def anywhere(self) -> str:
        return f"{self.pick(ADJECTIVES)} {self.pick(PLACES)}"

    def containers(self, num_containers: int) -> list[str]:
        """Containers of distinct nouns."""
        return [f"{self.pick(COLOURS)} {noun}" for noun in self.sample(CONTAINERS, num_containers)]

    def introduce(self, people: Sequence[Person]) -> str:
        """The sentence that gives the whole names, in random order."""
        near, far = INTRODUCTIONS[len(people) > 1]
        phrase = self.pick(far if self.is_far and self.random() < 0.5 else near)
        return phrase.format(listed([person.whole_name for person in self.shuffled(people)]))

    def say(self, relation: str, *words: str) -> str:
        """One sentence telling a fact, of the words that its phrases name by number."""
        near, far = PHRASES[relation]
        phrases = far if self.is_far and self.random() < 0.5 else near
        return self.pick(phrases).format(*words)

    def say_each(self, relation: str, people: Sequence[Person], values: Sequence[str]) -> list[str]:
        return [self.say(relation, p.name, value) for p, value in zip(people, values, strict=True)]

    def facts(self, relation: str, num_people: int) -> tuple[list[Person], list[str], list[str]]:
        """People, a value of a relation for each of them, and the sentences that say so."""
        people = self.people(num_people)
        values = self.values(relation, people)
        return people, values, self.say_each(relation, people, values)

    def tell(self, facts: Sequence[str]) -> str:
        """The sentences in random order, so that no place in the text hints at the answer."""
        return " ".join(self.shuffled(facts))

    def kin(self, kind: str) -> str:
        return self.pick(KIN[kind])


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    """The text with its first letter a capital, the others untouched."""
    return text[0].upper() + text[1:]
