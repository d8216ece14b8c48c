"""Level d: a question on one stated fact, among facts of the same kind about other people.

Every candidate is mentioned equally often, in sentences in random order. Out of distribution there
are more people, facts of a second kind about the same people, and unseen questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.words import OPENINGS
from gradatim.corpus.spectrum.world import Draft, Template, World

NUM_FACTS = 4
NUM_FACTS_FAR = 6


class Asking(NamedTuple):
    """How to ask for a relation's value or its subject; the answer completes the last words."""

    of_value: str
    of_subject: str


ASKING = {
    "is_in": Asking("Where is {name}? {name} is in the", "Who is in the {value}? That is"),
    "has": Asking("What does {name} have? {name} has the", "Who has the {value}? That is"),
    "came_on": Asking("When did {name} come? {name} came on", "Who came on {value}? That was"),
    "aged": Asking("How old is {name}? {name} is", "Who is {value} years old? That is"),
    "likes": Asking("What does {name} like? {name} likes", "Who likes {value}? That is"),
    "feeds": Asking("What does {name} feed? {name} feeds the", "Who feeds the {value}? That is"),
    "works": Asking("What is {name}? {name} is the", "Who is the {value}? That is"),
}


def told(world: World, people: Sequence[Person], relation: str, facts: Sequence[str]) -> str:
    """The whole names and the facts; out of distribution also facts of another kind."""
    if not world.is_far:
        opening = world.pick(OPENINGS) + " " if world.random() < 0.3 else ""
        return f"{opening}{world.introduce(people)} {world.tell(facts)}"
    other = world.pick([name for name in ASKING if name != relation])
    asides = world.say_each(other, people, world.values(other, people))
    return f"{world.introduce(people)} {world.tell([*facts, *asides])}"


def ask(world: World, *, relation: str, of_value: bool) -> Draft:
    """A story of one relation and the question for a value or for a subject."""
    people, known, facts = world.facts(relation, world.size(NUM_FACTS, NUM_FACTS_FAR))
    story, asking, asked = told(world, people, relation, facts), ASKING[relation], people[0]
    if of_value:
        question = asking.of_value.format(name=asked.name)
        return Draft(f"{story} {question}", known[0], known)
    question = asking.of_subject.format(value=known[0])
    return Draft(f"{story} {question}", asked.name, [person.name for person in people])


TEMPLATES: dict[str, Template] = {
    "where": partial(ask, relation="is_in", of_value=True),
    "who_is_there": partial(ask, relation="is_in", of_value=False),
    "what": partial(ask, relation="has", of_value=True),
    "who_has": partial(ask, relation="has", of_value=False),
    "when": partial(ask, relation="came_on", of_value=True),
    "age": partial(ask, relation="aged", of_value=True),
    "taste": partial(ask, relation="likes", of_value=True),
    "who_likes": partial(ask, relation="likes", of_value=False),
}
UNSEEN: dict[str, Template] = {
    "who_came": partial(ask, relation="came_on", of_value=False),
    "animal": partial(ask, relation="feeds", of_value=True),
    "job": partial(ask, relation="works", of_value=True),
}
