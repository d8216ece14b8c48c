"""Level a: two or three simple sentences whose last word is settled by grammar or plain sense.

The distractors are words of the same list: the other forms of a verb, the sounds of other animals,
the objects of other needs. Out of distribution, the scene is longer, with other people in it.
"""

from __future__ import annotations

from functools import partial

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.words import (
    ANIMALS,
    DAYS,
    FOODS,
    NEEDS,
    NUMBERS,
    OPPOSITES,
    SOUNDS,
    THINGS,
    VERBS,
)
from gradatim.corpus.spectrum.world import Draft, Template, World, capital, listed

SCENES = ("{0} was in the {1}.", "{0} came to the {1}.", "{0} went to the {1}.")
NUM_CHOICES = 4


def scene(world: World, person: Person) -> str:
    """Where the person is; out of distribution also where two others are, told first."""
    others = world.people(world.size(0, 2), known=[person])
    return " ".join(
        world.pick(SCENES).format(someone.whole_name, world.place(someone))
        for someone in (*others, person)
    )


def need(world: World) -> Draft:
    person = world.person()
    chosen = world.sample(NEEDS, NUM_CHOICES)
    want, act, _ = chosen[0]
    objects = [world.pick(things) for _, _, things in chosen]
    prompt = f"{scene(world, person)} {capital(person.he)} {want}, so {person.he} {act}"
    return Draft(prompt, objects[0], objects)


def opposite(world: World) -> Draft:
    person = world.person()
    (noun, one, other), (_, *distractors) = world.sample(OPPOSITES, 2)
    if world.random() < 0.5:
        one, other = other, one
    prompt = (
        f"{scene(world, person)} {capital(person.he)} saw that the {noun} was not {one}. It was"
    )
    return Draft(prompt, other, (one, other, *distractors))


def verb(world: World) -> Draft:
    person = world.person()
    base, third, past = forms = world.pick(VERBS)
    he, told = capital(person.he), scene(world, person)
    if world.random() < 0.5:
        return Draft(f"{told} {he} loves to {base}. Yesterday, too, {person.he}", past, forms)
    if world.random() < 0.5:
        return Draft(f"{told} {he} often {past} there. Tomorrow {person.he} will", base, forms)
    return Draft(f"{told} {he} often {past} there. Now, too, {person.he}", third, forms)


def number(world: World) -> Draft:
    person = world.person()
    animal = world.pick(ANIMALS)
    count = NUMBERS[2 + world.below(8)]
    he, told = capital(person.he), scene(world, person)
    forms = (animal, f"{animal}s")
    if world.random() < 0.5:
        return Draft(f"{told} {he} saw one {animal}. Then {person.he} saw {count}", forms[1], forms)
    return Draft(f"{told} {he} saw {count} {animal}s. Then {person.he} saw only one", animal, forms)


def counting(world: World) -> Draft:
    person = world.person()
    length = world.size(3, 6)
    start = 1 + world.below(5)
    said = ", ".join(NUMBERS[start : start + length])
    answer = NUMBERS[start + length]
    others = [word for word in NUMBERS[1:14] if word != answer]
    prompt = (
        f"{scene(world, person)} {capital(person.he)} counted the {world.pick(FOODS)}s: {said},"
    )
    return Draft(prompt, answer, (answer, *world.sample(others, NUM_CHOICES - 1)))


def owner(world: World) -> Draft:
    people = world.people(1 + world.below(2))
    (thing,) = world.things(people[:1])
    verb = "has" if len(people) == 1 else "have"
    told = f"{scene(world, people[0])} {listed([person.name for person in people])} {verb}"
    answer = people[0].belonging_to if len(people) == 1 else "theirs"
    return Draft(f"{told} the {thing}. The {thing} is", answer, ("his", "hers", "theirs"))


def sound(world: World) -> Draft:
    person = world.person()
    chosen = world.sample(SOUNDS, NUM_CHOICES)
    animal, answer = chosen[0]
    prompt = f"{scene(world, person)} {capital(person.he)} met the {animal}, and the {animal}"
    return Draft(prompt, answer, [heard for _, heard in chosen])


def days_apart(world: World, *, step: int, words: str) -> Draft:
    """Two visits some days apart."""
    first, second = world.people(2)
    day = world.below(7)
    answer = DAYS[(day + step) % 7]
    others = [other for other in DAYS if other != answer]
    told = f"{scene(world, first)} It was {DAYS[day]}. {second.name} came {words}, on"
    return Draft(told, answer, (answer, *world.sample(others, NUM_CHOICES - 1)))


def alive(world: World) -> Draft:
    """Which of the things seen is an animal?"""
    person = world.person()
    animal = world.pick(ANIMALS)
    seen = world.shuffled([animal, *world.sample(THINGS, NUM_CHOICES - 1)])
    he, told = capital(person.he), scene(world, person)
    all_seen = listed([f"the {noun}" for noun in seen])
    return Draft(f"{told} {he} saw {all_seen}. {he} gave food to the", animal, seen)


TEMPLATES: dict[str, Template] = {
    "need": need,
    "opposite": opposite,
    "verb": verb,
    "number": number,
    "counting": counting,
    "owner": owner,
    "sound": sound,
    "next_day": partial(days_apart, step=1, words="one day later"),
}
UNSEEN: dict[str, Template] = {
    "day_before": partial(days_apart, step=-1, words="one day before"),
    "alive": alive,
}
