"""A network behind the door that difficulty scores come through: losses and top-k membership.

Axes: B blocks, T tokens, N = B · T.
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
from gradatim.model.losses import losses_and_ranks
from gradatim.model.network import Network


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
                self._network.last_hidden(tokens).flatten(0, 1),
                self._network.head_weight,
                tokens.roll(-1, dims=1).flatten(),  # a block's last is followed by nothing
                with_ranks=self._top_k is not None,
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


def _behind_the_first(values_N: Tensor, tokens_BT: NDArray[Any]) -> NDArray[Any]:
    """[B, T] what is known of the next token, put where that token stands; 0 at a block's first."""
    next_BT: NDArray[Any] = values_N.cpu().numpy().reshape(tokens_BT.shape)
    own_BT = np.zeros_like(next_BT)
    own_BT[:, 1:] = next_BT[:, :-1]
    return own_BT
