"""Cross-entropy of targets from the last hidden states: the one form, but for the fused training.

Axes: N rows (tokens of all blocks), C width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CPU_LOGITS, ACCELERATOR_LOGITS = 2**20, 2**28
"""Logits held at a time: what a processor's cache holds, or what keeps an accelerator busy."""


def losses_and_ranks(
    hidden_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, *, with_ranks: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Of each row's target: its loss in nats [N] and how many logits exceed its own [N], float32.

    Whether a token is among the k most probable needs no sorting: it is when its rank is below k; a
    tie counts for the token. Without gradients (and ranks have none) the logits are made and used a
    few rows at a time, and those of all rows never exist.
    """
    assert not (with_ranks and torch.is_grad_enabled()), "ranks are taken without gradients"
    num_rows = len(targets_N)
    if not torch.is_grad_enabled():
        num_logits = CPU_LOGITS if hidden_NC.device.type == "cpu" else ACCELERATOR_LOGITS
        num_rows = max(1, num_logits // len(weight_VC))
    losses, ranks = [], []
    for hidden, targets in zip(
        torch.split(hidden_NC, num_rows), torch.split(targets_N, num_rows), strict=True
    ):
        logits = F.linear(hidden, weight_VC).float()
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
        if with_ranks:
            # In place as float: a sum of booleans is widened to int64 first and takes several times
            # as long; counts below 2^24 are exact.
            ranks.append(logits.gt_(logits.gather(1, targets[:, None])).sum(dim=1))
    return torch.cat(losses), torch.cat(ranks) if with_ranks else None
