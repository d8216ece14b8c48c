"""The hand-written gradients equal those of the plain form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from gradatim.compute import Shape
from gradatim.model import fused
from gradatim.model.network import Network, rotary_turns, rotate

BOUNDARIES = [2, 3, 511, 512, 513, 514, 1023, 1024, 1025, 2048]


def some(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def some_tokens(num_blocks: int, num_positions: int, vocab_size: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, vocab_size, (num_blocks, num_positions), generator=generator)


def assert_same_gradients(actual: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    upstream = some(1, *actual.shape, seed=9).detach()[0]
    actual_grads = torch.autograd.grad(actual, inputs, upstream)
    expected_grads = torch.autograd.grad(expected, inputs, upstream)
    for one, other in zip(actual_grads, expected_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@given(num_positions=st.integers(1, 9), width=st.integers(1, 40), scale=st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_rms_norm(num_positions: int, width: int, scale: float) -> None:
    x, weight = some(2, num_positions, width), some(width, seed=1)
    scaled = x * scale
    actual = fused.rms_norm(scaled, weight, 1e-5)
    assert_same_gradients(actual, F.rms_norm(scaled, (width,), weight, 1e-5), [scaled, weight])


def test_rms_norm_of_zeros_is_zero() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    normed = fused.rms_norm(x, torch.ones(8), 1e-5)
    normed.sum().backward()
    assert (normed == 0).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@given(num_positions=st.integers(1, 9), width=st.integers(1, 20), mlp_width=st.integers(1, 30))
@settings(max_examples=15)
def test_gated_up(num_positions: int, width: int, mlp_width: int) -> None:
    x, weight = some(2, num_positions, width), some(2 * mlp_width, width, seed=1)
    gate, up = F.linear(x, weight).chunk(2, dim=-1)
    assert_same_gradients(fused.gated_up(x, weight), F.silu(gate) * up, [x, weight])


# Around the groups of 64 query rows, and the longest context the network sends there.
@given(
    num_blocks=st.integers(1, 3),
    num_positions=st.sampled_from([1, 2, 63, 64, 65, 127, 128, 129, 256]) | st.integers(1, 200),
    num_heads=st.integers(1, 4),
    head_width=st.integers(1, 16),
    is_turned=st.booleans(),
)
@example(num_blocks=1, num_positions=511, num_heads=3, head_width=8, is_turned=True)
@example(num_blocks=3, num_positions=512, num_heads=1, head_width=5, is_turned=False)
@example(num_blocks=1, num_positions=513, num_heads=2, head_width=4, is_turned=True)
@settings(max_examples=20)
def test_causal_attention(
    num_blocks: int, num_positions: int, num_heads: int, head_width: int, is_turned: bool
) -> None:
    width = head_width * num_heads
    turns = None
    if is_turned and head_width % 2 == 0:
        sizes = {"vocab_size": 2, "context_tokens": 513, "num_layers": 1}
        turns = rotary_turns(Shape(**sizes, width=width, num_heads=num_heads))[:num_positions]
    qkv = some(num_blocks, num_positions, 3 * width)
    q, k, v = qkv.view(num_blocks, num_positions, 3, num_heads, -1).unbind(2)
    if turns is not None:
        q, k = rotate(q, turns), rotate(k, turns)
    expected = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
    )
    actual = fused.causal_attention(qkv, num_heads, turns)
    assert_same_gradients(actual, expected.transpose(1, 2).flatten(2), [qkv])


# The rows of all blocks go 512 at a time, so a group begins and ends anywhere in a block, and may
# lie inside one.
@given(
    num_blocks=st.integers(1, 7),
    num_positions=st.sampled_from(BOUNDARIES) | st.integers(2, 700),
    vocab_size=st.integers(2, 90),
    width=st.integers(1, 20),
)
@example(num_blocks=1, num_positions=2048, vocab_size=300, width=8)
@example(num_blocks=3, num_positions=513, vocab_size=2, width=1)
@settings(max_examples=25)
def test_head_losses(num_blocks: int, num_positions: int, vocab_size: int, width: int) -> None:
    hidden, weight = some(num_blocks, num_positions, width), some(vocab_size, width, seed=1)
    tokens = some_tokens(num_blocks, num_positions, vocab_size)
    logits = (hidden @ weight.t())[:, :-1]
    losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    mean_loss, block_losses = fused.head_losses(hidden, weight, tokens)
    torch.testing.assert_close(block_losses, losses.mean(dim=1).detach())
    assert_same_gradients(mean_loss, losses.mean(), [hidden, weight])


def test_head_losses_of_the_most_unlikely_token_are_exact() -> None:
    hidden = torch.tensor([[[200.0], [200.0]]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    mean_loss, _ = fused.head_losses(hidden, weight, torch.tensor([[0, 1]]))
    assert mean_loss.item() == 400.0
    mean_loss.backward()
    assert hidden.grad is not None
    assert hidden.grad[0, 0].item() == 2.0


def losses_and_gradients(network: Network, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of each block, and the gradients of twice their mean."""
    network.zero_grad()
    mean_loss, block_losses = network.training_losses(tokens)
    (2 * mean_loss).backward()
    torch.testing.assert_close(mean_loss.detach(), block_losses.mean())
    grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert grads.keys() == dict(network.named_parameters()).keys()
    return block_losses, grads


