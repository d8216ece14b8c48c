"""A network behind the door that difficulty scores come through: losses and top-k membership.

Whether a token is among the k most probable needs no sorting: it is when fewer than k logits exceed
its own. So head product, loss and rank are taken together, some rows at a time while the logits
are still in the cache; the logits of a whole batch never exist. A tie counts for the token.

Axes: B blocks, T tokens, N = B · T, C width, V vocabulary.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradatim.compute import forward_flops
from gradatim.difficulty.model_scores import TokenLosses
from gradatim.model.network import Network

CPU_LOGITS, ACCELERATOR_LOGITS = 2**19, 2**28
"""Logits held at a time: what a processor's cache holds, or what keeps an accelerator busy."""


class NetworkScorer:
    """A `TokenScorer`: token losses of a network, on the device it lies on.

    Args:
        network: left in the mode it is in; it has none that matters to its losses.
        separator_id: the token whose prediction does not count.
        top_k: k of the membership; None leaves it out.
        dtype: of matrix products; losses and ranks are float32 in any case.
    """

    def __init__(
        self,
        network: Network,
        *,
        separator_id: int,
        top_k: int | None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._network = network
        self._separator_id = separator_id
        self._top_k = top_k
        self._dtype = dtype

    def scoring_flops(self, num_blocks: int, block_tokens: int) -> float:
        """What the forward passes over so many blocks cost."""
        num_tokens = num_blocks * block_tokens
        parts = forward_flops(self._network.shape, num_tokens, context_tokens=block_tokens)
        return sum(parts.values())

    def token_losses(self, tokens_BT: NDArray[np.integer[Any]]) -> TokenLosses:
        """Loss of every token, and whether it is in the top k; a block's first is not predicted."""
        device = next(self._network.parameters()).device
        tokens = torch.from_numpy(tokens_BT.astype(np.int64, copy=False)).to(device)
        with torch.inference_mode(), self._precision(device):
            losses_N, ranks_N = losses_and_ranks(
                self._network, tokens, with_ranks=self._top_k is not None
            )
        is_in_top_k = None
        if ranks_N is not None and self._top_k is not None:
            is_in_top_k = _behind_the_first(ranks_N < self._top_k, tokens_BT)
        is_predicted = tokens_BT != self._separator_id
        is_predicted[:, 0] = False
        return TokenLosses(_behind_the_first(losses_N, tokens_BT), is_predicted, is_in_top_k)

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self._dtype)


def losses_and_ranks(
    network: Network, tokens_BT: Tensor, *, with_ranks: bool
) -> tuple[Tensor, Tensor | None]:
    """Of the token after each position: its loss in nats [N], and how many logits exceed its own.

    The last position of a block is followed by nothing; what stands there means nothing. Call it
    without gradients.
    """
    hidden_NC = network.last_hidden(tokens_BT).flatten(0, 1)
    weight_CV = network.head_weight.t()
    targets_N = tokens_BT.roll(-1, dims=1).flatten()
    num_targets, vocab_size = len(targets_N), weight_CV.shape[1]
    on_cpu = hidden_NC.device.type == "cpu"
    num_rows = max(1, (CPU_LOGITS if on_cpu else ACCELERATOR_LOGITS) // vocab_size)
    losses_N = hidden_NC.new_empty(num_targets, dtype=torch.float32)
    ranks_N = torch.empty_like(losses_N) if with_ranks else None
    is_above = losses_N.new_empty(min(num_rows, num_targets), vocab_size) if with_ranks else None
    for start in range(0, num_targets, num_rows):
        rows = slice(start, start + num_rows)
        logits = torch.mm(hidden_NC[rows], weight_CV).float()
        targets = logits.gather(1, targets_N[rows, None])
        if ranks_N is not None and is_above is not None:
            # As float, for a sum of booleans is widened to int64 first and takes several times as
            # long; counts below 2^24 are exact.
            torch.gt(logits, targets, out=is_above[: len(logits)])
            torch.sum(is_above[: len(logits)], dim=1, out=ranks_N[rows])
        losses_N[rows] = torch.logsumexp(logits, dim=1) - targets[:, 0]
    return losses_N, ranks_N


def _behind_the_first(values_N: Tensor, tokens_BT: NDArray[Any]) -> NDArray[Any]:
    """[B, T] what is known of the next token, put where that token stands; 0 at a block's first."""
    next_BT: NDArray[Any] = values_N.cpu().numpy().reshape(tokens_BT.shape)
    own_BT = np.zeros_like(next_BT)
    own_BT[:, 1:] = next_BT[:, :-1]
    return own_BT
