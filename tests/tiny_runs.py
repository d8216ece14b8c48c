"""A store in memory and a network of a few thousand weights: a whole run in a second."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradatim.blocks.columns import Labels
from gradatim.compute import Shape, forward_flops, training_flops
from gradatim.model.network import Network
from gradatim.recipe import Recipe
from gradatim.record.spec import Operation, RunSpec, StoreReference

BLOCK_TOKENS = 16
VOCAB_SIZE = 64
SHAPE = Shape(
    vocab_size=VOCAB_SIZE, context_tokens=BLOCK_TOKENS, num_layers=2, width=16, num_heads=2
)
BATCH_BLOCKS = 4


@dataclasses.dataclass
class TinyStore:
    """Blocks whose token range grows with their reading age; the surface of a real store."""

    num_blocks: int = 300
    fingerprint: str = "tiny"
    block_tokens: int = BLOCK_TOKENS
    vocab_size: int = VOCAB_SIZE
    separator_id: int = 0
    difficulty_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        self.reading_age = np.linspace(5, 18, self.num_blocks, dtype=np.float32)
        widest = np.linspace(8, self.vocab_size, self.num_blocks)[:, None]
        self.tokens = (random.random((self.num_blocks, self.block_tokens)) * widest).astype(
            np.uint16
        )

    def ids(self, split: str) -> NDArray[np.uint32]:
        ids = np.arange(self.num_blocks, dtype=np.uint32)
        return ids[ids % 10 == 9] if split == "held_out" else ids[ids % 10 != 9]

    def column(self, name: str, split: str | None = None) -> Any:
        columns = {
            "reading_age": self.reading_age,
            "flesch_reading_ease": 100 - self.reading_age,
            "flesch_kincaid_grade": self.reading_age - 5,
        }
        return columns[name] if split is None else columns[name][self.ids(split)]

    def labels(self, name: str, split: str | None = None) -> Labels:
        num_blocks = self.num_blocks if split is None else len(self.ids(split))
        names = {"level": "", "source": "tiny"}
        return Labels((names[name],), np.zeros(num_blocks, np.uint8))

    def bands(self, num_bands: int, split: str | None = None) -> NDArray[np.int64]:
        bands = np.arange(self.num_blocks) * num_bands // self.num_blocks + 1
        return bands if split is None else bands[self.ids(split)]

    def read(self, block_ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        return self.tokens[block_ids].astype(np.int64)

    def text(self, block_id: int) -> str:
        return f"text of block {block_id}"


class HeldOutLoss:
    """An evaluator small enough for a test: held-out loss in place of bits per byte."""

    def __init__(self, store: TinyStore) -> None:
        self.tokens_BT = store.read(store.ids("held_out"))
        self.points: list[float] = []

    def __call__(self, network: Network, progress: float) -> list[dict[str, Any]]:
        self.points.append(progress)
        with torch.no_grad():
            loss = network.token_losses(torch.from_numpy(self.tokens_BT)).mean().item()
        events: list[dict[str, Any]] = [{"event": "evaluate", "bits_per_byte": {"all": loss}}]
        if progress == 1.0:
            events.append({"event": "sample", "prompt": "a", "text": "b"})
        return events

    def num_tokens(self, progress: float) -> int:
        return self.tokens_BT.size


def tiny_spec(num_steps: int = 40, data: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    """A run of so many steps over the tiny store."""
    flops_per_step = training_flops(SHAPE, BATCH_BLOCKS * BLOCK_TOKENS)
    recipe = {"data": data or {"kind": "ceiling"}, "rate": {"kind": "cosine"}}
    operation = {name: changes.pop(name) for name in Operation.model_fields if name in changes}
    settings: dict[str, Any] = {
        "operation": {"arm": "ceiling", **operation},
        "store": StoreReference(path="nowhere", fingerprint="tiny"),
        "rung": "tiny",
        "seed": 1,
        "shape": SHAPE,
        "recipe": Recipe.model_validate(recipe),
        "budget_flops": (num_steps + 0.5) * flops_per_step,
        "batch_blocks": BATCH_BLOCKS,
        "evaluation": {"num_points": 4, "num_samples": 1},
    }
    return RunSpec.model_validate(settings | changes)


def evaluation_flops(store: TinyStore) -> float:
    """What one evaluation of `HeldOutLoss` costs."""
    return sum(forward_flops(SHAPE, store.read(store.ids("held_out")).size).values())


def files_of(folder: Path) -> dict[str, bytes]:
    """What must be the same bytes for the same seed."""
    return {
        name: (folder / name).read_bytes() for name in ("events.jsonl", "blocks.bin", "losses.bin")
    }
