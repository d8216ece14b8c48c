"""What averages of the weights cost beside the steps they are taken after.

    python benchmarks/averaging_overhead.py --json averaging.json

Each step is followed by the updates, as in a run, so caches are what they would be; both are
measured in processor time, and their ratio is told: below 2 % of a step is wanted. The mean is
measured at a snapshot, of which a run takes one every 2 % of its progress.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gradatim.blocks.store import Store
from gradatim.clock import Clock, lay_out
from gradatim.compute import Shape, training_flops
from gradatim.recipe import Costs, Recipe
from gradatim.timelines.rate.averages import Ema, Mean
from gradatim.train.averages import WeightAverages
from random_store import random_store
from training_traps import BATCH_BLOCKS, batches, stepper_of

BLOCK_TOKENS = 256
VOCAB_SIZE = 2048


def measure(store: Store, rung: str, num_steps: int) -> dict[str, Any]:
    """Medians over steps after two that warm up, in milliseconds, and the ratios."""
    stepper = stepper_of(store, rung=rung)
    optimizer = stepper.state.optimizer
    clock = _clock_of(stepper.state.shape, num_steps + 2)
    averages = {
        "ema": WeightAverages([Ema()], clock),
        "mean, a snapshot": WeightAverages([Mean(every_fraction=1 / clock.num_steps)], clock),
    }
    for average in averages.values():
        average.begin(optimizer.weights)
    seconds: dict[str, list[float]] = {name: [] for name in ("step", *averages)}
    for step, tokens in zip(range(1, clock.num_steps + 1), batches(store), strict=False):
        started = time.process_time()
        stepper.gradients(tokens, 0.0, batch_blocks=BATCH_BLOCKS)()
        stepper.update(1e-3)
        seconds["step"].append(time.process_time() - started)
        for name, average in averages.items():
            started = time.process_time()
            average.update(step, optimizer.weights)
            seconds[name].append(time.process_time() - started)
    found = {name: statistics.median(values[2:]) for name, values in seconds.items()}
    return {
        "rung": rung,
        "num_weights": optimizer.weights.numel(),
        **{f"{name}, ms": round(1e3 * value, 3) for name, value in found.items()},
        **{
            f"{name}, % of a step": round(100 * found[name] / found["step"], 3) for name in averages
        },
    }


def _clock_of(shape: Shape, num_steps: int) -> Clock:
    flops = training_flops(shape, BATCH_BLOCKS * shape.context_tokens)
    return lay_out(
        Recipe(),
        shape,
        budget_flops=num_steps * flops,
        batch_blocks=BATCH_BLOCKS,
        costs=Costs({}, {}),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rungs", nargs="+", default=["200k", "1m"])
    parser.add_argument("--num-steps", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(
            Path(folder), num_blocks=2000, block_tokens=BLOCK_TOKENS, vocab_size=VOCAB_SIZE
        )
        rows = [measure(store, rung, arguments.num_steps) for rung in arguments.rungs]
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
