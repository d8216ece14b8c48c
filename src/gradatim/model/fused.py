"""Four pieces of the network with hand-written gradients, for training in float32 on a CPU.

On a narrow network the products are small and everything around them decides. Written plainly,
autograd keeps, copies and re-reads more than it must; each function here does the same arithmetic
in fewer passes over memory. What each one saves is measured in the documentation of the model
(LayerNorm and GELU have no such form: PyTorch's are single passes already). The network falls back
to plain PyTorch wherever `pays_on` says no: on accelerators and under `torch.compile`, whose own
fusion is better. Tests hold both ways equal.

Axes: N tokens of all blocks, B blocks, T positions, C width, H heads, D channels of a head, G heads
of all blocks, M width of the MLP, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gradatim.model.losses import losses_and_ranks

# Longer contexts go to PyTorch's flash attention, which does not keep the weights of attention.
MAX_ATTENTION_TOKENS = 512
_QUERY_ROWS = 64
_HEAD_ROWS = 512


def pays_on(hidden: Tensor) -> bool:
    """Whether the functions of this module are the faster way for a tensor."""
    return (
        hidden.device.type == "cpu"
        and hidden.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NC: Tensor, weight_C: Tensor, epsilon: float) -> Tensor:
        width = x_NC.shape[-1]
        norm_N1 = torch.linalg.vector_norm(x_NC, dim=-1, keepdim=True)
        scale_N1 = norm_N1.square_().div_(width).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x_NC, weight_C, scale_N1)
        normed_NC: Tensor = (x_NC * scale_N1).mul_(weight_C)
        return normed_NC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NC: Tensor) -> tuple[Tensor, Tensor, None]:
        x_NC, weight_C, scale_N1 = ctx.saved_tensors
        unit_NC = x_NC * scale_N1
        product_NC = grad_NC * unit_NC
        grad_weight_C = product_NC.sum(dim=tuple(range(product_NC.ndim - 1)))
        projection_N1 = product_NC.mul_(weight_C).mean(dim=-1, keepdim=True).neg_()
        grad_x_NC = (grad_NC * weight_C).addcmul_(unit_NC, projection_N1).mul_(scale_N1)
        return grad_x_NC, grad_weight_C, None


class _GatedUp(torch.autograd.Function):
    """Gate and up are made apart: side by side, each would be read with strides, half as fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x_NC, (gate_MC, up_MC) = x.flatten(0, -2), weight.chunk(2)
        gate_NM, up_NM = torch.mm(x_NC, gate_MC.t()), torch.mm(x_NC, up_MC.t())
        ctx.save_for_backward(x_NC, weight, gate_NM, up_NM)
        inner_NM = torch.nn.functional.silu(gate_NM).mul_(up_NM)
        return inner_NM.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x_NC, weight, gate_NM, up_NM = ctx.saved_tensors
        gate_MC, up_MC = weight.chunk(2)
        grad_NM = grad.flatten(0, -2)
        grad_gate_NM = grad_NM * up_NM
        torch.ops.aten.silu_backward.grad_input(grad_gate_NM, gate_NM, grad_input=grad_gate_NM)
        grad_up_NM = torch.nn.functional.silu(gate_NM).mul_(grad_NM)
        grad_x_NC = torch.mm(grad_gate_NM, gate_MC).addmm_(grad_up_NM, up_MC)
        grad_weight = torch.empty_like(weight)
        for grad_half_NM, grad_half_MC in zip(
            (grad_gate_NM, grad_up_NM), grad_weight.chunk(2), strict=True
        ):
            torch.mm(grad_half_NM.t(), x_NC, out=grad_half_MC)
        return grad_x_NC.view(*grad.shape[:-1], -1), grad_weight


def _as_pairs(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))


