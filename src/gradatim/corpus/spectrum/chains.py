"""Level e: questions whose answer lies two to four facts away.

A story tells several chains of one shape side by side, its sentences in random order; the question
names the start of one chain and asks for its end. Every candidate is the end of a chain and is
mentioned equally often. Training and held out have three chains of two or three hops; out of
distribution has four chains, and shapes of three and four hops that training never shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from gradatim.corpus.spectrum.cast import Person
from gradatim.corpus.spectrum.world import Draft, Template, World

NUM_CHAINS = 3
NUM_CHAINS_FAR = 4

# The last link of a chain: what is asked of the subject.
QUESTIONS = {
    "is_in": "Where is {0}? In the",
    "stands": "Where is {0}? In the",
    "has": "What does {0} have? It is the",
    "came_on": "When did {0} come? It was on",
}


def chain(world: World, *, links: tuple[str, ...]) -> Draft:
    """A story of parallel chains with these links.

    Args:
        links: "inside" (thing to container), then "owner" (thing to person), then "kin" (person to
            person), then how the chain ends: "is_in", "stands", "has" or "came_on". A chain that
            begins with "kin" starts at a person, any other at a thing.
    """
    size = world.size(NUM_CHAINS, NUM_CHAINS_FAR)
    people = world.people(1 if links[-1] == "stands" else size)
    facts, heads, subject = _things(world, people, links)
    told = world.introduce(people)
    kind, known = world.kind(), list(people)
    for _ in range(links.count("kin")):
        kin = world.kin(kind)
        relatives = world.people(size, kind=kind, known=known)
        facts += [
            world.say("kin", person.name, relative.name, kin, person.his)
            for person, relative in zip(people, relatives, strict=True)
        ]
        known += relatives
        subject = f"the {kin} of {subject}"
        people = relatives
        kind = "boy" if kind == "girl" else "girl"  # or so many relatives could use up the names
    end = links[-1]
    if end == "stands":
        ends = world.partners(heads, "place")
    else:
        heads = [person.name for person in people]
        ends = world.values(end, people)
    facts += [world.say(end, *pair) for pair in zip(heads, ends, strict=True)]
    prompt = f"{told} {world.tell(facts)} {QUESTIONS[end].format(subject)}"
    return Draft(prompt, ends[0], ends, num_hops=len(links))


def _things(
    world: World, people: Sequence[Person], links: tuple[str, ...]
) -> tuple[list[str], list[str], str]:
    """What the chains have before their people: facts, the containers if any, the first subject."""
    size = world.size(NUM_CHAINS, NUM_CHAINS_FAR)
    if links[0] == "kin":
        return [], [], people[0].name
    names = [person.name for person in people]
    if links[0] == "owner":
        held = things = world.things(people)
        facts = []
    else:
        is_owned = "owner" in links
        held = world.partners(names, "container") if is_owned else world.containers(size)
        things = world.partners(held, "thing")
        facts = [world.say("inside", *pair) for pair in zip(things, held, strict=True)]
    subject = f"the {things[0]}"
    if "owner" in links:
        facts += [world.say("has", *pair) for pair in zip(names, held, strict=True)]
        if links[-2:] != ("owner", "is_in"):
            subject = f"the one who has {subject}"
    return facts, held, subject


def order(world: World) -> Draft:
    """Who came first, in the middle, last?

    The first and the last are in one comparison each, the others in two: a thing told of each of
    them makes up for it.
    """
    size = world.size(3, 4)
    people = world.people(size)
    ends = [people[0], people[-1]]
    facts = [world.say("before", one.name, other.name) for one, other in pairwise(people)]
    facts += world.say_each("has", ends, world.things(ends))
    asked = world.below(size)
    place = "last" if asked == size - 1 else ("first", "second", "third")[asked]
    names = [person.name for person in people]
    prompt = f"{world.introduce(people)} {world.tell(facts)} Who came {place}? That was"
    return Draft(prompt, names[asked], names, num_hops=size - 1)


TEMPLATES: dict[str, Template] = {
    "owner_place": partial(chain, links=("owner", "is_in")),
    "owner_day": partial(chain, links=("owner", "came_on")),
    "inside_place": partial(chain, links=("inside", "stands")),
    "kin_place": partial(chain, links=("kin", "is_in")),
    "kin_thing": partial(chain, links=("kin", "has")),
    "kin_day": partial(chain, links=("kin", "came_on")),
    "order": order,
    "inside_owner_place": partial(chain, links=("inside", "owner", "is_in")),
    "owner_kin_place": partial(chain, links=("owner", "kin", "is_in")),
    "kin_kin_thing": partial(chain, links=("kin", "kin", "has")),
}
UNSEEN: dict[str, Template] = {
    "kin_kin_place": partial(chain, links=("kin", "kin", "is_in")),
    "owner_kin_day": partial(chain, links=("owner", "kin", "came_on")),
    "inside_owner_kin_place": partial(chain, links=("inside", "owner", "kin", "is_in")),
    "owner_kin_kin_place": partial(chain, links=("owner", "kin", "kin", "is_in")),
    "owner_kin_kin_day": partial(chain, links=("owner", "kin", "kin", "came_on")),
}
