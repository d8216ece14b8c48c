"""Fixed orders of blocks: sorted, folded, zigzag, stairs, saw, interleaved levels, groups alike.

All blocks of the run are ranked by a metric and then walked through in one of the ways of
`arrangement`. Where a ceiling draws at random from what it admits, an order says of every draw
which block it is.

**Which blocks.** A run of fewer draws than there are blocks would never come to the hard end of all
of them, so the order is over a random sample of as many blocks as are drawn, with sample `all` as
with `budget`. A longer run draws whole passes and a random remainder: `epochs: repeated` orders
every pass anew, `swept` takes all copies of a block together in one sweep over the metric.

**Unknown difficulty** is never claimed to be easy nor hard: those blocks come last in each pass, in
random order, in the reversed order too. Groups alike have no hard end; there they form groups of
their own among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gradatim.streams import Stream
from gradatim.timelines.data.arrangement import (
    Places,
    crossed,
    folded,
    interleaved_levels,
    shuffled_groups,
    shuffled_in_windows,
    zigzagged,
)
from gradatim.timelines.data.door import BlockIds, BlockTable, sentence
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.method import Method, plan_settings
from gradatim.timelines.data.ranking import (
    Rows,
    check_any_known,
    check_varies,
    dealt_out,
    gathered,
    ranked,
)
from gradatim.timelines.data.sample import Sample, sampled
from gradatim.timelines.data.sequence import Sequence

Shape = Literal[
    "ascending", "descending", "folds", "zigzag", "str", "saw", "interleaved", "grouped"
]
Control = Literal["reversed", "pass_through", "shuffled"]
Count = Annotated[int | None, Field(ge=2, le=100_000)]

CONTROLS = {
    "reversed": "the other way round",
    "pass_through": "the same stretches of blocks in random order",
    "shuffled": "difficulty dealt out at random",
}
SHAPE_SETTINGS: dict[str, dict[str, float]] = {  # those that it reads, with their defaults
    "ascending": {},
    "descending": {},
    "folds": {"num_folds": 5},
    "zigzag": {"num_folds": 5},
    "str": {"num_sections": 2, "num_folds": 3, "transition_fraction": 0.225},
    "saw": {"num_sections": 3, "num_folds": 2, "transition_fraction": 0.075},
    "interleaved": {"num_levels": 10, "num_segments": 10},
    "grouped": {},
}
ALL_SHAPE_SETTINGS = tuple({name: None for read in SHAPE_SETTINGS.values() for name in read})


class Order(Method):
    """A fixed order of the run's blocks.

    The published shapes have the defaults of their released configurations (arXiv 2605.30334),
    the others ours.

    Args:
        metric: the difficulty column that ranks the blocks; higher is harder.
        shape: `ascending`, `descending`: strictly sorted. `folds`: passes from easy to hard, each
            over every num_folds-th block of the ranking. `zigzag`: the same, every second pass from
            hard to easy. `str`, stairs: sorted, with folds around the borders of sections; `saw`:
            with a zigzag there. `interleaved`: segments that each go through all levels of
            difficulty, from the easiest. `grouped`: groups of neighbours in the ranking, in random
            order, so that the blocks of a batch are alike and there is no direction.
        num_folds: passes of `folds` and `zigzag` (5), or of a transition of `str` (3), `saw` (2).
        num_sections: of `str` (2) and `saw` (3).
        transition_fraction: share of the blocks on either side of a border of sections that is
            folded: 0.225 for `str`, 0.075 for `saw`.
        num_levels: of `interleaved` (10).
        num_segments: of `interleaved` (10).
        group_blocks: blocks of a group, for `grouped`, and of a stretch of the `pass_through`
            control; a batch's are what makes a batch alike.
        by: `grouped` by a label of the blocks, `level` or `source`, instead of the metric.
        window_blocks: shuffle inside consecutive windows of so many blocks; 1 for not at all.
        until: progress from which what is left comes in random order. What is left of a sorted
            order is its hard end: for a warm-up and then the whole training mixture, take
            `even_ending_fraction`.
        epochs: of a run longer than one: `repeated`, each ordered anew, or `swept`, one sweep.
        control: None for the method. `reversed`: hard and easy exchanged. `pass_through`: stretches
            of the order (its windows, or `group_blocks`) in random order: what its neighbours have
            in common without its direction. `shuffled`, for `grouped` and swept epochs alone:
            difficulty dealt out at random. A strict order of random difficulties is the uniform
            baseline by another name; groups of them in a single epoch are so too, a replicate.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`); the order is over all other blocks.
        sample: as in `uniform`; which blocks are drawn is the same with both.
    """

    kind: Literal["order"] = "order"
    metric: str = "reading_age"
    shape: Shape = "ascending"
    num_folds: Count = None
    num_sections: Count = None
    transition_fraction: float | None = Field(default=None, gt=0, le=0.5)
    num_levels: Count = None
    num_segments: Count = None
    group_blocks: int = Field(default=64, ge=1, le=1_000_000)
    by: Literal["level", "source"] | None = None
    window_blocks: int = Field(default=1, ge=1, le=100_000_000)
    until: float = Field(default=1.0, gt=0, le=1)
    epochs: Literal["repeated", "swept"] = "repeated"
    control: Control | None = None
    even_ending_fraction: EvenEndingFraction = None
    sample: Sample = "all"

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_shape(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        read = SHAPE_SETTINGS.get(values.get("shape", "ascending"), {})
        return values | {name: read[name] for name in read if values.get(name) is None}

    @model_validator(mode="after")
    def _only_what_the_shape_reads(self) -> Order:
        read = SHAPE_SETTINGS[self.shape]
        unread = [n for n in ALL_SHAPE_SETTINGS if n not in read and getattr(self, n) is not None]
        if self.shape != "grouped" and self.by is not None:
            unread.append("by")
        if self.by is not None and self.metric != type(self).model_fields["metric"].default:
            raise ValueError(
                f"groups are by a metric or by a label; got {self.metric} and {self.by}"
            )
        if self.shape == "grouped" and self.window_blocks > 1:
            unread.append("window_blocks")
        if unread:
            raise ValueError(f"shape {self.shape} does not read {', '.join(unread)}")
        if self.control is not None and self.control not in self._control_names:
            offered = ", ".join(self._control_names)
            raise ValueError(f"shape {self.shape} has the controls {offered}; got {self.control}")
        return self

    @property
    def _control_names(self) -> tuple[str, ...]:
        if self.shape == "grouped":
            return ("shuffled",)
        shuffled = ("shuffled",) if self.epochs == "swept" else ()
        return ("reversed", "pass_through", *shuffled)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return () if self.by else (self.metric,)

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels of blocks it reads."""
        return (self.by,) if self.by else ()

    def controls(self) -> dict[str, Order]:
        """The other direction; the same stretches without any; for groups, random ones."""
        if self.control is not None:
            return {}
        return {name: self.with_control(name) for name in self._control_names}

    def check(self, table: BlockTable) -> None:
        """Refuse a column that orders nothing."""
        check_varies(_difficulty(self, table), self.by or self.metric)

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> Sequence:
        """One sequence of blocks, whole before the first draw."""
        return fixed_order(self, table, num_draws=num_draws, seed=seed)


def fixed_order(spec: Order, table: BlockTable, *, num_draws: int, seed: int | str) -> Sequence:
    """The curriculum of an `Order` specification over these blocks.

    Raises:
        SpecError: an unknown metric, or one that no block of the sample has a value of.
    """
    difficulty = _difficulty(spec, table)
    if spec.control == "shuffled":
        difficulty = dealt_out(difficulty, table.ids, Stream(seed, "control/shuffled"))
    chosen = sampled(len(table), "budget", num_draws=num_draws, seed=seed)
    ids, difficulty = chosen(table.ids), chosen(difficulty)
    check_any_known(difficulty, spec.by or spec.metric)
    passes = _passes(ids) if spec.epochs == "repeated" else iter([np.arange(len(ids))])
    ordered = [
        gathered(ids[rows], _ordered(spec, difficulty[rows], f"{seed}/order/{number}"))
        for number, rows in enumerate(passes)
    ]
    num_blocks = min(num_draws, len(table)) if spec.sample == "all" else num_draws
    plan: dict[str, Any] = {
        **plan_settings(spec, "metric", "shape", "window_blocks", "until"),
        **{name: value for name in (*ALL_SHAPE_SETTINGS, "by") if (value := getattr(spec, name))},
        **({"group_blocks": spec.group_blocks} if _has_groups(spec) else {}),
        "num_blocks": num_blocks,
        "num_unknown": int(np.count_nonzero(~np.isfinite(difficulty))),
        "num_draws": num_draws,
        "epochs": num_draws / num_blocks,
        "num_passes": len(ordered),
    }
    plan["sentence"] = sentence(plan, _sentence(plan), CONTROLS)
    rest = Stream(seed, "order/rest")
    return Sequence(np.concatenate(ordered), until=spec.until, rest=rest, plan=plan)


def _has_groups(spec: Order) -> bool:
    is_cut = spec.control == "pass_through" and spec.window_blocks == 1
    return spec.shape == "grouped" or is_cut


def _difficulty(spec: Order, table: BlockTable) -> NDArray[np.floating[Any]]:
    """What ranks the blocks; a label ranks by its place among the names, and "" is unknown."""
    if spec.by is None:
        return table.difficulty(spec.metric)
    names, code_of_block = table.label(spec.by)
    ranks = np.array([place if name else np.nan for place, name in enumerate(names)], np.float32)
    return np.asarray(ranks[code_of_block])


def _passes(ids: BlockIds) -> Iterator[NDArray[np.intp]]:
    """Rows of the first copies of all blocks, then of the second ones, and so on."""
    ordered = np.sort(ids)
    if not np.any(ordered[1:] == ordered[:-1]):
        return iter([np.arange(len(ids))])
    by_id = np.argsort(ids, kind="stable")
    is_first = np.concatenate([[True], ids[by_id][1:] != ids[by_id][:-1]])
    place = np.arange(len(ids))
    copy = np.empty(len(ids), np.intp)
    copy[by_id] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return (np.flatnonzero(copy == number) for number in range(int(copy.max()) + 1))


def _ordered(spec: Order, difficulty: NDArray[np.floating[Any]], key: str) -> Rows:
    """Rows of one pass in the order of drawing."""

    def stream(name: str) -> Stream:
        return Stream(key, name)

    is_hardest_first = (spec.shape == "descending") != (spec.control == "reversed")
    rows = ranked(difficulty, stream("ranking"), hardest_first=is_hardest_first)
    num_known = int(np.count_nonzero(np.isfinite(difficulty)))
    num_arranged = len(rows) if spec.shape == "grouped" else num_known
    places = _places(spec, num_arranged, stream)
    if spec.window_blocks > 1:
        places = places[shuffled_in_windows(num_arranged, spec.window_blocks, stream("windows"))]
    if spec.control == "pass_through":
        size = spec.window_blocks if spec.window_blocks > 1 else spec.group_blocks
        places = places[shuffled_groups(num_arranged, size, stream("pass-through"))]
    return np.concatenate([rows[places], rows[num_arranged:]])


def _places(spec: Order, num_blocks: int, stream: Callable[[str], Stream]) -> Places:
    """How the shape walks through a ranking of so many blocks."""
    if spec.shape == "grouped":
        return shuffled_groups(num_blocks, spec.group_blocks, stream("groups"))
    if spec.num_levels and spec.num_segments:
        return interleaved_levels(num_blocks, spec.num_levels, spec.num_segments, stream)
    if spec.num_folds is None:
        return np.arange(num_blocks)
    walk = zigzagged if spec.shape in ("zigzag", "saw") else folded
    if spec.num_sections is None or spec.transition_fraction is None:
        return walk(num_blocks, spec.num_folds)
    return crossed(num_blocks, spec.num_sections, spec.transition_fraction, walk, spec.num_folds)


def _sentence(plan: Mapping[str, Any]) -> str:
    by = plan.get("by", plan["metric"])
    folds, sections = plan.get("num_folds"), plan.get("num_sections")
    transition = f"{2 * plan.get('transition_fraction', 0):.0%} of the blocks around each border"
    text = {
        "ascending": f"in order of rising {by}",
        "descending": f"in order of falling {by}",
        "folds": f"{folds} folds of rising {by}",
        "zigzag": f"{folds} folds of {by}, rising and falling in turn",
        "str": f"rising {by} in {sections} sections, {transition} in {folds} folds",
        "saw": f"rising {by} in {sections} sections, {transition} in {folds} folds, rising and "
        "falling in turn",
        "interleaved": f"{plan.get('num_segments')} segments, each through "
        f"{plan.get('num_levels')} levels of rising {by}",
        "grouped": f"groups of {plan.get('group_blocks')} blocks alike in {by}, in random order",
    }[plan["shape"]]
    if plan["window_blocks"] > 1:
        text += f", shuffled in windows of {plan['window_blocks']:,} blocks"
    if plan["until"] < 1:
        text += f", until {plan['until']:.1%} of the run, and what is left at random"
    if plan["num_unknown"] and plan["shape"] != "grouped":
        text += f"; {plan['num_unknown']:,} blocks of unknown difficulty last"
    if plan["num_passes"] > 1:
        text += f"; {plan['num_passes']} passes, each ordered anew"
    return text
