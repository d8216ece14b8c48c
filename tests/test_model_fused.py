"""The hand-written gradients equal those of the plain form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from gradatim.compute import Shape
from gradatim.model import fused
from gradatim.model.network import Network, rotary_turns, rotate


def some(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_same_gradients(actual: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    upstream = some(1, *actual.shape, seed=9).detach()[0]
    actual_grads = torch.autograd.grad(actual, inputs, upstream)
    expected_grads = torch.autograd.grad(expected, inputs, upstream)
    for one, other in zip(actual_grads, expected_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@given(num_positions=st.integers(1, 9), width=st.integers(1, 40), scale=st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=25)
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


def test_gated_up() -> None:
    x, weight = some(2, 5, 12), some(48, 12, seed=1)
    gate, up = F.linear(x, weight).chunk(2, dim=-1)
    assert_same_gradients(fused.gated_up(x, weight), F.silu(gate) * up, [x, weight])


@pytest.mark.parametrize("num_positions", [1, 2, 63, 64, 65, 130, 256])
@pytest.mark.parametrize("is_turned", [True, False])
def test_causal_attention(num_positions: int, is_turned: bool) -> None:
    shape = Shape(
        vocab_size=2, context_tokens=max(2, num_positions), num_layers=1, width=24, num_heads=3
    )
    turns = rotary_turns(shape)[:num_positions] if is_turned else None
    qkv = some(2, num_positions, 72)
    q, k, v = qkv.view(2, num_positions, 3, 3, 8).unbind(2)
    if turns is not None:
        q, k = rotate(q, turns), rotate(k, turns)
    expected = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
    )
    actual = fused.causal_attention(qkv, 3, turns)
    assert_same_gradients(actual, expected.transpose(1, 2).flatten(2), [qkv])


# 200 positions and 7 blocks: groups of 512 rows begin and end inside blocks.
@pytest.mark.parametrize(("num_blocks", "num_positions"), [(1, 2), (3, 5), (7, 200), (2, 513)])
def test_head_losses(num_blocks: int, num_positions: int) -> None:
    hidden, weight = some(num_blocks, num_positions, 16), some(50, 16, seed=1)
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, 50, (num_blocks, num_positions), generator=generator)
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


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("tied_embeddings", [True, False])
@pytest.mark.parametrize("num_positions", [7, 100, 256])
def test_the_whole_network_gives_the_same_gradients_either_way(
    family: Any, tied_embeddings: bool, num_positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape(
        family=family,
        vocab_size=300,
        context_tokens=256,
        num_layers=2,
        width=48,
        num_heads=3,
        tied_embeddings=tied_embeddings,
    )
    network = Network(shape)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, 300, (3, num_positions), generator=generator)

    def losses_and_gradients() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        network.zero_grad()
        mean_loss, block_losses = network.training_losses(tokens)
        (2 * mean_loss).backward()
        grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        return mean_loss.detach(), block_losses, grads

    fused_loss, fused_blocks, fused_grads = losses_and_gradients()
    monkeypatch.setattr(fused, "pays_on", lambda _: False)
    plain_loss, plain_blocks, plain_grads = losses_and_gradients()
    torch.testing.assert_close(fused_loss, plain_loss)
    torch.testing.assert_close(fused_blocks, plain_blocks)
    assert fused_grads.keys() == plain_grads.keys() == dict(network.named_parameters()).keys()
    for name, plain in plain_grads.items():
        assert (fused_grads[name] - plain).norm() < 1e-5 * plain.norm(), name


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
