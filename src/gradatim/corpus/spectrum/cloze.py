"""Level c: a word is missing; the other sentences settle which.

The blank stands in a sentence of its own kind, before or after the sentence that settles it; every
candidate is mentioned equally often.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.world import Draft, Template, World

BLANK = "___"


def blanked(
    world: World, people: Sequence[Person], facts: Sequence[str], gap: str, choices: Sequence[str]
) -> Draft:
    """The facts in any order, the gap's sentence before or after; the first choice is right."""
    told = world.tell(facts)
    text = f"{gap} {told}" if world.random() < 0.5 else f"{told} {gap}"
    prompt = f"{world.introduce(people)} {text} The missing word is"
    return Draft(prompt, choices[0], choices)


def thing(world: World) -> Draft:
    """What someone has."""
    people, things, facts = world.facts("has", world.size(3, 5))
    nouns = [thing.split()[1] for thing in things]
    gap = world.pick(("{0} likes {1} {2}.", "{0} looks at {1} {2}.", "{0} will not lose {1} {2}."))
    return blanked(world, people, facts, gap.format(people[0].name, people[0].his, BLANK), nouns)


def place(world: World) -> Draft:
    """Where someone is."""
    people, places, facts = world.facts("is_in", world.size(3, 5))
    nouns = [place.split()[1] for place in places]
    gap = world.pick(
        ("{0} likes the {1}.", "{0} looks around in the {1}.", "{0} sings in the {1}.")
    )
    return blanked(world, people, facts, gap.format(people[0].name, BLANK), nouns)


def food(world: World) -> Draft:
    """What someone likes to eat."""
    people, foods, facts = world.facts("likes", world.size(3, 5))
    gap = world.pick(("{0} asks for {1}.", "{0} buys {1}.", "{0} picks up some {1}."))
    return blanked(world, people, facts, gap.format(people[0].name, BLANK), foods)


def name(world: World) -> Draft:
    """Who has something."""
    people, things, facts = world.facts("has", world.size(3, 5))
    names = [person.name for person in people]
    gap = world.pick(("The {0} is dear to {1}.", "{1} looks at the {0}.", "{1} likes the {0}."))
    return blanked(world, people, facts, gap.format(things[0], BLANK), names)


def gift(world: World) -> Draft:
    """What one gave to another, who had a thing before."""
    people, things, facts = world.facts("has", 4)
    nouns = [thing.split()[1] for thing in things]
    giver, taker, *_ = people
    gap = (
        f"Then {giver.name} gives {giver.his} thing to {taker.name}."
        f" {taker.name} thanks {giver.him} for the {BLANK}."
    )
    prompt = f"{world.introduce(people)} {world.tell(facts)} {gap} The missing word is"
    return Draft(prompt, nouns[0], nouns, num_hops=2)


def colour(world: World) -> Draft:
    """Of which colour someone's thing is."""
    people = world.people(4)
    things = world.things(people)
    while len({thing.split()[0] for thing in things}) < len(things):
        things = world.things(people)
    colours = [thing.split()[0] for thing in things]
    facts = world.say_each("has", people, things)
    gap = f"The thing that {people[0].name} has is {BLANK}."
    return blanked(world, people, facts, gap, colours)


TEMPLATES: dict[str, Template] = {"thing": thing, "place": place, "food": food, "name": name}
UNSEEN: dict[str, Template] = {"gift": gift, "colour": colour}
