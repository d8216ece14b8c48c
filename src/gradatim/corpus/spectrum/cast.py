"""Who and what there is in each split: the same words, in combinations of which none is shared.

A held-out item must be new to a network trained on the training split, and yet in no way that could
be told from training. A name kept out of training altogether would cost more bits the better a
network learns that it never occurs, so held-out loss would rise with skill. Hence no word is kept
out; combinations are, scattered by a hash:

- A person is a first name and a family name. Every first name goes with two family names in the
  held-out split, two others out of distribution, the remaining twenty in training. Every item
  gives the whole names of its people, all of its own split.
- A person and what they have or where they are, a container and what is in it or where it stands:
  of the eight colours (or kinds of place) that a noun may have, one is held out for this person or
  container and one is out of distribution. Where Tom is in the old mill in a held-out story, no
  Tom whatever was ever in the old mill in training.

So no held-out text, and nothing it says of someone, can ever occur in training.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

from gradatim.corpus.spectrum.words import (
    ADJECTIVES,
    BOYS,
    COLOURS,
    CONTAINERS,
    FAMILIES,
    GIRLS,
    PLACES,
    THINGS,
)

NUM_FAMILIES_HELD_BACK = 2  # for each first name, in each split but training
VALUES = {
    "thing": (COLOURS, THINGS),
    "container": (COLOURS, CONTAINERS),
    "place": (ADJECTIVES, PLACES),
}


class Person(NamedTuple):
    """A whole name with the words that agree with it; `kind` is "girl" or "boy"."""

    name: str
    whole_name: str
    kind: str
    he: str
    him: str
    his: str
    belonging_to: str


def _scattered(*words: str) -> int:
    """A number that is the same everywhere and follows no rule a network could learn."""
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _families(name: str, split: str) -> list[str]:
    """The family names that a first name has in a split."""
    ranked = sorted(FAMILIES, key=lambda family: _scattered(name, family))
    first, second = NUM_FAMILIES_HELD_BACK, 2 * NUM_FAMILIES_HELD_BACK
    return {
        "held_out": ranked[:first],
        "out_of_distribution": ranked[first:second],
        "train": ranked[second:],
    }[split]


@cache
def people(split: str, kind: str) -> tuple[Person, ...]:
    """The girls or the boys of a split."""
    pronouns = ("she", "her", "her", "hers") if kind == "girl" else ("he", "him", "his", "his")
    return tuple(
        Person(name, f"{name} {family}", kind, *pronouns)
        for name in (GIRLS if kind == "girl" else BOYS)
        for family in _families(name, split)
    )


@cache
def partners(split: str, subject: str, kind: str) -> tuple[tuple[str, ...], ...]:
    """What a person or container may be with in a split: for each noun its modified forms.

    Args:
        split: "train", "held_out" or "out_of_distribution".
        subject: a first name, or a container with its colour.
        kind: "thing" ("red kite"), "container" ("blue box") or "place" ("old mill").
    """
    modifiers, nouns = VALUES[kind]
    groups = []
    for noun in nouns:
        start = _scattered(subject, noun) % len(modifiers)
        turned = [f"{modifier} {noun}" for modifier in modifiers[start:] + modifiers[:start]]
        shares = {"held_out": turned[:1], "out_of_distribution": turned[1:2], "train": turned[2:]}
        groups.append(tuple(shares[split]))
    return tuple(groups)
