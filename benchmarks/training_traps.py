"""What makes training on a small machine slow without anybody noticing, each as rows of numbers.

How processes share a machine has its own benchmark, `processes.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from gradatim.blocks.store import Store
from gradatim.compute import rung_shape, training_flops
from gradatim.recipe import Recipe
from gradatim.record.spec import Operation, RunSpec, StoreReference
from gradatim.train.layout import Layout
from gradatim.train.state import State
from gradatim.train.stepper import Stepper

Rows = list[dict[str, Any]]

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
clock: Callable[[], float] = time.perf_counter  # processor time where others use the machine too

RUNG = "200k"
BATCH_BLOCKS = 8
CPU = torch.device("cpu")


def stepper_of(
    store: Store, *, rung: str = RUNG, precision: str = "float32", compile: bool = False
) -> Stepper:
    """A network of this rung and its optimizer on one process."""
    shape = rung_shape(rung, vocab_size=store.vocab_size, context_tokens=store.block_tokens)
    spec = RunSpec(
        store=StoreReference(path="", fingerprint=store.fingerprint),
        rung=rung,
        seed=0,
        shape=shape,
        recipe=Recipe(),
        budget_flops=training_flops(shape, BATCH_BLOCKS * store.block_tokens),
        batch_blocks=BATCH_BLOCKS,
        precision=precision,  # type: ignore[arg-type]
        compile=compile,
        operation=Operation(arm="uniform"),
    )
    state = State(shape, key="0", optimizer=spec.optimizer, device=CPU)
    return Stepper(state, spec, Layout(0, 1, CPU))


def batches(store: Store) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """Endless random batches."""
    random = np.random.default_rng(0)
    while True:
        yield store.read(random.integers(0, store.num_blocks, BATCH_BLOCKS))


def step_seconds(stepper: Stepper, store: Store, *, num_steps: int = 8) -> float:
    """Median seconds of a step after one that warms up."""
    seconds = []
    for _, tokens_BT in zip(range(num_steps + 1), batches(store), strict=False):
        started = clock()
        stepper.gradients(tokens_BT, 0.0, batch_blocks=len(tokens_BT))()
        stepper.update(1e-3)
        seconds.append(clock() - started)
    return statistics.median(seconds[1:])


def in_turns(contestants: dict[str, Callable[[], float]], *, rounds: int = 3) -> dict[str, float]:
    """Median of each contestant over rounds of A B A B."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(contestant())
    return {name: statistics.median(values) for name, values in found.items()}


def rows_of(tokens_per_second: dict[str, float]) -> Rows:
    """A row a contestant, relative to the first."""
    first = next(iter(tokens_per_second.values()))
    return [
        {"how": name, "tokens_per_second": round(rate), "relative": round(rate / first, 3)}
        for name, rate in tokens_per_second.items()
    ]


def denormals(store: Store) -> Rows:
    """Embeddings tied to the head and drawn from N(0, 1), with and without flushing.

    At width 96 a token's own logit is 96 above the others', whose probabilities are denormal.
    """

    def rate(std: float | None, is_flushing: bool) -> float:
        torch.set_flush_denormal(is_flushing)
        stepper = stepper_of(store, rung="500k")
        if std is not None:
            torch.nn.init.normal_(stepper.network.embedding.weight, std=std)
        return BATCH_BLOCKS * store.block_tokens / step_seconds(stepper, store, num_steps=4)

    found = in_turns(
        {
            "our start, flushed": lambda: rate(None, True),
            "our start, not flushed": lambda: rate(None, False),
            "N(0, 1), flushed": lambda: rate(1.0, True),
            "N(0, 1), not flushed": lambda: rate(1.0, False),
        }
    )
    torch.set_flush_denormal(True)
    return rows_of(found)


def precision(store: Store) -> Rows:
    """bf16 autocast on a processor against float32."""
    tokens = BATCH_BLOCKS * store.block_tokens
    steppers = {name: stepper_of(store, precision=name) for name in ("float32", "bfloat16")}
    return rows_of(
        in_turns(
            {
                name: (lambda s=stepper: tokens / step_seconds(s, store))  # type: ignore[misc]
                for name, stepper in steppers.items()
            }
        )
    )


class _Rows(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, store: Store) -> None:
        self.tokens = store.tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.tokens[row].astype(np.int64))


def reading(store: Store) -> Rows:
    """One fancy-indexed read of the memory map, row by row, and loader worker processes."""
    order = np.random.default_rng(0).permutation(store.num_blocks)
    parts = np.array_split(order, store.num_blocks // 32)

    def rate_of(read_all: Callable[[], None]) -> float:
        started = clock()
        read_all()
        return store.tokens.size / (clock() - started)

    def fancy() -> None:
        for part in parts:
            torch.from_numpy(store.read(part))

    def row_by_row() -> None:
        for part in parts:
            torch.stack([torch.from_numpy(store.tokens[row].astype(np.int64)) for row in part])

    def loader(num_workers: int) -> None:
        for _ in torch.utils.data.DataLoader(
            _Rows(store), batch_size=32, shuffle=True, num_workers=num_workers
        ):
            pass

    return rows_of(
        in_turns(
            {
                "one fancy-indexed read a batch": lambda: rate_of(fancy),
                "row by row": lambda: rate_of(row_by_row),
                "DataLoader, no workers": lambda: rate_of(lambda: loader(0)),
                "DataLoader, 2 workers": lambda: rate_of(lambda: loader(2)),
            }
        )
    )


def compiling(store: Store) -> Rows:
    """torch.compile on and off, with the seconds of its warm-up."""
    tokens = BATCH_BLOCKS * store.block_tokens
    eager, compiled = stepper_of(store), stepper_of(store, compile=True)
    started = clock()
    step_seconds(compiled, store, num_steps=1)
    warmup_seconds = clock() - started
    rows = rows_of(
        in_turns(
            {
                "eager": lambda: tokens / step_seconds(eager, store),
                "compiled": lambda: tokens / step_seconds(compiled, store),
            }
        )
    )
    rows[0]["warmup_seconds"], rows[1]["warmup_seconds"] = 0.0, round(warmup_seconds, 1)
    return rows


TRAPS: dict[str, Callable[[Store], Rows]] = {
    "denormals": denormals,
    "precision": precision,
    "reading": reading,
    "compiling": compiling,
}
