"""Initial weights as they were drawn before they were drawn by name: one generator for all.

It serves to show that nothing but the initial weights changed.
"""

from __future__ import annotations

import math

import torch

from gradatim.model.network import Network

_EMBEDDING_STD = 0.02


@torch.no_grad()
def initialise_sequentially(network: Network, seed: int) -> None:
    """Draw all weights anew from a seed, one parameter after the other."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.is_meta:
            continue
        if parameter.ndim < 2:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            continue
        is_embedding = name.startswith(("embedding.", "positions."))
        std = _EMBEDDING_STD if is_embedding else math.sqrt(2 / (5 * parameter.shape[1]))
        if name.endswith(("attention.out.weight", "mlp.down.weight")):
            std /= math.sqrt(2 * network.shape.num_layers)
        bound = math.sqrt(3) * std
        uniform = torch.rand(parameter.shape, generator=generator)
        parameter.copy_(uniform.mul_(2 * bound).sub_(bound))
