"""The network: a decoder-only transformer in one file, Llama-like or GPT-2-like from one shape.

Llama: RMSNorm, rotary positions, SwiGLU, grouped queries, no biases (arXiv 2302.13971). GPT-2:
LayerNorm, learned positions, GELU (tanh form), biases. Both normalise before each part. Queries,
keys and values are one product, and so are gate and up, because on a narrow network the number of
passes over memory decides, not the number of FLOPs; for the same reason four pieces have
hand-written gradients on a CPU (`gradatim.model.fused`), beside the plain form that is read here.

Axes: B blocks, T positions, C width, H query heads, K key-value heads, D channels of a head,
M width of the MLP, V vocabulary, N = B · T.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradatim.compute import Shape, parameter_counts
from gradatim.model import fused
from gradatim.model.losses import losses_and_ranks
from gradatim.model.weights import draw_weights, initial_std


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Nothing: `initialise` draws the weights."""


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """Nothing: `initialise` draws the weights."""


class Norm(nn.Module):
    """RMSNorm (llama) or LayerNorm (gpt2) over the channels."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.epsilon = shape.norm_epsilon
        self.weight = nn.Parameter(torch.ones(shape.width))
        self.bias = nn.Parameter(torch.zeros(shape.width)) if shape.family == "gpt2" else None

    def forward(self, hidden_BTC: Tensor) -> Tensor:
        if self.bias is not None:
            return F.layer_norm(hidden_BTC, self.weight.shape, self.weight, self.bias, self.epsilon)
        if fused.pays_on(hidden_BTC):
            return fused.rms_norm(hidden_BTC, self.weight, self.epsilon)
        return F.rms_norm(hidden_BTC, self.weight.shape, self.weight, self.epsilon)


class Attention(nn.Module):
    """Causal self-attention; queries, keys and values come out of one product."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        has_bias = shape.family == "gpt2"
        self.num_heads, self.num_kv_heads = shape.num_heads, shape.num_kv_heads
        self.head_width = shape.head_width
        self.qkv = _Linear(shape.width, shape.width + 2 * shape.kv_width, bias=has_bias)
        self.out = _Linear(shape.width, shape.width, bias=has_bias)

    def forward(self, normed_BTC: Tensor, turns: Tensor | None) -> Tensor:
        qkv = self.qkv(normed_BTC)
        is_grouped = self.num_kv_heads != self.num_heads
        is_short = normed_BTC.shape[1] <= fused.MAX_ATTENTION_TOKENS
        if is_short and not is_grouped and fused.pays_on(qkv):
            mixed_BTC = fused.causal_attention(qkv, self.num_heads, turns)
        else:
            heads = qkv.view(*qkv.shape[:2], -1, self.head_width)
            sizes = [self.num_heads, self.num_kv_heads, self.num_kv_heads]
            q_BTHD, k_BTKD, v_BTKD = torch.split(heads, sizes, dim=2)
            if turns is not None:
                q_BTHD, k_BTKD = rotate(q_BTHD, turns), rotate(k_BTKD, turns)
            mixed_BHTD = F.scaled_dot_product_attention(
                q_BTHD.transpose(1, 2),
                k_BTKD.transpose(1, 2),
                v_BTKD.transpose(1, 2),
                is_causal=True,
                enable_gqa=is_grouped,
            )
            mixed_BTC = mixed_BHTD.transpose(1, 2).flatten(2)
        out_BTC: Tensor = self.out(mixed_BTC)
        return out_BTC


class Mlp(nn.Module):
    """SwiGLU (llama, gate and up in one product) or GELU (gpt2)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.is_gated = shape.family == "llama"
        up_width = 2 * shape.mlp_width if self.is_gated else shape.mlp_width
        self.up = _Linear(shape.width, up_width, bias=not self.is_gated)
        self.down = _Linear(shape.mlp_width, shape.width, bias=not self.is_gated)

    def forward(self, normed_BTC: Tensor) -> Tensor:
        if self.is_gated and fused.pays_on(normed_BTC):
            inner_BTM = fused.gated_up(normed_BTC, self.up.weight)
        elif self.is_gated:
            gate_BTM, up_BTM = self.up(normed_BTC).chunk(2, dim=-1)
            inner_BTM = F.silu(gate_BTM) * up_BTM
        else:
            inner_BTM = F.gelu(self.up(normed_BTC), approximate="tanh")
        out_BTC: Tensor = self.down(inner_BTM)
        return out_BTC


class Layer(nn.Module):
    """Attention, then MLP, each on the normalised residual stream and added to it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = Norm(shape)
        self.attention = Attention(shape)
        self.mlp_norm = Norm(shape)
        self.mlp = Mlp(shape)

    def forward(self, hidden_BTC: Tensor, turns: Tensor | None) -> Tensor:
        attended_BTC = hidden_BTC + self.attention(self.attention_norm(hidden_BTC), turns)
        out_BTC: Tensor = attended_BTC + self.mlp(self.mlp_norm(attended_BTC))
        return out_BTC


