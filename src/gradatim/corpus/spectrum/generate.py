"""Items, documents and evaluation tasks of the graded world.

An item is a pure function of (seed, level, split, index): it can be made again, or sought, without
the ones before it, and is the same text on every machine and Python version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

from gradatim.corpus.documents import Document
from gradatim.corpus.spectrum import (
    arithmetic,
    chains,
    cloze,
    continuations,
    planning,
    questions,
    sentences,
)
from gradatim.corpus.spectrum.world import Template, World
from gradatim.errors import SpecError

LEVELS = ("a", "b", "c", "d", "e", "f")
SPLITS = ("train", "held_out", "out_of_distribution")
SPLIT_SHARES: Mapping[str, float] = {"train": 0.9, "held_out": 0.06, "out_of_distribution": 0.04}
SOURCE = "spectrum"

STEPS_CUE = "Steps:"
ANSWER_CUE = "Answer:"
INDEX_BITS = 48

# What the items of a level are made from, and what only out-of-distribution ones are besides.
TEMPLATES: dict[str, tuple[dict[str, Template], dict[str, Template]]] = {
    "a": (sentences.TEMPLATES, sentences.UNSEEN),
    "b": (continuations.TEMPLATES, continuations.UNSEEN),
    "c": (cloze.TEMPLATES, cloze.UNSEEN),
    "d": (questions.TEMPLATES, questions.UNSEEN),
    "e": (chains.TEMPLATES, chains.UNSEEN),
    "f": (arithmetic.TEMPLATES | planning.TEMPLATES, arithmetic.UNSEEN | planning.UNSEEN),
}
_TABLES = {
    (level, split): tuple((near | far if split == "out_of_distribution" else near).items())
    for level, (near, far) in TEMPLATES.items()
    for split in SPLITS
}


@dataclass(frozen=True, slots=True)
class Item:
    """One task with its known answer.

    Attributes:
        id: "spectrum/<seed>/<level>/<split>/<index>".
        level: "a" to "f".
        split: "train", "held_out" or "out_of_distribution".
        template: what kind of task of the level this is.
        prompt: the text before the answer. At every level a model is scored by the softmax over the
            log-likelihoods of " " + choice right after it; that of level f ends with "Answer:".
        answer: the right choice.
        choices: all choices, the answer among them, in random order.
        num_hops: how many facts, or steps at level f, the answer takes.
        steps: the worked steps of level f, empty at the other levels.
        shows_steps: whether `text` shows the steps before the answer: every second item of level f
            does, so that a model learns to work a problem out and to answer at once, as scored.
    """

    id: str
    level: str
    split: str
    template: str
    prompt: str
    answer: str
    choices: tuple[str, ...]
    num_hops: int
    steps: str = ""
    shows_steps: bool = False

    @property
    def text(self) -> str:
        """What a model trains on: it ends with the answer and a full stop."""
        if self.shows_steps:
            story = self.prompt.removesuffix(ANSWER_CUE)
            return f"{story}{STEPS_CUE} {self.steps} {ANSWER_CUE} {self.answer}."
        return f"{self.prompt} {self.answer}."

    @property
    def chance(self) -> float:
        """Accuracy of a blind guess."""
        return 1 / len(self.choices)


def _known(value: str, known: Sequence[str], where: str) -> int:
    if value not in known:
        raise SpecError(f"unknown {where}", where=where, expected=", ".join(known), got=repr(value))
    return known.index(value)


def item_at(level: str, split: str, index: int, *, seed: int) -> Item:
    """The item with this index.

    Args:
        level: "a" to "f".
        split: "train", "held_out" or "out_of_distribution".
        index: from 0 to 2^48 - 1.
        seed: a non-negative integer; different seeds are different worlds of the same people.

    Raises:
        SpecError: unknown level or split, negative seed, index out of range.
    """
    stream = _known(level, LEVELS, "level") * len(SPLITS) + _known(split, SPLITS, "split")
    if seed < 0:
        raise SpecError("bad seed", where="seed", expected="an integer from 0 on", got=str(seed))
    if not 0 <= index < 1 << INDEX_BITS:
        raise SpecError("bad index", where="index", expected="0 to 2^48 - 1", got=str(index))
    key = ((seed * len(LEVELS) * len(SPLITS) + stream) << INDEX_BITS) + index
    world = World(key, split)
    name, template = world.pick(_TABLES[level, split])
    draft = template(world)
    is_problem = level == "f"
    return Item(
        f"{SOURCE}/{seed}/{level}/{split}/{index}",
        level,
        split,
        name,
        f"{draft.prompt} {ANSWER_CUE}" if is_problem else draft.prompt,
        draft.answer,
        tuple(world.shuffled(draft.choices)),
        draft.num_hops,
        draft.steps,
        is_problem and index % 2 == 0,
    )


def generate(
    level: str,
    split: str,
    *,
    seed: int,
    num_items: int | None = None,
    num_bytes: int | None = None,
) -> Iterator[Item]:
    """The items of a level and split from index 0 on.

    Args:
        level: "a" to "f".
        split: "train", "held_out" or "out_of_distribution".
        seed: a non-negative integer.
        num_items: how many; or
        num_bytes: as many as it takes for their texts to reach so many bytes. Give exactly one.

    Raises:
        SpecError: as `item_at`, or not exactly one of `num_items` and `num_bytes`.
    """
    if (num_items is None) == (num_bytes is None):
        raise SpecError(
            "how much to generate is unclear",
            where="spectrum",
            expected="exactly one of num_items and num_bytes",
            got="both" if num_items is not None else "neither",
        )
    items = (item_at(level, split, index, seed=seed) for index in count())
    if num_items is not None:
        yield from islice(items, num_items)
        return
    left_bytes = num_bytes or 0
    while left_bytes > 0:
        item = next(items)
        left_bytes -= len(item.text)  # all texts are ASCII
        yield item


def documents(
    num_bytes: int,
    seed: int,
    *,
    level_shares: Mapping[str, float] | None = None,
    split_shares: Mapping[str, float] = SPLIT_SHARES,
) -> Iterator[Document]:
    """A corpus of the graded world: one document an item, levels and splits interleaved.

    The next document is always of the (level, split) that is furthest behind its share of bytes, so
    every prefix of the corpus has the shares asked for.

    Args:
        num_bytes: the corpus ends with the document that reaches it.
        seed: a non-negative integer.
        level_shares: relative bytes of each level; equal when None. A level left out has none.
        split_shares: relative bytes of each split.

    Raises:
        SpecError: unknown level or split, a share that is negative, or all zero.
    """
    levels = _shares(level_shares or dict.fromkeys(LEVELS, 1.0), LEVELS, "level_shares")
    splits = _shares(split_shares, SPLITS, "split_shares")
    shares = {(level, split): levels[level] * splits[split] for level in levels for split in splits}
    indices = dict.fromkeys(shares, 0)
    fill = dict.fromkeys(shares, 0.0)  # bytes so far over share; the least is next, ties in order
    left_bytes = num_bytes
    while left_bytes > 0:
        stream = min(fill, key=fill.__getitem__)
        level, split = stream
        item = item_at(level, split, indices[stream], seed=seed)
        text = item.text
        indices[stream] += 1
        fill[stream] += len(text) / shares[stream]
        left_bytes -= len(text)
        yield Document(item.id, text, SOURCE, level, split)


def _shares(shares: Mapping[str, float], known: Sequence[str], where: str) -> dict[str, float]:
    """The positive shares, in the order of `known`."""
    for name, share in shares.items():
        _known(name, known, where)
        if not share >= 0:
            raise SpecError(
                "bad share", where=f"{where}.{name}", expected="0 or more", got=str(share)
            )
    positive = {name: shares[name] for name in known if shares.get(name, 0) > 0}
    if not positive:
        raise SpecError(
            "nothing to generate", where=where, expected="a positive share", got=str(shares)
        )
    return positive


def tasks(num_items: int, seed: int) -> Iterator[Item]:
    """Evaluation items: `num_items` of each level, held out, then out of distribution."""
    for split in SPLITS[1:]:
        for level in LEVELS:
            yield from generate(level, split, seed=seed, num_items=num_items)
