"""Text a network goes on with, from the first words of held-out blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gradatim.blocks.store import Store
from gradatim.model.generate import generate
from gradatim.model.network import Network


@dataclass(frozen=True)
class Sample:
    """A prompt and what the network made of it."""

    prompt: str
    text: str


def sample_texts(
    network: Network,
    store: Store,
    prompts: Sequence[Sequence[int]],
    *,
    num_tokens: int = 60,
    temperature: float = 0.7,
    seed: int = 0,
) -> list[Sample]:
    """Continue every prompt by up to `num_tokens` tokens; the same seed gives the same text.

    A sample ends where the network ends the passage.
    """
    samples = []
    for index, prompt_ids in enumerate(prompts):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        continued = generate(
            network,
            list(prompt_ids),
            num_tokens=num_tokens,
            temperature=temperature,
            generator=generator,
        )
        new_ids = list(continued)[len(prompt_ids) :]
        if store.separator_id in new_ids:
            new_ids = new_ids[: new_ids.index(store.separator_id)]
        samples.append(
            Sample(
                prompt=store.tokenizer.decode(list(prompt_ids)),
                text=store.tokenizer.decode(new_ids),
            )
        )
    return samples
