"""How often a run will read the text it may read, by band, level and source; and who differs.

Small studies mislead where text is repeated more at one size than at another (repetition mismatch,
arXiv 2606.07597), and an arm may differ from another in its repetition alone. Text read at most
once is not repeated, however much or little of it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from gradatim.blocks.columns import Labels
from gradatim.blocks.store import TRAIN, Store
from gradatim.record.spec import RunSpec
from gradatim.streams import run_key
from gradatim.study.feeding import block_labels
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.train.order import LABELS, MAX_LABELS, block_table

MAX_DRAWS = 5_000_000
NUM_PARTS = 400

ALIKE = 1.2
"""Repetitions up to so many times as large as each other are called alike."""

Passes = Mapping[tuple[str, str], Mapping[str, float]]
"""Of every rung and arm, the passes over each label."""


def passes_of(run: RunSpec, store: Store | None, num_blocks: float | None) -> float | None:
    """Draws over the blocks that a run reads; None where nobody can say yet.

    Args:
        run: the run.
        store: its store, where it is built.
        num_blocks: of the training text, as far as it is known.
    """
    num_draws = run.clock().num_draws
    if store is None or not run.recipe.data.reads_part_of_sample:
        return num_draws / num_blocks if num_blocks else None
    table = block_table(store, run.recipe.data.metrics)
    key = run_key(run.seed, run.rung)
    plan = make_curriculum(run.recipe.data, table, num_draws=num_draws, seed=key).plan
    return float(plan["epochs"])


def passes_by_label(run: RunSpec, store: Store) -> dict[str, float]:
    """Draws over blocks of every level, source and difficulty band of the training text.

    What the run's own curriculum mixes comes first. The curriculum is asked, in a few large draws
    instead of one a step, so stages and ceilings move in small jumps; where it draws from all text
    alike or its sample has every block once, every label has the passes of the whole. A run of very
    many draws is not asked, nor one whose draws depend on losses: they give nothing.
    """
    clock = run.clock()
    num_draws = clock.num_draws
    data = run.recipe.data
    groups = _groups(run, store)
    there = [np.bincount(g.codes[store.ids(TRAIN)], minlength=len(g.names)) for g in groups]
    if reads_alike(data):
        alike = num_draws / len(store.ids(TRAIN))
        drawn = [alike * counts for counts in there]
    elif num_draws > MAX_DRAWS or data.reads_losses:
        return {}
    else:
        drawn = [np.zeros(len(counts)) for counts in there]
        table = block_table(store, data.metrics)
        key = run_key(run.seed, run.rung)
        curriculum = make_curriculum(data, table, num_draws=num_draws, seed=key)
        edges = np.linspace(0, clock.num_steps, min(NUM_PARTS, clock.num_steps) + 1).astype(int)
        for start, stop in pairwise(edges.tolist()):
            num_blocks = clock.draws(stop) - clock.draws(start)
            ids = curriculum.draw(clock.timeline_progress(start), num_blocks)
            for group, counts in zip(groups, drawn, strict=True):
                counts += np.bincount(group.codes[ids], minlength=len(counts))
    return {
        group.names[code]: float(counts[code] / blocks[code])
        for group, counts, blocks in zip(groups, drawn, there, strict=True)
        for code in np.flatnonzero(blocks)
    }


def reads_alike(data: DataTimeline) -> bool:
    """Whether every block is read equally often, to within one pass."""
    return data.kind == "uniform" or (data.sample == "budget" and not data.reads_part_of_sample)


def most_passes(run: RunSpec, store: Store) -> tuple[str, float] | None:
    """What a run that draws by its losses could read most often, and how often at most.

    That is the smallest of the parts that it mixes, were nothing else drawn; None for other runs,
    and for one that draws a sample of which every block comes once.
    """
    data = run.recipe.data
    if not data.reads_losses or reads_alike(data):
        return None
    own = _groups(run, store)[0]
    there = np.bincount(own.codes[store.ids(TRAIN)], minlength=len(own.names))
    smallest = min(np.flatnonzero(there).tolist(), key=there.__getitem__)
    return own.names[smallest], float(run.clock().num_draws / there[smallest])


def _groups(run: RunSpec, store: Store) -> list[Labels]:
    """Labels of the whole store: what the run mixes first, then bands, levels and sources."""
    own = run.recipe.data.groupings
    kinds = dict.fromkeys([*own, None, *LABELS])
    found = {by: block_labels(store, run.evaluation.num_bands, by=by) for by in kinds}
    return [g for by, g in found.items() if by in own or len(g.names) <= MAX_LABELS]


def repetition_remarks(passes: Passes, arms: Sequence[str], rungs: Sequence[str]) -> Iterator[str]:
    """A warning where arms of a rung differ in their repetition, and one where rungs of an arm do.

    Args:
        passes: of what is known.
        arms: in the order of the study.
        rungs: the same.
    """
    across_arms = {
        rung: _widest({f"by {arm}": passes.get((rung, arm), {}) for arm in arms}) for rung in rungs
    }
    across_rungs = {
        arm: _widest({f"at {rung}": passes.get((rung, arm), {}) for rung in rungs}) for arm in arms
    }
    (rung, by_arms), (arm, by_rungs) = (
        max(each.items(), key=lambda item: item[1]) for each in (across_arms, across_rungs)
    )
    if by_arms[0] > ALIKE:
        _, label, ends = by_arms
        yield (
            f"Arms differ in how often they repeat text: at rung {rung}, {label} is read {ends}. "
            "What is found may be the work of repetition; with sample: budget every arm reads the "
            "same blocks equally often."
        )
    if by_rungs[0] > ALIKE:
        _, label, ends = by_rungs
        yield (
            f"Rungs differ in how often they repeat text: {label} is read by {arm} {ends}. A small "
            "rung may then mislead about a large one (arXiv 2606.07597); a larger corpus, or "
            "budgets nearer to each other, would ask the question better."
        )


def _widest(passes_of: Mapping[str, Mapping[str, float]]) -> tuple[float, str, str]:
    """The label whose repetition differs most: the ratio, its name, and both ends in words."""
    found = (1.0, "", "")
    labels = dict.fromkeys(label for passes in passes_of.values() for label in passes)
    for label in labels:
        each = {place: passes[label] for place, passes in passes_of.items() if label in passes}
        few, many = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
        ratio = max(each[many], 1.0) / max(each[few], 1.0)
        if ratio > found[0]:
            found = ratio, label, f"{each[many]:.2g} times {many} and {each[few]:.2g} {few}"
    return found