@given(
    kind=st.sampled_from(["llama", "grouped", "gpt2"]),
    tied_embeddings=st.booleans(),
    num_positions=st.sampled_from([2, 7, 64, 256]) | st.integers(2, 140),
    num_blocks=st.integers(1, 5),
    num_heads=st.sampled_from([2, 4, 6]),
    vocab_size=st.integers(2, 300),
)
@example("llama", True, 511, 1, 2, 40)
@example("gpt2", True, 512, 3, 2, 40)
@example("llama", False, 513, 2, 2, 600)
@example("grouped", True, 1023, 1, 4, 40)
@example("gpt2", False, 1024, 1, 2, 300)
@example("llama", True, 1025, 3, 2, 17)
@example("llama", True, 2048, 1, 2, 40)
@settings(max_examples=15)
def test_the_whole_network_gives_the_same_losses_and_gradients_either_way(
    kind: str,
    tied_embeddings: bool,
    num_positions: int,
    num_blocks: int,
    num_heads: int,
    vocab_size: int,
) -> None:
    shape = Shape(
        family="gpt2" if kind == "gpt2" else "llama",
        vocab_size=vocab_size,
        context_tokens=num_positions,
        num_layers=2,
        width=8 * num_heads,
        num_heads=num_heads,
        num_kv_heads=num_heads // 2 if kind == "grouped" else num_heads,
        tied_embeddings=tied_embeddings,
    )
    network = Network(shape)
    tokens = some_tokens(num_blocks, num_positions, vocab_size)
    fused_losses, fused_grads = losses_and_gradients(network, tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "pays_on", lambda _: False)
        plain_losses, plain_grads = losses_and_gradients(network, tokens)
    torch.testing.assert_close(fused_losses, plain_losses)
    for name, plain in plain_grads.items():
        assert (fused_grads[name] - plain).norm() <= 1e-5 * plain.norm() + 1e-9, name


def test_the_same_batch_gives_the_same_bits() -> None:
    shape = Shape(vocab_size=300, context_tokens=64, num_layers=2, width=48, num_heads=3)
    tokens = torch.arange(256).view(4, 64)
    grads = []
    for _ in range(2):
        network = Network(shape)
        network.training_losses(tokens)[0].backward()
        grads.append([p.grad for p in network.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*grads, strict=True))  # type: ignore[arg-type]


def test_where_the_hand_written_form_is_used() -> None:
    assert fused.pays_on(torch.zeros(1))
    assert not fused.pays_on(torch.zeros(1, dtype=torch.bfloat16))
    assert not fused.pays_on(torch.zeros(1, device="meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not fused.pays_on(torch.zeros(1))
