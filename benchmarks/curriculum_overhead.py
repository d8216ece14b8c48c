"""What a curriculum costs over plain shuffled reading.

    python benchmarks/curriculum_overhead.py --json overhead.json

The contestants prepare batches in turns (A B A B): plain is a numpy permutation cut into batches
and read from the memory map; the others draw from a curriculum, read the same way, and report
losses back; of phases the rankings are in it. The difference is set against the time of a training
step, measured here too: below 1 % is wanted.

    python benchmarks/curriculum_overhead.py --whole-run --num-blocks 1_000_000

draws and observes four passes over so many blocks, without reading them: uniform beside learn,
focus and review, whose rankings are then in it, in processor time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.blocks.store import Store
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.phases import Phases
from gradatim.timelines.data.stages import Stages
from gradatim.timelines.data.uniform import Uniform
from gradatim.train.order import block_table
from random_store import LEVELS, random_store
from training_traps import BATCH_BLOCKS, clock, in_turns, step_seconds, stepper_of

BLOCK_TOKENS = 256
VOCAB_SIZE = 2048
CURRICULA: dict[str, DataTimeline] = {
    "uniform": Uniform(),
    "ceiling": Ceiling(),
    "ceiling, sample budget": Ceiling(sample="budget"),
    "phases": Phases.model_validate({"phases": "lfr_fitted"}),
    "stages": Stages.model_validate(
        {
            "stages": [
                {"until": 0.3, "weights": {"a": 2.0, "b": 1.0}},
                {"until": 1.0, "weights": dict.fromkeys(LEVELS, 1.0)},
            ]
        }
    ),
}


def plain_seconds(store: Store, num_batches: int) -> float:
    """Seconds a batch of shuffled epochs in numpy alone."""
    random = np.random.default_rng(0)
    ids = store.ids("train")
    started = time.perf_counter()
    order, position = random.permutation(ids), 0
    for _ in range(num_batches):
        if position + BATCH_BLOCKS > len(order):
            order, position = random.permutation(ids), 0
        store.read(order[position : position + BATCH_BLOCKS])
        position += BATCH_BLOCKS
    return (time.perf_counter() - started) / num_batches


def curriculum_seconds(store: Store, spec: DataTimeline, num_batches: int) -> float:
    """Seconds a batch drawn from a curriculum, its losses observed."""
    num_draws = num_batches * BATCH_BLOCKS
    curriculum = make_curriculum(spec, block_table(store), num_draws=num_draws, seed=0)
    losses = np.zeros(BATCH_BLOCKS, dtype=np.float32)
    started = time.perf_counter()
    for batch in range(num_batches):
        block_ids = curriculum.draw(batch / num_batches, BATCH_BLOCKS)
        store.read(block_ids)
        curriculum.observe(block_ids, losses)
    return (time.perf_counter() - started) / num_batches


def whole_run_seconds(spec: DataTimeline, num_blocks: int) -> float:
    """Processor seconds a batch of a run of four passes: made, drawn from, observed."""
    table = BlockTable(np.arange(num_blocks, dtype=np.uint32))
    losses = np.random.default_rng(0).gamma(4, 1, 1 << 16).astype(np.float32)
    num_batches = 4 * num_blocks // BATCH_BLOCKS
    started = clock()
    curriculum = make_curriculum(spec, table, num_draws=num_batches * BATCH_BLOCKS, seed=0)
    for batch in range(num_batches):
        block_ids = curriculum.draw(batch / num_batches, BATCH_BLOCKS)
        at = batch % 1024 * BATCH_BLOCKS
        curriculum.observe(block_ids, losses[at : at + BATCH_BLOCKS])
    return (clock() - started) / num_batches


def measure_whole_runs(store: Store, rungs: list[str], num_blocks: int) -> list[dict[str, Any]]:
    """A row a curriculum: microseconds a batch, and the share of a step of each rung."""
    specs = {name: CURRICULA[name] for name in ("uniform", "phases")}
    seconds = in_turns(
        {name: lambda s=spec: whole_run_seconds(s, num_blocks) for name, spec in specs.items()},  # type: ignore[misc]
        rounds=2,
    )
    steps = {rung: step_seconds(stepper_of(store, rung=rung), store) for rung in rungs}
    return [
        {
            "order": name,
            "microseconds_per_batch": round(1e6 * found, 1),
            **{
                f"percent_of_a_{rung}_step": round(100 * found / step, 3)
                for rung, step in steps.items()
            },
        }
        for name, found in seconds.items()
    ]


def measure(store: Store, rungs: list[str], num_batches: int) -> list[dict[str, Any]]:
    """A row a contestant: microseconds a batch, and what that adds to a step of each rung."""
    contestants: dict[str, Callable[[], float]] = {
        "plain shuffled numpy": lambda: plain_seconds(store, num_batches)
    }
    for name, spec in CURRICULA.items():
        contestants[name] = lambda s=spec: curriculum_seconds(store, s, num_batches)  # type: ignore[misc]
    seconds = in_turns(contestants, rounds=5)
    plain = seconds["plain shuffled numpy"]
    steps = {rung: step_seconds(stepper_of(store, rung=rung), store) for rung in rungs}
    return [
        {
            "order": name,
            "microseconds_per_batch": round(1e6 * found, 1),
            **{
                f"percent_of_a_{rung}_step": round(100 * (found - plain) / step, 3)
                for rung, step in steps.items()
            },
        }
        for name, found in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rungs", nargs="+", default=["20k", "200k", "1m"])
    parser.add_argument("--num-blocks", type=int, default=40_000)
    parser.add_argument("--num-batches", type=int, default=2000)
    parser.add_argument("--whole-run", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(
            Path(folder),
            num_blocks=2000 if arguments.whole_run else arguments.num_blocks,
            block_tokens=BLOCK_TOKENS,
            vocab_size=VOCAB_SIZE,
        )
        if arguments.whole_run:
            rows = measure_whole_runs(store, arguments.rungs, arguments.num_blocks)
        else:
            rows = measure(store, arguments.rungs, arguments.num_batches)
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
