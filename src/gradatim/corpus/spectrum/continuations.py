"""Level b: which of several sentences follows?

All candidates of an item are built from the same kinds of words, each mentioned equally often in
the story; they differ in who did what. The wrong ones are drawn uniformly from all that were
possible, so that nothing about the set of candidates gives the right one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.words import DAYS, MOODS
from gradatim.corpus.spectrum.world import Draft, Template, World, listed

NUM_CHOICES = 4


def one_of(
    world: World, prompt: str, answer: str, candidates: Sequence[str], *, num_hops: int
) -> Draft:
    """The item with wrong candidates drawn uniformly from the possible ones."""
    wrong = [candidate for candidate in candidates if candidate != answer]
    choices = (answer, *world.sample(wrong, NUM_CHOICES - 1))
    return Draft(prompt, answer, choices, num_hops)


def matched(
    world: World, prompt: str, lead: str, people: Sequence[Person], values: Sequence[str]
) -> Draft:
    """Candidates say of everyone which value is theirs; `values` holds the right ones in order."""
    order = world.shuffled(range(len(people)))
    names = [people[index].name for index in order]
    right = tuple(values[index] for index in order)

    def sentence(parts: Sequence[str]) -> str:
        return f"{lead} " + listed(
            [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
        )

    candidates = [sentence(parts) for parts in permutations(sorted(values))]
    return one_of(world, prompt, sentence(right), candidates, num_hops=len(people))


def visit(world: World) -> Draft:
    """Someone goes to see another: from whose place to whose?"""
    people, places, facts = world.facts("is_in", world.size(3, 4))
    told = world.tell(facts)
    candidates = [
        f"So {people[0].he} goes from the {start} to the {end}"
        for start, end in permutations(places, 2)
    ]
    prompt = f"{world.introduce(people)} {told} {people[0].name} wants to see {people[1].name}."
    answer = f"So {people[0].he} goes from the {places[0]} to the {places[1]}"
    return one_of(world, prompt, answer, candidates, num_hops=2)


def put_down(world: World) -> Draft:
    """Each puts down what each had."""
    people, things, facts = world.facts("has", world.size(3, 4))
    told = world.tell(facts)
    place = world.anywhere()
    prompt = f"{world.introduce(people)} {told} They come to the {place} and are tired."
    nouns = [thing.split()[1] for thing in things]
    return matched(world, prompt, "There", people, [f"puts down the {noun}" for noun in nouns])


def give(world: World) -> Draft:
    """Everyone has one thing and wants another's; one thing changes hands."""
    size = world.size(3, 4)
    people = world.people(size)
    things = world.things(people)
    turn = 1 + world.below(size - 1)
    wanted = [things[(index + turn) % size] for index in range(size)]
    facts = world.say_each("has", people, things)
    wishes = [f"{p.name} wants the {t}." for p, t in zip(people, wanted, strict=True)]
    thing = things[0]
    receiver = people[wanted.index(thing)]
    candidates = [
        f"So {giver.name} gives the {thing} to {taker.name}"
        for giver, taker in permutations(people, 2)
    ]
    answer = f"So {people[0].name} gives the {thing} to {receiver.name}"
    prompt = f"{world.introduce(people)} {world.tell(facts)} {world.tell(wishes)}"
    return one_of(world, prompt, answer, candidates, num_hops=2)


def mood(world: World) -> Draft:
    """What happened to each, and how each felt."""
    size = world.size(3, 4)
    people, moods = world.people(size), world.sample(MOODS, size)
    told = world.tell(
        [f"{p.name} {what.format(his=p.his)}." for p, (what, _) in zip(people, moods, strict=True)]
    )
    prompt = f"{world.introduce(people)} {told} In the evening they met in the {world.anywhere()}."
    return matched(world, prompt, "Now", people, [f"was {feeling}" for _, feeling in moods])


def _way(world: World, times: Sequence[str]) -> Draft:
    """Where someone was at each of some times, told in any order; the way walked is their order."""
    person = world.person()
    places = world.places([person] * len(times))
    stays = zip(times, places, strict=True)
    story = world.tell([f"{time} {person.name} was in the {place}." for time, place in stays])

    def walked(way: Sequence[str]) -> str:
        first, *rest = [f"the {place}" for place in way]
        return f"So {person.he} went from {first} to {', then to '.join(rest)}"

    candidates = [walked(way) for way in permutations(places)]
    told = f"{world.introduce([person])} {story}"
    return one_of(world, told, walked(places), candidates, num_hops=len(times))


def journey(world: World) -> Draft:
    """The times of one day."""
    times = ("In the morning", "At noon", "In the evening", "At night")
    return _way(world, times[: world.size(3, 4)])


def week(world: World) -> Draft:
    """Days instead of hours."""
    start = world.below(4)
    return _way(world, [f"On {day}" for day in DAYS[start : start + 4]])


def exchange(world: World) -> Draft:
    """Two of them swap, and who has what now?"""
    people, things, facts = world.facts("has", 3)
    told = world.tell(facts)
    prompt = (
        f"{world.introduce(people)} {told} {people[0].name} and {people[1].name} swap their things."
    )
    now = (things[1], things[0], things[2])
    return matched(world, prompt, "Now", people, [f"has the {thing.split()[1]}" for thing in now])


TEMPLATES: dict[str, Template] = {
    "visit": visit,
    "put_down": put_down,
    "give": give,
    "mood": mood,
    "journey": journey,
}
UNSEEN: dict[str, Template] = {"exchange": exchange, "week": week}
