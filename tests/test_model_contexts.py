"""The contexts of GPT-2 and Llama train on a CPU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from gradatim.compute import training_flops
from gradatim.train.run import train
from tiny_runs import SHAPE, TinyStore, tiny_spec


@pytest.mark.parametrize(("family", "context_tokens"), [("gpt2", 1024), ("llama", 2048)])
def test_a_long_context_trains(family: Any, context_tokens: int, tmp_path: Path) -> None:
    store = TinyStore(num_blocks=40, block_tokens=context_tokens)
    shape = SHAPE.model_copy(update={"family": family, "context_tokens": context_tokens})
    budget_flops = 5.5 * training_flops(shape, 3 * context_tokens)
    spec = tiny_spec(shape=shape, budget_flops=budget_flops, batch_blocks=3)
    record = train(spec, tmp_path, store)  # type: ignore[arg-type]
    assert record.is_finished
    losses = record.block_losses().reshape(5, 3)
    assert losses[0].mean() == pytest.approx(math.log(store.vocab_size), abs=0.05)
    assert losses[-1].mean() < losses[0].mean() - 0.01