class _CausalAttention(torch.autograd.Function):
    """Rows of queries in groups, each against the keys it may see, all heads at once.

    Half of the score matrix is never computed; the weights are kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, num_heads: int, turns: Tensor | None) -> Tensor:
        num_blocks, num_positions, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        head_width = width // num_heads
        split = qkv.view(num_blocks, num_positions, 3, num_heads, head_width)
        split = split.permute(2, 0, 3, 1, 4)
        heads = torch.empty(split.shape)
        root_scale = head_width**-0.25  # on queries and on keys, so that scores come out scaled
        if turns is None:
            torch.mul(split[:2], root_scale, out=heads[:2])
        else:
            pair_turns = torch.view_as_complex(turns) * root_scale
            torch.mul(_as_pairs(split[:2]), pair_turns, out=_as_pairs(heads[:2]))
        heads[2].copy_(split[2])
        q_GTD, k_GTD, v_GTD = heads.flatten(1, 2).unbind(0)
        out = torch.empty(num_blocks, num_positions, num_heads, head_width)
        future = torch.full((_QUERY_ROWS, _QUERY_ROWS), float("-inf")).triu_(1)
        kept = []
        for start in range(0, num_positions, _QUERY_ROWS):
            end = min(start + _QUERY_ROWS, num_positions)
            keys_GDS = k_GTD[:, :end].transpose(1, 2)
            weights = torch.bmm(q_GTD[:, start:end], keys_GDS)
            weights[:, :, start:].add_(future[: end - start, : end - start])
            torch.softmax(weights, dim=-1, out=weights)
            mixed = torch.bmm(weights, v_GTD[:, :end])
            out[:, start:end] = mixed.view(num_blocks, num_heads, -1, head_width).transpose(1, 2)
            kept.append(weights)
        ctx.save_for_backward(q_GTD, k_GTD, v_GTD, turns, *kept)
        return out.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, None, None]:
        q_GTD, k_GTD, v_GTD, turns, *kept = ctx.saved_tensors
        num_blocks, num_positions, width = grad_out.shape
        head_width = q_GTD.shape[-1]
        grad_BHTD = grad_out.reshape(num_blocks, num_positions, -1, head_width).transpose(1, 2)
        grad_GTD = grad_BHTD.flatten(0, 1)
        grad_heads = torch.empty(3, *q_GTD.shape)
        grad_q, grad_k, grad_v = grad_heads
        grad_heads[1:].zero_()
        for group, weights in enumerate(kept):
            start, end = group * _QUERY_ROWS, group * _QUERY_ROWS + weights.shape[1]
            grad_rows = grad_GTD[:, start:end]
            grad_v[:, :end] += torch.bmm(weights.transpose(1, 2), grad_rows)
            grad_weights = torch.bmm(grad_rows, v_GTD[:, :end].transpose(1, 2))
            grad_scores = torch.ops.aten._softmax_backward_data.out(
                grad_weights, weights, -1, torch.float32, grad_input=grad_weights
            )
            grad_q[:, start:end] = torch.bmm(grad_scores, k_GTD[:, :end])
            grad_k[:, :end] += torch.bmm(grad_scores.transpose(1, 2), q_GTD[:, start:end])
        grad_qkv = torch.empty(num_blocks, num_positions, 3, width // head_width, head_width)
        target = grad_qkv.permute(2, 0, 3, 1, 4)
        source = grad_heads.view(target.shape)
        root_scale = head_width**-0.25
        if turns is None:
            torch.mul(source[:2], root_scale, out=target[:2])
        else:
            back_turns = torch.view_as_complex(turns).conj() * root_scale
            torch.mul(_as_pairs(source[:2]), back_turns, out=_as_pairs(target[:2]))
        target[2].copy_(source[2])
        return grad_qkv.flatten(2), None, None


class _HeadLosses(torch.autograd.Function):
    """Head product and cross-entropy, a few rows at a time, gradients taken on the way.

    The logits of all tokens never exist together: on a CPU, writing them out, and reading them
    again for each step of the loss, would cost more than the product that makes them.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_BTC: Tensor, weight_VC: Tensor, tokens_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        num_blocks, num_positions, width = hidden_BTC.shape
        targets_N = tokens_BT.roll(-1, dims=1).flatten()  # a block's last is put right below
        hidden_NC = hidden_BTC.flatten(0, 1)
        losses_N = torch.empty(targets_N.shape)
        grad_hidden_NC = torch.empty_like(hidden_NC)
        grad_weight_CV = torch.zeros(width, weight_VC.shape[0])
        scale = 1 / (num_blocks * (num_positions - 1))
        buffer = torch.empty(min(_HEAD_ROWS, len(targets_N)), weight_VC.shape[0])
        for start in range(0, len(targets_N), _HEAD_ROWS):
            rows = slice(start, min(start + _HEAD_ROWS, len(targets_N)))
            hidden, targets = hidden_NC[rows], targets_N[rows, None]
            logits = torch.mm(hidden, weight_VC.t(), out=buffer[: len(hidden)])
            probabilities = torch.softmax(logits, dim=-1, out=logits)
            chosen = probabilities.gather(1, targets)
            losses = chosen.log().neg_()
            if not torch.isfinite(losses).all():  # a probability too small for float32
                losses, _ = losses_and_ranks(hidden, weight_VC, targets[:, 0])
            losses_N[rows] = losses.flatten()
            grad_logits = probabilities.scatter_(1, targets, chosen - 1)
            # A block's last position has no target. These rows may hold none: an empty slice then.
            grad_logits[(num_positions - 1 - start) % num_positions :: num_positions] = 0
            grad_hidden = grad_hidden_NC[rows]
            torch.addmm(grad_hidden, grad_logits, weight_VC, beta=0, alpha=scale, out=grad_hidden)
            grad_weight_CV.addmm_(hidden.t(), grad_logits, alpha=scale)
        losses_B = losses_N.view(num_blocks, num_positions)[:, :-1].mean(dim=1)
        ctx.save_for_backward(grad_hidden_NC.view_as(hidden_BTC), grad_weight_CV)
        ctx.mark_non_differentiable(losses_B)
        return losses_B.mean(), losses_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden_BTC, grad_weight_CV = ctx.saved_tensors
        return grad_hidden_BTC * grad, grad_weight_CV.t() * grad, None


def rms_norm(x: Tensor, weight_C: Tensor, epsilon: float) -> Tensor:
    """RMSNorm over the last axis (arXiv 1910.07467)."""
    return _RmsNorm.apply(x, weight_C, epsilon)  # type: ignore[no-any-return, no-untyped-call]


def gated_up(x: Tensor, weight: Tensor) -> Tensor:
    """silu(gate) · up (SwiGLU, arXiv 2002.05202), both from one weight [2 M, C], gate first."""
    return _GatedUp.apply(x, weight)  # type: ignore[no-any-return, no-untyped-call]


def causal_attention(qkv: Tensor, num_heads: int, turns: Tensor | None) -> Tensor:
    """Causal self-attention [B, T, C] of queries, keys and values side by side [B, T, 3 C].

    Args:
        qkv: as many key-value heads as query heads.
        num_heads: of each third of the last axis.
        turns: cosine and sine [T, D/2, 2] that turn pairs of channels of queries and keys.
    """
    return _CausalAttention.apply(qkv, num_heads, turns)  # type: ignore[no-any-return, no-untyped-call]


def head_losses(hidden_BTC: Tensor, weight_VC: Tensor, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Mean next-token loss to backpropagate and, not differentiable, that of each block [B]."""
    return _HeadLosses.apply(hidden_BTC, weight_VC, tokens_BT)  # type: ignore[no-any-return, no-untyped-call]
