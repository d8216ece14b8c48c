"""The groups of tensors a run consists of: kept over growth, put back, lent to an evaluation."""

from __future__ import annotations

import pytest
import torch

from gradatim.errors import RecordError
from gradatim.model.network import Network
from gradatim.record.spec import OptimizerSpec
from gradatim.train.state import State
from tiny_runs import SHAPE

SMALL = SHAPE.model_copy(update={"num_layers": 1})


def state_of(num_layers: int = 2, key: str = "1/tiny") -> State:
    shape = SHAPE.model_copy(update={"num_layers": num_layers})
    return State(shape, key=key, optimizer=OptimizerSpec(), device=torch.device("cpu"))


def take_step(state: State) -> None:
    tokens = torch.arange(32).view(2, 16) % SHAPE.vocab_size
    state.optimizer.forget_gradients()
    loss, _ = state.network.training_losses(tokens)
    loss.backward()
    state.optimizer.join_gradients()
    state.optimizer.update(0.01)


def copies(state: State) -> dict[tuple[str, str], torch.Tensor]:
    return {
        (group, name): tensor.detach().clone()
        for group, tensors in state.groups().items()
        for name, tensor in tensors.items()
    }


def test_the_groups_are_weights_moments_and_a_count() -> None:
    state = state_of()
    take_step(state)
    groups = state.groups()
    assert list(groups) == ["weights", "first_moment", "second_moment", "updates"]
    assert groups["first_moment"].keys() == groups["second_moment"].keys()
    assert groups["weights"].keys() == groups["first_moment"].keys()
    assert groups["updates"]["num_updates"].item() == 1


def test_growth_keeps_what_is_there_and_draws_the_rest_as_if_it_had_always_been() -> None:
    state = state_of(1)
    take_step(state)
    before = copies(state)
    state.reshape(SHAPE)
    after, fresh = copies(state), copies(state_of(2))
    assert state.network.training
    new = after.keys() - before.keys()
    assert {name for group, name in new if group == "weights"}
    for key, tensor in after.items():
        if key in before:
            assert torch.equal(tensor, before[key]), key
        elif key[0] == "weights":
            assert torch.equal(tensor, fresh[key]), key
        else:
            assert not tensor.any(), key
    take_step(state)
    assert any(not torch.equal(copies(state)[key], after[key]) for key in new)


def test_a_state_put_back_goes_on_with_the_same_bits() -> None:
    first, second = state_of(), state_of(key="2/tiny")
    take_step(first)
    second.restore(
        {
            group: {name: tensor.clone() for name, tensor in tensors.items()}
            for group, tensors in first.groups().items()
        }
    )
    for state in (first, second):
        take_step(state)
    expected = copies(first)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in copies(second).items())


def test_the_state_of_another_network_is_refused() -> None:
    with pytest.raises(RecordError, match=r"another network's state; got weights/"):
        state_of(2).restore(state_of(1).groups())


def test_an_evaluation_may_have_any_group_and_leaves_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = state_of()
    weights = copies(state)
    average = {n: torch.full_like(t, 0.5) for n, t in state.groups()["weights"].items()}
    own = State.groups
    monkeypatch.setattr(State, "groups", lambda self: {**own(self), "average": average})
    with state.network_with("average") as network:
        assert isinstance(network, Network)
        assert all((p == 0.5).all() for p in network.parameters())
    monkeypatch.undo()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in copies(state).items())
    with state.network_with() as network:
        assert network is state.network
