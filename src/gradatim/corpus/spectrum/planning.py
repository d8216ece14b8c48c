"""Level f: moving things about, and planning with constraints.

Things, boxes and days are the answers, people do the acts; every possible answer is mentioned
equally often.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.words import DAYS
from gradatim.corpus.spectrum.world import Draft, Template, World, listed

TURNS = ("zero", "once", "twice", "three times")
MAX_WRONG_TRIES = 2


def swap(world: World) -> Draft:
    """Some people swap what they have, several times.

    Three swaps among three people leave exactly one of them with what they had, so that "nothing
    has changed" is right as often as any other guess.
    """
    size, num_swaps = world.size(3, 4), world.size(3, 4 + world.below(2))
    people, things, facts = world.facts("has", size)
    nouns = [thing.split()[1] for thing in things]
    told = world.tell(facts)
    held, acts, steps = nouns.copy(), [], []
    one = other = 0
    for _ in range(num_swaps):
        undone = {one, other}
        while {one, other} == undone:
            one, other = world.sample(range(size), 2)
        held[one], held[other] = held[other], held[one]
        names = people[one].name, people[other].name
        acts.append(f"{names[0]} and {names[1]} swap.")
        steps.append(f"Now {names[0]} has the {held[one]} and {names[1]} has the {held[other]}.")
    asked = world.below(size)
    steps.append(f"So {people[asked].name} has the {held[asked]}.")
    question = f"What does {people[asked].name} have now?"
    prompt = f"{world.introduce(people)} {told} {' '.join(acts)} {question}"
    return Draft(prompt, held[asked], nouns, num_swaps, " ".join(steps))


def move(world: World) -> Draft:
    """Things are put from one container into another.

    Every container holds one thing at first and is moved into once. The answer is equally often any
    of the containers in the order they are moved into, and where the thing was at first as often as
    a blind guess is right.
    """
    size = world.size(3, 4)
    people, containers = world.people(size), world.containers(size)
    things = world.partners(containers, "thing")
    nouns = [thing.split()[1] for thing in things]
    rank, is_back = world.below(size), world.below(size) == 0
    found: list[int] = []
    while not found:
        where, moves = list(containers), []
        for into in world.shuffled(containers):
            item = world.pick([index for index in range(size) if where[index] != into])
            where[item] = into
            moves.append((item, into))
        target = moves[rank][1]
        found = [
            index
            for index in range(size)
            if where[index] == target and (containers[index] == target) == is_back
        ]
    asked = world.pick(found)
    told = world.tell([world.say("inside", t, c) for t, c in zip(things, containers, strict=True)])
    acts = [
        f"{person.name} puts the {nouns[item]} into the {into}."
        for person, (item, into) in zip(people, moves, strict=True)
    ]
    steps = [f"At first the {nouns[asked]} is in the {containers[asked]}."]
    steps += [f"Then it is in the {into}." for item, into in moves if item == asked]
    prompt = f"{world.introduce(people)} {told} {' '.join(acts)} Where is the {nouns[asked]} now?"
    return Draft(prompt, target, containers, len(moves), " ".join(steps))


def _schedule(people: Sequence[Person], days: Sequence[str]) -> str:
    return listed([f"{person.name} on {day}" for person, day in zip(people, days, strict=True)])


def visits(world: World) -> Draft:
    """Everyone comes on a day of their own; each has one day ruled out; some come before others.

    Comparisons are added until one plan is left.
    """
    size = world.size(3, 4)
    people = world.people(size)
    start = world.below(8 - size)
    days = DAYS[start : start + size]
    barred = world.shuffled(range(size))
    plans = [
        plan
        for plan in permutations(range(size))
        if all(day != bar for day, bar in zip(plan, barred, strict=True))
    ]
    right = world.pick(plans)
    facts = [f"{p.name} cannot come on {days[bar]}." for p, bar in zip(people, barred, strict=True)]
    left, wrong = plans, []
    while len(left) > 1:
        one, other = world.sample(range(size), 2)
        if right[one] > right[other]:
            one, other = other, one
        failing = [plan for plan in left if plan[one] > plan[other]]
        if failing:
            facts.append(f"{people[one].name} must come before {people[other].name}.")
            left = [plan for plan in left if plan not in failing]
            wrong += [(plan, people[one], people[other]) for plan in failing]
    steps = [
        f"Try {_schedule(people, [days[day] for day in plan])}: but {one.name} must come before"
        f" {other.name}."
        for plan, one, other in world.sample(wrong, min(len(wrong), MAX_WRONG_TRIES))
    ]
    steps.append(f"Try {_schedule(people, [days[day] for day in right])}: that is right.")
    asked = world.below(size)
    names = listed([person.whole_name for person in people])
    prompt = (
        f"{names} come on {listed(days)}, one on each day. {world.tell(facts)}"
        f" On which day does {people[asked].name} come?"
    )
    return Draft(prompt, days[right[asked]], days, len(facts), " ".join(steps))


def ring(world: World) -> Draft:
    """Everyone in a ring passes on what they have."""
    size, num_turns = 4, 2 + world.below(2)
    people, things, facts = world.facts("has", size)
    nouns = [thing.split()[1] for thing in things]
    told = world.tell(facts)
    names = [person.name for person in people]
    steps = []
    for turn in range(1, num_turns + 1):
        held = [f"{name} has the {nouns[index - turn]}" for index, name in enumerate(names)]
        steps.append(f"Now {listed(held)}.")
    asked = world.below(size)
    prompt = (
        f"{world.introduce(people)} {told} {listed(names)} sit in a ring, one after the other."
        f" All of them give their thing to the next one, {TURNS[num_turns]}."
        f" What does {names[asked]} have now?"
    )
    return Draft(prompt, nouns[asked - num_turns], nouns, num_turns, " ".join(steps))


TEMPLATES: dict[str, Template] = {"swap": swap, "move": move, "visits": visits}
UNSEEN: dict[str, Template] = {"ring": ring}
