"""Sampling: one token after the other from what the network expects next."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gradatim.model.network import Network


@torch.no_grad()
def generate(
    network: Network,
    prompt_ids: Sequence[int],
    *,
    num_tokens: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[int]:
    """The prompt and `num_tokens` tokens after it.

    The network sees the last `context_tokens` tokens, computed afresh for each new one: simple, and
    quick enough for the short samples of small networks.

    Args:
        network: any device.
        prompt_ids: at least one token.
        num_tokens: how many to add.
        temperature: divides the logits; 0 takes the likeliest token each time.
        generator: of the draws, on the CPU whatever the network's device.
    """
    assert len(prompt_ids) > 0, "a network needs one token to start from"
    ids = list(prompt_ids)
    device = network.embedding.weight.device
    for _ in range(num_tokens):
        window = torch.tensor([ids[-network.shape.context_tokens :]], device=device)
        logits_V = network.next_token_logits(window)[0].float().cpu()
        if temperature == 0:
            ids.append(int(logits_V.argmax()))
        else:
            probabilities_V = torch.softmax(logits_V / temperature, dim=-1)
            ids.append(int(torch.multinomial(probabilities_V, 1, generator=generator)))
    return ids
