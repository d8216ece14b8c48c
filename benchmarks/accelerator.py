"""An accelerator for a few minutes: is it right, and how fast is it?

    python benchmarks/accelerator.py --json accelerator.json

Correctness first, on a small network: losses step by step against float32 on the CPU, the losses of
blocks, a run stopped and gone on with, a gradient that overflows, the index of the device. Then
throughput of the whole loop at rungs from 1m to 1.3b beside a Llama of `transformers`, compiled, in
bf16, in the same process, with the share of the device's own matrix rate. What does not fit into
the minutes given is left out and said. The store is random and made on the spot; nothing is needed
but torch, numpy, pydantic, tokenizers, safetensors, PyYAML and pyarrow (and transformers for the
comparison).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from gradatim.blocks.store import Store
from gradatim.compute import memory_bytes, rung_shape, training_flops
from gradatim.errors import NotFiniteError
from gradatim.model.network import Network
from gradatim.recipe import Recipe
from gradatim.record.read import Record
from gradatim.record.spec import Operation, RunSpec, StoreReference
from gradatim.streams import run_key
from gradatim.train.checkpoint import latest_step, read_checkpoint
from gradatim.train.device import device_facts, own_device
from gradatim.train.optimizer import AdamW
from gradatim.train.run import train
from random_store import random_store

RUNGS = {"1m": 512, "25m": 256, "125m": 64, "350m": 32, "1.3b": 16}
"""Blocks of a step by rung, of 1,024 tokens."""
CONTEXT_TOKENS, VOCAB_SIZE = 1024, 32_000
SMALL_CONTEXT, SMALL_VOCAB, SMALL_STEPS = 128, 512, 24
TOLERANCE = {"float32": 2e-3, "bfloat16": 3e-2}
"""Of a loss, relative: sums are added up in another order, and in bf16 rounded to 8 bits."""
WARMUP_STEPS = 4


def run_spec(
    store: Store, rung: str, *, device: str, precision: str, batch_blocks: int, num_steps: int,
    **more: Any,
) -> RunSpec:  # fmt: skip
    """A run of so many steps of a rung."""
    shape = rung_shape(rung, vocab_size=store.vocab_size, context_tokens=store.block_tokens)
    step_flops = training_flops(shape, batch_blocks * store.block_tokens)
    settings = {
        "store": StoreReference(path="", fingerprint=store.fingerprint),
        "rung": rung,
        "seed": 0,
        "shape": shape,
        "recipe": Recipe.model_validate({"data": {"kind": "ceiling"}}),
        "budget_flops": (num_steps + 0.5) * step_flops,
        "batch_blocks": batch_blocks,
        "device": device,
        "precision": precision,
        "operation": Operation(arm="ceiling", checkpoint_every_fraction=1.0),
    }
    return RunSpec.model_validate(settings | more)


# Right


class Correctness:
    """Small runs on a device, each compared with what the CPU says in float32."""

    def __init__(self, store: Store, folder: Path, device: torch.device) -> None:
        self._store, self._folder, self._device = store, folder, device
        self.expected = self._train("cpu-float32", device="cpu", precision="float32")

    def _train(self, name: str, stop_after_steps: int | None = None, **more: Any) -> Record:
        settings = {"device": self._device.type, "precision": "float32"} | more
        spec = run_spec(self._store, "50k", batch_blocks=8, num_steps=SMALL_STEPS, **settings)
        return train(spec, self._folder / name, self._store, stop_after_steps=stop_after_steps)

    def losses_agree(self, precision: str) -> dict[str, Any]:
        """Losses of every block at every step, against float32 on the CPU."""
        found = self._train(f"device-{precision}", precision=precision)
        assert np.array_equal(found.drawn_blocks(), self.expected.drawn_blocks())
        worst = relative(found.block_losses(), self.expected.block_losses())
        return {"worst": worst, "wanted": TOLERANCE[precision], "ok": worst < TOLERANCE[precision]}

    def first_losses_are_each_blocks_own(self) -> dict[str, Any]:
        """Losses of the first batch, one by one, against the untrained network on the CPU."""
        found = self._train("device-float32")
        spec = found.spec
        network = Network(spec.shape, key=run_key(spec.seed, spec.rung))
        with torch.no_grad():
            tokens = torch.from_numpy(self._store.read(found.drawn_blocks()[: spec.batch_blocks]))
            expected = network.token_losses(tokens).mean(dim=1).numpy()
        worst = relative(found.block_losses()[: spec.batch_blocks], expected)
        return {"worst": worst, "wanted": 1e-4, "ok": worst < 1e-4}

    def a_stopped_run_goes_on(self) -> dict[str, Any]:
        """Stopped in the middle and called again, against an undisturbed run: same bits or not."""
        whole = self._train("device-float32")
        self._train("stopped", stop_after_steps=SMALL_STEPS // 3)
        again = self._train("stopped")
        worst = relative(again.block_losses(), whole.block_losses())
        pairs = [read_checkpoint(record.folder) for record in (whole, again)]
        groups = [pair.groups["weights"] for pair in pairs if pair is not None]
        same_bits = all(torch.equal(groups[0][name], groups[1][name]) for name in groups[0])
        same_order = np.array_equal(again.drawn_blocks(), whole.drawn_blocks())
        return {"worst": worst, "same_bits": same_bits, "ok": same_order and worst < 1e-3}

    def a_gradient_that_overflows_stops_it(self) -> dict[str, Any]:
        """No checkpoint may be written after a gradient that is not finite."""
        update, count = AdamW.update, iter(range(1, 99))

        def update_badly(optimizer: AdamW, rate: float, **named: Any) -> torch.Tensor:
            if next(count) == SMALL_STEPS // 2:
                optimizer.gradient[0] = float("inf")
            return update(optimizer, rate, **named)

        operation = Operation(arm="ceiling", checkpoint_every_fraction=0.25)
        with mock.patch.object(AdamW, "update", update_badly):
            try:
                self._train("overflow", operation=operation)
                stopped = False
            except NotFiniteError:
                stopped = True
        kept = latest_step(self._folder / "overflow")
        return {"latest_step": kept, "ok": stopped and kept == SMALL_STEPS // 4}

    def the_device_is_the_process_own(self) -> dict[str, Any]:
        """Tensors lie on the current device, by its index."""
        device = own_device()
        if device.type == "cpu":
            return {"device": "cpu", "ok": True}
        current = torch.cuda.current_device()
        return {"device": str(device), "ok": device.index == current}

    def all(self) -> dict[str, dict[str, Any]]:
        """Every check by name; one that raises has failed."""
        checks: dict[str, Callable[[], dict[str, Any]]] = {
            "losses, float32": lambda: self.losses_agree("float32"),
            "losses, bfloat16": lambda: self.losses_agree("bfloat16"),
            "losses of blocks": self.first_losses_are_each_blocks_own,
            "stopped and gone on": self.a_stopped_run_goes_on,
            "overflow": self.a_gradient_that_overflows_stops_it,
            "device index": self.the_device_is_the_process_own,
        }
        return {name: _outcome(check) for name, check in checks.items()}


def _outcome(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return check()
    except Exception as error:  # what fails is told beside what does not
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def relative(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """The largest relative difference."""
    return float(np.max(np.abs(found - expected) / np.abs(expected)))


# Fast


def ours(store: Store, rung: str, device: torch.device, *, compile: bool, steps: int) -> float:
    """Tokens per second of the whole loop: order, reading, record."""
    ends: list[float] = []
    spec = run_spec(
        store, rung, device=device.type, precision="bfloat16", batch_blocks=RUNGS[rung],
        micro_batch_blocks=micro_blocks(rung, device), num_steps=steps, compile=compile,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, no_checkpoints():
        train(spec, folder, store, on_progress=lambda *_: ends.append(time.perf_counter()))
    return rate_after_warmup(ends, RUNGS[rung] * store.block_tokens)


def no_checkpoints() -> Any:
    """Writing gigabytes is not what is measured here."""
    return mock.patch("gradatim.train.run.write_checkpoint")


def theirs(store: Store, rung: str, device: torch.device, *, steps: int) -> float:
    """Tokens per second of a compiled Llama of transformers, bf16, fused AdamW, clipping."""
    import transformers

    shape = rung_shape(rung, vocab_size=store.vocab_size, context_tokens=store.block_tokens)
    config = transformers.LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        max_position_embeddings=shape.context_tokens,
        tie_word_embeddings=shape.tied_embeddings,
        use_cache=False,
        attn_implementation="sdpa",
    )
    network = transformers.LlamaForCausalLM(config).to(device)
    step_of = torch.compile(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    random = np.random.default_rng(0)
    batch_blocks, micro = RUNGS[rung], micro_blocks(rung, device)
    ends = []
    for _ in range(steps):
        ids = random.integers(0, store.num_blocks, batch_blocks)
        tokens = torch.from_numpy(store.read(ids)).to(device, non_blocking=True)
        for part in torch.split(tokens, micro):
            with torch.autocast(device.type, torch.bfloat16):
                loss = step_of(input_ids=part, labels=part).loss
            (loss * len(part) / batch_blocks).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        ends.append(time.perf_counter())
    return rate_after_warmup(ends, batch_blocks * store.block_tokens)


def micro_blocks(rung: str, device: torch.device) -> int:
    """The most blocks at once, a power of two, that fit into 80 % of the memory as estimated."""
    shape = rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=CONTEXT_TOKENS)
    budget = 0.8 * torch.cuda.get_device_properties(device).total_memory
    micro = RUNGS[rung]
    while micro > 1:
        needed = sum(memory_bytes(shape, batch_blocks=micro, activation_bytes=2).values())
        if needed < budget:
            break
        micro //= 2
    return micro


def rate_after_warmup(ends: list[float], tokens_per_step: int) -> float:
    """Tokens per second from the end of the warm-up to the end of the last step."""
    gaps = np.diff(ends[WARMUP_STEPS - 1 :])
    return tokens_per_step / statistics.median(gaps.tolist())


def matmul_flops_per_second(device: torch.device, size: int = 8192) -> float:
    """The device's own best: large square products in bf16."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in "lr")
    fastest = float("inf")
    for _ in range(20):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        left @ right
        torch.cuda.synchronize(device)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest


