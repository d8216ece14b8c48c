"""What an objective timeline means to the network: the loss to follow, and that of each block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradatim.model.network import Network
from gradatim.record.spec import RunSpec

LossFunction = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""Tokens [b, T] and progress to the mean loss to follow and, detached, each block's in nats [b]."""


def next_token(network: Network, spec: RunSpec) -> LossFunction:
    """Cross-entropy of the next token."""
    losses = network.training_losses
    if spec.compile:
        losses = torch.compile(losses)
    return lambda tokens_bT, progress: losses(tokens_bT)


OBJECTIVES: dict[str, Callable[[Network, RunSpec], LossFunction]] = {"next_token": next_token}
"""By the kind of the objective timeline; made anew whenever the network is another."""
