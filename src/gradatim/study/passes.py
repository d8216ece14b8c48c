"""How often a run will read the text it may read, band by band or level by level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gradatim.blocks.store import TRAIN, Store
from gradatim.record.spec import RunSpec
from gradatim.streams import run_key
from gradatim.study.feeding import block_labels
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.train.order import block_table

MAX_DRAWS = 5_000_000
NUM_PARTS = 400


def passes_by_label(run: RunSpec, store: Store) -> dict[str, float]:
    """Draws over blocks of every level, source or difficulty band of the training text.

    The run's own curriculum is asked, in a few large draws instead of one a step, so stages and
    ceilings move in small jumps. A run of very many draws is not asked, nor one whose draws depend
    on losses: they give nothing.
    """
    clock = run.clock()
    num_draws = clock.num_draws
    data = run.recipe.data
    if num_draws > MAX_DRAWS or data.reads_losses:
        return {}
    by = next(iter(data.groupings), None)
    names, codes = block_labels(store, run.evaluation.num_bands, by=by)
    table = block_table(store, data.metrics)
    curriculum = make_curriculum(data, table, num_draws=num_draws, seed=run_key(run.seed, run.rung))
    drawn = np.zeros(len(names), dtype=np.int64)
    edges = np.linspace(0, clock.num_steps, min(NUM_PARTS, clock.num_steps) + 1).astype(int)
    for start, stop in pairwise(edges.tolist()):
        num_blocks = clock.draws(stop) - clock.draws(start)
        ids = curriculum.draw(clock.timeline_progress(start), num_blocks)
        drawn += np.bincount(codes[ids], minlength=len(names))
    there = np.bincount(codes[store.ids(TRAIN)], minlength=len(names))
    return {names[code]: float(drawn[code] / there[code]) for code in np.flatnonzero(there)}