class Network(nn.Module):
    """A language model of one shape, its weights drawn from a key.

    A tied network has no `head`; the embedding is used in its place.

    Args:
        shape: the sizes; the parameters are asserted against `parameter_counts(shape)`.
        key: of the initial weights, a run's (`streams.run_key`) or a seed (see `initialise`).
    """

    turns: Tensor | None

    def __init__(self, shape: Shape, *, key: int | str = 0) -> None:
        super().__init__()
        self.shape = shape
        is_gpt2, is_tied = shape.family == "gpt2", shape.tied_embeddings
        self.embedding = _Embedding(shape.vocab_size, shape.width)
        self.positions = _Embedding(shape.context_tokens, shape.width) if is_gpt2 else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.final_norm = Norm(shape)
        self.head = None if is_tied else _Linear(shape.width, shape.vocab_size, bias=False)
        turns = None if is_gpt2 else rotary_turns(shape)
        self.register_buffer("turns", turns, persistent=False)
        num_real = sum(parameter.numel() for parameter in self.parameters())
        num_counted = sum(parameter_counts(shape).values())
        assert num_real == num_counted, f"{num_real} parameters, but {num_counted} accounted for"
        initialise(self, key)

    @property
    def head_weight(self) -> Tensor:
        """The matrix [V, C] that turns the last hidden state into logits."""
        return self.embedding.weight if self.head is None else self.head.weight

    def _embed(self, tokens_BT: Tensor) -> tuple[Tensor, Tensor | None]:
        num_positions = tokens_BT.shape[1]
        assert num_positions <= self.shape.context_tokens, f"{num_positions} positions are too many"
        hidden_BTC: Tensor = self.embedding(tokens_BT)
        if self.positions is not None:
            hidden_BTC = hidden_BTC + self.positions.weight[:num_positions]
        return hidden_BTC, None if self.turns is None else self.turns[:num_positions]

    def hidden_states(self, tokens_BT: Tensor) -> list[Tensor]:
        """The residual stream [B, T, C] before the first layer and after each one."""
        hidden_BTC, turns = self._embed(tokens_BT)
        states = [hidden_BTC]
        for layer in self.layers:
            states.append(layer(states[-1], turns))
        return states

    def last_hidden(self, tokens_BT: Tensor) -> Tensor:
        """What the head reads [B, T, C]: the residual stream after the last layer, normalised."""
        hidden_BTC, turns = self._embed(tokens_BT)
        for layer in self.layers:
            hidden_BTC = layer(hidden_BTC, turns)
        last_BTC: Tensor = self.final_norm(hidden_BTC)
        return last_BTC

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, T, V] of the token after each position."""
        return F.linear(self.last_hidden(tokens_BT), self.head_weight)

    def next_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, V] of the token after the last position alone."""
        return F.linear(self.last_hidden(tokens_BT)[:, -1], self.head_weight)

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        """Loss in nats of tokens 1 to T-1, each given those before it: [B, T-1] float32."""
        hidden_NC = self.last_hidden(tokens_BT).flatten(0, 1)
        targets_N = tokens_BT.roll(-1, dims=1).flatten()
        losses_N, _ = losses_and_ranks(hidden_NC, self.head_weight, targets_N)
        return losses_N.view(tokens_BT.shape)[:, :-1]

    def training_losses(self, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss to backpropagate and, detached, the mean loss of each block [B], in nats.

        The mean over all tokens is the mean over blocks, for all blocks are equally long.
        """
        if torch.is_grad_enabled() and fused.pays_on(self.embedding.weight):
            return fused.head_losses(self.last_hidden(tokens_BT), self.head_weight, tokens_BT)
        losses_B = self.token_losses(tokens_BT).mean(dim=1)
        return losses_B.mean(), losses_B.detach()


def rotary_turns(shape: Shape) -> Tensor:
    """Cosine and sine [T, D/2, 2] of each position's and pair's turn (arXiv 2104.09864)."""
    exponents = torch.arange(0, shape.head_width, 2) / shape.head_width
    angles = torch.outer(torch.arange(shape.context_tokens), shape.rope_theta**-exponents)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def rotate(x_BTHD: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair of channels (2d, 2d + 1) by the angle of its position.

    Neighbours are paired, so that a pair is one complex number in memory; Hugging Face pairs
    (d, d + D/2), which is the same network with the rows of two matrices in another order.
    """
    cos, sin = turns[:, None].unbind(-1)
    even, odd = x_BTHD[..., 0::2], x_BTHD[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
    return turned.flatten(-2).to(x_BTHD.dtype)


_CHUNK_WEIGHTS = 2**18  # drawn at a time; not visible in the numbers


@torch.no_grad()
def initialise(network: Network, key: int | str) -> None:
    """Draw all weights anew, by key and name (`draw_weights`): the same bits everywhere.

    Norms start at one, biases at zero.
    """
    for name, parameter in network.named_parameters():
        if parameter.is_meta:
            continue
        if parameter.ndim < 2:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            continue
        num_layers = network.shape.num_layers
        std = initial_std(name, fan_in=parameter.shape[1], num_layers=num_layers)
        flat = parameter.view(-1)
        for start in range(0, len(flat), _CHUNK_WEIGHTS):
            chunk = flat[start : start + _CHUNK_WEIGHTS]
            chunk.copy_(torch.from_numpy(draw_weights(key, name, start, len(chunk), std=std)))
