"""Level f: counting and comparing, in words, in several steps.

A story is written towards its choices: four numbers are drawn first, then the answer uniformly
among them, then steps that lead there and mention none of the four. So neither the size of a number
nor whether it occurs in the story says anything about the answer.
"""

from __future__ import annotations

from itertools import pairwise

from gradatim.corpus.spectrum.words import FOODS, NUMBERS
from gradatim.corpus.spectrum.world import Draft, Template, World, capital

NUM_CHOICES = 4
LARGEST = 12
LARGEST_STEP = 6
GAINS = ("{He} buys {more}.", "{He} finds {more}.", "{friend} gives {him} {more}.")
LOSSES = ("{He} eats {some}.", "{He} loses {some}.", "{He} gives {some} to {friend}.")


def path(world: World, num_steps: int) -> tuple[list[int], list[int]]:
    """Running totals that end at the answer, and four possible answers with the right one first."""
    while True:
        choices = world.sample(range(2, LARGEST + 1), NUM_CHOICES)
        mentioned = [number for number in range(1, LARGEST + 1) if number not in choices]
        for _ in range(20):
            totals = [world.pick(mentioned)]
            while len(totals) < num_steps:
                step = world.below(2 * LARGEST_STEP + 1) - LARGEST_STEP
                if abs(step) in mentioned and 1 <= totals[-1] + step <= LARGEST:
                    totals.append(totals[-1] + step)
            last = abs(choices[0] - totals[-1])
            if last in mentioned and last <= LARGEST_STEP:
                return [*totals, choices[0]], choices


def worked(totals: list[int]) -> str:
    """ "Three and two make five. Five less four is one." """
    return " ".join(
        f"{capital(NUMBERS[old])} and {NUMBERS[new - old]} make {NUMBERS[new]}."
        if new > old
        else f"{capital(NUMBERS[old])} less {NUMBERS[old - new]} is {NUMBERS[new]}."
        for old, new in pairwise(totals)
    )


def amount(number: int, noun: str) -> str:
    return f"{NUMBERS[number]} {noun}" if number == 1 else f"{NUMBERS[number]} {noun}s"


def solved(prompt: str, totals: list[int], choices: list[int]) -> Draft:
    words = [NUMBERS[number] for number in choices]
    return Draft(prompt, words[0], words, len(totals) - 1, worked(totals))


def count(world: World) -> Draft:
    """One person gains and loses things."""
    person, friend = world.people(2)
    food = world.pick(FOODS)
    totals, choices = path(world, world.size(2 + world.below(2), 4 + world.below(2)))
    told = [f"{person.whole_name} has {amount(totals[0], food)}."]
    for old, new in pairwise(totals):
        told.append(
            world.pick(GAINS if new > old else LOSSES).format(
                He=capital(person.he),
                him=person.him,
                friend=friend.name,
                more=f"{NUMBERS[abs(new - old)]} more",
                some=amount(abs(new - old), food),
            )
        )
    prompt = f"{' '.join(told)} How many {food}s does {person.name} have now?"
    return solved(prompt, totals, choices)


def compare(world: World) -> Draft:
    """Each has some more or fewer than another; the comparisons in any order."""
    totals, choices = path(world, world.size(2 + world.below(2), 4))
    people = world.people(len(totals))
    food = world.pick(FOODS)
    facts = [f"{people[0].name} has {amount(totals[0], food)}."]
    for (old, new), (one, other) in zip(pairwise(totals), pairwise(people), strict=True):
        more = "more" if new > old else "fewer"
        facts.append(f"{other.name} has {NUMBERS[abs(new - old)]} {more} than {one.name}.")
    question = f"How many {food}s does {people[-1].name} have?"
    prompt = f"{world.introduce(people)} {world.tell(facts)} {question}"
    return solved(prompt, totals, choices)


def birds(world: World) -> Draft:
    """Birds come and fly away."""
    person = world.person()
    totals, choices = path(world, 3 + world.below(2))
    told = [f"{person.whole_name} saw {amount(totals[0], 'bird')} in the {world.place(person)}."]
    for old, new in pairwise(totals):
        if new > old:
            told.append(f"Then {NUMBERS[new - old]} more came.")
        else:
            told.append(f"Then {NUMBERS[old - new]} flew away.")
    return solved(f"{' '.join(told)} How many birds did {person.name} see then?", totals, choices)


TEMPLATES: dict[str, Template] = {"count": count, "compare": compare}
UNSEEN: dict[str, Template] = {"birds": birds}
