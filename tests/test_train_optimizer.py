from __future__ import annotations

import pytest
import torch
from torch import nn

from gradatim.record.spec import OptimizerSpec
from gradatim.train.optimizer import AdamW


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def backward(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    network.zero_grad()
    network(torch.randn(5, 3, generator=generator)).square().mean().backward()


def reference_step(
    weights: torch.Tensor, gradient: torch.Tensor, rate: float, decay: float
) -> torch.Tensor:
    """The first AdamW step written out: both moments' bias corrections cancel."""
    return weights * (1 - rate * decay) - rate * gradient / (gradient.abs() + 1e-8)


def take_step(network: nn.Module, optimizer: AdamW, seed: int, rate: float = 0.01) -> float:
    optimizer.forget_gradients()
    backward(network, seed)
    optimizer.join_gradients()
    return optimizer.update(rate).item()


def test_the_first_step_is_adamw_with_decay_on_matrices_only() -> None:
    network = small_network()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = AdamW(network, OptimizerSpec(weight_decay=0.3, clip_norm=None))
    take_step(network, optimizer, seed=1)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        decay = 0.3 if parameter.ndim == 2 else 0.0
        expected = reference_step(before[name], parameter.grad, 0.01, decay)
        torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("clip_norm", [None, 0.05, 100.0])
def test_ten_steps_are_those_of_torch(clip_norm: float | None) -> None:
    ours, theirs = small_network(), small_network()
    settings = OptimizerSpec(betas=(0.8, 0.9), epsilon=1e-6, weight_decay=0.3, clip_norm=clip_norm)
    optimizer = AdamW(ours, settings)
    groups = [
        {"params": [p for p in theirs.parameters() if (p.ndim == 2) == has_decay],
         "weight_decay": 0.3 * has_decay}
        for has_decay in (True, False)
    ]  # fmt: skip
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    for seed in range(10):
        reference.zero_grad()
        backward(theirs, seed)
        bound = float("inf") if clip_norm is None else clip_norm
        norm = nn.utils.clip_grad_norm_(theirs.parameters(), bound)
        reference.step()
        assert take_step(ours, optimizer, seed) == pytest.approx(norm.item(), rel=1e-4)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_weights_are_views_of_one_vector_and_keep_their_values() -> None:
    network, untouched = small_network(), small_network()
    AdamW(network, OptimizerSpec())
    storages = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    assert len(storages) == 1
    for mine, other in zip(network.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_an_optimizer_with_anothers_state_goes_on_with_the_same_bits() -> None:
    networks = small_network(), small_network()
    first = AdamW(networks[0], OptimizerSpec())
    for seed in range(3):
        take_step(networks[0], first, seed)
    networks[1].load_state_dict(networks[0].state_dict())
    second = AdamW(networks[1], OptimizerSpec())
    found = first.groups()
    for group, tensors in second.groups().items():
        for name, tensor in tensors.items():
            tensor.copy_(found[group][name])
    for network, optimizer in zip(networks, (first, second), strict=True):
        for seed in range(3, 6):
            take_step(network, optimizer, seed)
    for mine, other in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(mine, other)
