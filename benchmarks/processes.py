"""Two one-thread processes side by side against one process with two threads, per rung.

Trains the same number of steps in both arrangements, in the order A B A B, and prints tokens a
second and their ratio. Run it on a quiet machine:

    python benchmarks/processes.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

from gradatim.compute import rung_shape
from gradatim.model.network import Network
from gradatim.train.device import limit_threads

BLOCK_TOKENS, VOCAB_SIZE = 256, 2048


def train_steps(
    rung: str, batch_blocks: int, num_threads: int, seconds: float, barrier: Barrier, results: Any
) -> None:
    """Train for about `seconds` after everybody is ready; report tokens a second."""
    limit_threads(num_threads)
    torch.set_flush_denormal(True)
    network = Network(rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=BLOCK_TOKENS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    tokens_BT = torch.randint(VOCAB_SIZE, (batch_blocks, BLOCK_TOKENS))

    def step() -> None:
        loss, _ = network.training_losses(tokens_BT)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    barrier.wait()
    started = time.perf_counter()
    num_steps = 0
    while time.perf_counter() - started < seconds:
        step()
        num_steps += 1
    elapsed = time.perf_counter() - started
    results.put(num_steps * tokens_BT.numel() / elapsed)


def tokens_per_second(
    rung: str, batch_blocks: int, *, num_processes: int, num_threads: int, seconds: float
) -> float:
    """Sum over processes that train at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(num_processes), context.Queue()
    workers = [
        context.Process(
            target=train_steps, args=(rung, batch_blocks, num_threads, seconds, barrier, results)
        )
        for _ in range(num_processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rungs", nargs="+", default=["20k", "100k", "200k", "500k", "1m", "6m"])
    parser.add_argument("--batch-blocks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for rung in arguments.rungs:
        two, one = [], []
        for _ in range(arguments.repeats):
            for measured, processes, threads in ((two, 2, 1), (one, 1, 2)):
                measured.append(
                    tokens_per_second(
                        rung,
                        arguments.batch_blocks,
                        num_processes=processes,
                        num_threads=threads,
                        seconds=arguments.seconds,
                    )
                )
        ratios = [a / b for a, b in zip(two, one, strict=True)]
        rows.append(
            {
                "rung": rung,
                "two_processes": statistics.median(two),
                "one_process": statistics.median(one),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
            }
        )
        if not arguments.json:
            print(
                f"{rung:>5}  2 x 1 thread {rows[-1]['two_processes']:>9,.0f} tokens/s   "
                f"1 x 2 threads {rows[-1]['one_process']:>9,.0f} tokens/s   "
                f"ratio {rows[-1]['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
