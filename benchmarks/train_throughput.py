"""Tokens a second of gradatim's loop beside Hugging Face Trainer, and where a CPU's time can go.

    python benchmarks/train_throughput.py                     everything, about 15 minutes
    python benchmarks/train_throughput.py --only trainer --rungs 200k --num-steps 12
    python benchmarks/train_throughput.py --hf-compile        Trainer with torch_compile too

Contestants run in turns (A B A B) in one process, with the same shape, batch, blocks and threads,
each in its own defaults; a contestant's number is the median over rounds of the tokens per second
after its warm-up steps, everything its loop does included.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import training_traps
from gradatim.blocks.store import Store
from gradatim.compute import num_parameters, rung_shape, training_flops
from gradatim.recipe import Recipe
from gradatim.record.spec import Operation, RunSpec, StoreReference
from gradatim.train.device import device_facts, limit_threads
from gradatim.train.run import train
from random_store import random_store

BLOCK_TOKENS = 256
VOCAB_SIZE = 2048
WARMUP_STEPS = 3
TARGETS = {"200k": 1.3, "1m": 1.3, "6m": 1.15}
MATMUL_TARGETS = {"1m": 0.55, "6m": 0.70}


def run_spec(rung: str, *, num_steps: int, batch_blocks: int, compile: bool = False) -> RunSpec:
    """A run of so many steps of one rung over the random store."""
    shape = rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=BLOCK_TOKENS)
    return RunSpec(
        store=StoreReference(path="", fingerprint="random-0"),
        rung=rung,
        seed=0,
        shape=shape,
        recipe=Recipe.model_validate({"data": {"kind": "ceiling"}}),
        budget_flops=(num_steps + 0.5) * training_flops(shape, batch_blocks * BLOCK_TOKENS),
        batch_blocks=batch_blocks,
        compile=compile,
        # Trainer saves nothing here either.
        operation=Operation(arm="ceiling", checkpoint_every_fraction=1.0),
    )


def rate_after_warmup(ends_seconds: list[float], tokens_per_step: int) -> float:
    """Tokens per second from the end of the warm-up to the end of the last step."""
    steady = ends_seconds[WARMUP_STEPS - 1 :]
    return tokens_per_step * (len(steady) - 1) / (steady[-1] - steady[0])


def ours(rung: str, store: Store, *, num_steps: int, batch_blocks: int) -> float:
    """Tokens per second of `gradatim.train`, record and curriculum included."""
    ends: list[float] = []
    spec = run_spec(rung, num_steps=num_steps, batch_blocks=batch_blocks)
    with tempfile.TemporaryDirectory() as folder:
        train(spec, folder, store, on_progress=lambda *_: ends.append(training_traps.clock()))
    return rate_after_warmup(ends, batch_blocks * BLOCK_TOKENS)


def trainer(
    rung: str, store: Store, *, num_steps: int, batch_blocks: int, compile: bool = False
) -> float:
    """Tokens per second of Hugging Face Trainer in its defaults with the equivalent network."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    ends: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(training_traps.clock())

    class Blocks(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return store.num_blocks

        def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
            tokens = torch.from_numpy(store.tokens[row].astype("int64"))
            return {"input_ids": tokens, "labels": tokens}

    torch.set_flush_denormal(False)  # its default, which our loop has changed
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=num_steps,
            per_device_train_batch_size=batch_blocks,
            torch_compile=compile,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        transformers.Trainer(
            model=equivalent_llama(rung),
            args=arguments,
            train_dataset=Blocks(),
            callbacks=[Clock()],
        ).train()
    return rate_after_warmup(ends, batch_blocks * BLOCK_TOKENS)


def equivalent_llama(rung: str) -> Any:
    """The same network as transformers builds it, its parameters counted."""
    import transformers

    shape = rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=BLOCK_TOKENS)
    network = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            intermediate_size=shape.mlp_width,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_kv_heads,
            max_position_embeddings=shape.context_tokens,
            tie_word_embeddings=shape.tied_embeddings,
            use_cache=False,
        )
    )
    assert network.num_parameters() == num_parameters(shape)
    return network


def matmul_rate(seconds: float = 1.0, size: int = 2048) -> float:
    """FLOPs per second of large square float32 products: the machine's own best."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    out = left @ right
    fastest = float("inf")
    stop = training_traps.clock() + seconds
    while training_traps.clock() < stop:
        started = training_traps.clock()
        torch.matmul(left, right, out=out)
        fastest = min(fastest, training_traps.clock() - started)
    return 2 * size**3 / fastest


def compare_with_trainer(rung: str, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row: both loops in turns, and our share of the machine's matrix-product rate."""
    contestants: dict[str, Callable[..., float]] = {"ours": ours, "trainer": trainer}
    if arguments.hf_compile:
        contestants["trainer_compiled"] = lambda *a, **k: trainer(*a, **k, compile=True)
    settings = {"num_steps": arguments.num_steps, "batch_blocks": arguments.batch_blocks}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    matmul = [matmul_rate()]
    for _ in range(arguments.rounds):
        for name, contestant in contestants.items():
            rates[name].append(contestant(rung, store, **settings))
        matmul.append(matmul_rate(0.3))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    shape = rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=BLOCK_TOKENS)
    flops_per_token = training_flops(shape, BLOCK_TOKENS) / BLOCK_TOKENS
    row: dict[str, Any] = {
        "rung": rung,
        "threads": torch.get_num_threads(),
        "width": shape.width,
        **{f"{name}_tokens_per_second": round(rate) for name, rate in medians.items()},
        "ratio": round(medians["ours"] / medians["trainer"], 2),
        "ratio_wanted": TARGETS.get(rung),
        "matmul_gflops": round(statistics.median(matmul) / 1e9, 1),
        "matmul_share": round(medians["ours"] * flops_per_token / statistics.median(matmul), 2),
        "matmul_share_wanted": MATMUL_TARGETS.get(rung),
    }
    if arguments.hf_compile:
        row["ratio_to_compiled"] = round(medians["ours"] / medians["trainer_compiled"], 2)
    return row


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows with the same keys, as an aligned table."""
    print(f"\n{title}")
    names = list(rows[0])
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rungs", nargs="+", default=["200k", "1m", "6m"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--num-steps", type=int, default=23, help="a contestant and round")
    parser.add_argument("--batch-blocks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hf-compile", action="store_true")
    parser.add_argument("--only", nargs="+", choices=["trainer", *training_traps.TRAPS])
    parser.add_argument(
        "--clock",
        choices=list(training_traps.CLOCKS),
        default="wall",
        help="cpu: processor time, for one thread on a machine that others use too",
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    training_traps.clock = training_traps.CLOCKS[arguments.clock]
    wanted = arguments.only or ["trainer", *training_traps.TRAPS]
    results: dict[str, Any] = {
        "machine": device_facts(torch.device("cpu"), torch.float32),
        "clock": arguments.clock,
    }
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(
            Path(folder), num_blocks=8000, block_tokens=BLOCK_TOKENS, vocab_size=VOCAB_SIZE
        )
        if "trainer" in wanted:
            results["trainer"] = rows = []
            for num_threads in arguments.threads:
                limit_threads(num_threads)
                rows += [compare_with_trainer(rung, store, arguments) for rung in arguments.rungs]
            print_table("gradatim beside Hugging Face Trainer", rows)
        limit_threads(arguments.threads[0])
        for name in training_traps.TRAPS:
            if name in wanted:
                results[name] = training_traps.TRAPS[name](store)
                print_table(name, results[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
