"""Who and what there is in each split: the same words, in combinations of which none is shared.

A held-out item must be new to a network trained on the training split and yet be made of words it
knows, in no way that could be told from training: a whole name kept out of training would cost more
and more bits the better a network learns that it never occurs, and held-out loss would rise with
skill. So no word is kept out; combinations are, scattered by a hash:

- people are a first name and a family name; one whole name in 16 is held out, another one in 16 is out
  of distribution. Every item gives the whole names of people of its own split alone, so none of its
  text, and nothing it says of them, can ever occur in training.
- of all ways that a first name and a thing, a first name and a place, a thing and a container, a
  container and a place can be together, one in eight is held out and another out of distribution:
  what is so in a held-out story has never been so in training, whoever it is about.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import product
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

NUM_NAME_CLASSES = 16
NUM_FACT_CLASSES = 8


class Person(NamedTuple):
    """A whole name with the words that agree with it; `kind` is "girl" or "boy"."""

    name: str
    whole_name: str
    kind: str
    he: str
    him: str
    his: str
    belonging_to: str


def split_of(one: str, other: str, num_classes: int) -> str:
    """The split in which two words may be together, whichever comes first."""
    words = " and ".join(sorted((one, other)))
    drawn = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")
    return {0: "held_out", 1: "out_of_distribution"}.get(drawn % num_classes, "train")


def _person(name: str, family: str, kind: str) -> Person:
    pronouns = ("she", "her", "her", "hers") if kind == "girl" else ("he", "him", "his", "his")
    return Person(name, f"{name} {family}", kind, *pronouns)


@cache
def people(split: str, kind: str) -> tuple[Person, ...]:
    """The girls or the boys of a split; most first names are there with several family names."""
    return tuple(
        _person(name, family, kind)
        for name in (GIRLS if kind == "girl" else BOYS)
        for family in FAMILIES
        if split_of(name, family, NUM_NAME_CLASSES) == split
    )


# Everything that someone can have, or be in, or that can be in something: "red kite", "old mill".
VALUES = {
    "thing": tuple(" ".join(pair) for pair in product(COLOURS, THINGS)),
    "container": tuple(" ".join(pair) for pair in product(COLOURS, CONTAINERS)),
    "place": tuple(" ".join(pair) for pair in product(ADJECTIVES, PLACES)),
}


@cache
def partners(split: str, subject: str, kind: str) -> tuple[str, ...]:
    """The values of a kind that may be together with a first name, thing or container."""
    return tuple(
        value for value in VALUES[kind] if split_of(subject, value, NUM_FACT_CLASSES) == split
    )