def throughput(folder: Path, device: torch.device, ends_at: float) -> list[dict[str, Any]]:
    """A row a rung, as many as fit before `ends_at`."""
    store = random_store(
        folder, num_blocks=20_000, block_tokens=CONTEXT_TOKENS, vocab_size=VOCAB_SIZE
    )
    peak = matmul_flops_per_second(device)
    rows = []
    longest = 0.0
    for rung in RUNGS:
        started = time.perf_counter()
        if started + 1.5 * longest > ends_at:
            rows.append({"rung": rung, "left_out": "no time"})
            continue
        shape = rung_shape(rung, vocab_size=VOCAB_SIZE, context_tokens=CONTEXT_TOKENS)
        flops_per_token = training_flops(shape, CONTEXT_TOKENS) / CONTEXT_TOKENS
        row: dict[str, Any] = {"rung": rung, "micro_blocks": micro_blocks(rung, device)}
        sides: dict[str, Callable[[], float]] = {
            "eager": lambda rung=rung: ours(store, rung, device, compile=False, steps=14),
            "compiled": lambda rung=rung: ours(store, rung, device, compile=True, steps=14),
            "transformers": lambda rung=rung: theirs(store, rung, device, steps=14),
        }
        for name, side in sides.items():
            torch.cuda.reset_peak_memory_stats(device)
            try:
                row[f"{name}_tokens_per_second"] = round(side())
            except Exception as error:
                row[f"{name}_error"] = f"{type(error).__name__}: {error}"[:200]
            row[f"{name}_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 1)
            gc.collect()
            torch.cuda.empty_cache()
            torch.compiler.reset()
        best = max(row.get(f"{name}_tokens_per_second", 0) for name in ("eager", "compiled"))
        row["matmul_share"] = round(best * flops_per_token / peak, 3)
        if row.get("transformers_tokens_per_second"):
            row["ratio"] = round(best / row["transformers_tokens_per_second"], 2)
        rows.append(row)
        longest = max(longest, time.perf_counter() - started)
        print(json.dumps(row), flush=True)
    return [{"matmul_tflops": round(peak / 1e12, 1)}, *rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="of the whole, compiling included"
    )
    parser.add_argument("--correctness-only", action="store_true", help="runs on a CPU too")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    device = own_device()
    results: dict[str, Any] = {"device": device_facts(device, torch.bfloat16)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = random_store(
            folder / "small", num_blocks=2000, block_tokens=SMALL_CONTEXT, vocab_size=SMALL_VOCAB
        )
        results["correctness"] = Correctness(store, folder / "runs", device).all()
        for check, found in results["correctness"].items():
            print(f"{'ok  ' if found['ok'] else 'FAIL'} {check}: {json.dumps(found)}", flush=True)
        if not arguments.correctness_only:
            ends_at = started + 60 * arguments.minutes
            results["throughput"] = throughput(folder / "large", device, ends_at)
    results["seconds"] = round(time.perf_counter() - started, 1)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if not all(found["ok"] for found in results["correctness"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
