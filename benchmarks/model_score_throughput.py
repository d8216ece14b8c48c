"""Scoring a store's blocks with a model beside the bare forward passes that it cannot do without.

    python benchmarks/model_score_throughput.py               10,000 blocks, about half an hour
    python benchmarks/model_score_throughput.py --num-blocks 1000 --threads 1 --rounds 5

A bare forward pass makes the logits of a batch that is in memory already, and drops them. Scoring
reads the blocks from the memory map, takes losses and top-k membership, reduces them to five
columns, keeps what a kill must not cost, and writes the table. The two run in turns (A B A B) in
one process, with the same network, batch and threads; the ratio of their medians is the result,
and the ratios of neighbouring rounds show how much the machine moved meanwhile.
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

from gradatim.blocks.model_scores import ScoreSource
from gradatim.blocks.store import Store
from gradatim.compute import num_parameters, rung_shape
from gradatim.difficulty.model_scores import ModelScores
from gradatim.evaluate.model_scores import Model, ModelScoresSpec, score_store
from gradatim.evaluate.token_scorer import NetworkScorer
from gradatim.model.network import Network
from gradatim.train.device import device_facts, flushed_denormals, limit_threads
from random_store import random_store

BLOCK_TOKENS = 256
TARGET = 1.3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def bare_seconds(network: Network, store: Store, batch_blocks: int, clock: Any) -> float:
    """Seconds of the forward passes over the training split, its tokens in memory."""
    tokens = torch.from_numpy(store.read(store.ids("train")))
    started = clock()
    with torch.inference_mode():
        for batch in torch.split(tokens, batch_blocks):
            network(batch)
    seconds: float = clock() - started
    return seconds


def scoring_seconds(
    network: Network, store: Store, batch_blocks: int, clock: Any, top_k: int | None
) -> float:
    """Seconds of scoring the same blocks, from the open store to the table on disk."""
    scorer = NetworkScorer(network, separator_id=store.separator_id, top_k=top_k)
    source = ScoreSource(
        role="reference",
        run="benchmark",
        step=0,
        weights="",
        precision="float32",
        num_parameters=num_parameters(network.shape),
        scoring_flops=scorer.scoring_flops(len(store.ids("train")), store.block_tokens),
        training_flops=0.0,
    )
    spec = ModelScoresSpec(
        name="benchmark", settings=ModelScores(top_k=top_k), batch_blocks=batch_blocks
    )
    started = clock()
    score_store(store, spec, Model(scorer, source), reference_flops=0.0)
    seconds: float = clock() - started
    for suffix in ("json", "parquet"):
        (store.path / "scores" / f"benchmark.{suffix}").unlink()
    return seconds


def measure(store: Store, arguments: argparse.Namespace, num_threads: int) -> dict[str, Any]:
    """One row: both in turns at this number of threads."""
    limit_threads(num_threads)
    clock = CLOCKS[arguments.clock]
    shape = rung_shape(arguments.rung, vocab_size=arguments.vocab_size, context_tokens=BLOCK_TOKENS)
    network = Network(shape).requires_grad_(False)
    num_blocks = len(store.ids("train"))
    bare, scoring = [], []
    bare_seconds(network, store, arguments.batch_blocks, clock)  # warm up
    for _ in range(arguments.rounds):
        bare.append(bare_seconds(network, store, arguments.batch_blocks, clock))
        scoring.append(
            scoring_seconds(network, store, arguments.batch_blocks, clock, arguments.top_k)
        )
    ratios = sorted(s / b for s, b in zip(scoring, bare, strict=True))
    return {
        "rung": arguments.rung,
        "parameters": num_parameters(shape),
        "threads": num_threads,
        "batch_blocks": arguments.batch_blocks,
        "blocks": num_blocks,
        "bare_seconds": round(statistics.median(bare), 2),
        "scoring_seconds": round(statistics.median(scoring), 2),
        "scored_tokens_per_second": round(num_blocks * BLOCK_TOKENS / statistics.median(scoring)),
        "ratio": round(statistics.median(scoring) / statistics.median(bare), 3),
        "ratio_wanted": TARGET,
        "ratios_of_rounds": [round(ratio, 3) for ratio in ratios],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rung", default="1m")
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--num-blocks", type=int, default=10_000, help="of the training split")
    parser.add_argument("--batch-blocks", type=int, default=ModelScoresSpec(name="a").batch_blocks)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, flushed_denormals():
        store = random_store(
            Path(folder) / "store",
            num_blocks=-(-arguments.num_blocks * 50 // 49),  # one in fifty is held out
            block_tokens=BLOCK_TOKENS,
            vocab_size=arguments.vocab_size,
        )
        rows = [measure(store, arguments, num_threads) for num_threads in arguments.threads]
    for row in rows:
        print(json.dumps(row))
    if arguments.json:
        machine = device_facts(torch.device("cpu"), torch.float32)
        content = {"machine": machine, "clock": arguments.clock, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
