"""The rate after growth: two rates in the optimizer, and runs that warm up once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradatim.compute import default_peak_rate
from gradatim.errors import SpecError
from gradatim.recipe import Recipe
from gradatim.record import tables
from gradatim.record.spec import OptimizerSpec, RunSpec
from gradatim.timelines.rate import rate_factor
from gradatim.timelines.rate.rewarmup import Rewarmup
from gradatim.train.checkpoint import read_checkpoint
from gradatim.train.optimizer import AdamW
from gradatim.train.run import train
from tiny_runs import SHAPE, HeldOutLoss, TinyStore, files_of, tiny_spec

NEW = {"steps": 4, "scope": "new", "factor": 1.3}


pytestmark = pytest.mark.usefixtures("changing_costs_allowed")


@pytest.fixture
def store() -> Any:
    return TinyStore()


def growing_spec(rewarmup: dict[str, Any] | None, num_steps: int = 20, **changes: Any) -> RunSpec:
    recipe = {
        "data": {"kind": "ceiling", "ramp": 0.4},
        "network": {"kind": "grows", "at": 0.5},
        "rate": {"kind": "constant", "rewarmup": rewarmup},
    }
    return tiny_spec(num_steps, recipe=Recipe.model_validate(recipe), **changes)


# The rule and the optimizer


def test_the_rule_follows_a_table_worked_out_by_hand() -> None:
    everything, new = Rewarmup(steps=4), Rewarmup.model_validate(NEW)
    middles = [0.5, 1.5, 2.5, 3.5, 4.5]
    assert [everything.factors(at) for at in middles] == [
        (0.125, 0.125), (0.375, 0.375), (0.625, 0.625), (0.875, 0.875), (1, 1),
    ]  # fmt: skip
    assert [new.factors(at)[0] for at in middles] == [1] * 5
    rising = [new.factors(at)[1] for at in middles]
    assert rising == pytest.approx([0.1625, 0.4875, 0.8125, 1.1375, 1])


def network_and_optimizer() -> tuple[nn.Module, AdamW]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    settings = OptimizerSpec(betas=(0.8, 0.9), epsilon=1e-6, weight_decay=0.3, clip_norm=None)
    return network, AdamW(network, settings)


def step(network: nn.Module, optimizer: AdamW, seed: int, **rates: Any) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer.forget_gradients()
    network(torch.randn(5, 3, generator=generator)).square().mean().backward()
    optimizer.join_gradients()
    optimizer.update(0.01, **rates)


def test_steps_at_two_rates_are_those_of_torch() -> None:
    ours, optimizer = network_and_optimizer()
    theirs, _ = network_and_optimizer()
    optimizer.new = frozenset({"2.weight", "2.bias"})
    groups = [
        {"params": [parameter], "lr": 0.05 if name in optimizer.new else 0.01,
         "weight_decay": 0.3 if parameter.ndim == 2 else 0.0}
        for name, parameter in theirs.named_parameters()
    ]  # fmt: skip
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.9), eps=1e-6)
    for seed in range(6):
        step(ours, optimizer, seed, rate_of_new=0.05)
        generator = torch.Generator().manual_seed(seed)
        reference.zero_grad()
        theirs(torch.randn(5, 3, generator=generator)).square().mean().backward()
        reference.step()
    assert optimizer.groups()["updates"]["num_updates"].item() == 6
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_norm_of_a_change_is_measured_where_it_is_asked_for() -> None:
    network, optimizer = network_and_optimizer()
    step(network, optimizer, 0)
    assert optimizer.change_norm is None
    before = optimizer.weights.clone()
    step(network, optimizer, 1, measures_change=True)
    assert optimizer.change_norm is not None
    assert optimizer.change_norm.item() == torch.dist(optimizer.weights, before).item() > 0


# In runs


def weights_at(folder: Path, step: int) -> dict[str, Tensor]:
    found = read_checkpoint(folder, step)
    assert found is not None
    return dict(found.groups["weights"])


@pytest.mark.parametrize("rewarmup", [{"steps": 4}, NEW])
def test_a_run_warms_up_once_more_and_only_what_is_meant(
    tmp_path: Path, store: Any, rewarmup: dict[str, Any]
) -> None:
    spec = growing_spec(rewarmup)
    record = train(spec, tmp_path, store)
    assert record.start is not None
    assert "after growth the rate" in record.start["rate"]
    clock, peak = spec.clock(), default_peak_rate(SHAPE)
    begun = clock.network_begun(clock.num_steps)
    factors = Rewarmup.model_validate(rewarmup)
    events = {event["step"]: event for event in record.events("step")}
    for number, event in events.items():
        middle = (clock.timeline_progress(number - 1) + clock.timeline_progress(number)) / 2
        rate = peak * rate_factor(spec.recipe.rate, middle)
        old, new = factors.factors(number - begun - 0.5) if number > begun else (1, 1)
        assert event["learning_rate"] == pytest.approx(rate * old)
        assert event.get("learning_rate_of_new", event["learning_rate"]) == pytest.approx(
            rate * new
        )
    assert tables.steps(record)["learning_rate"].len() == clock.num_steps


def test_new_parameters_alone_go_slower_at_first(tmp_path: Path, store: Any) -> None:
    kept = {"checkpoint_every_fraction": 0.01, "keep_checkpoints": 99}
    for name, rewarmup in (("plain", None), ("new", NEW)):
        train(growing_spec(rewarmup, **kept), tmp_path / name, store)
    clock = growing_spec(None).clock()
    begun = clock.network_begun(clock.num_steps)
    before = weights_at(tmp_path / "plain", begun)
    plain, new = (weights_at(tmp_path / name, begun + 1) for name in ("plain", "new"))
    for name, weight in plain.items():
        if name in before:
            torch.testing.assert_close(new[name], weight)
        elif name.endswith("weight") and weight.ndim == 1:  # a norm, which began at one
            moved, slower = (each - 1 for each in (weight, new[name]))
            torch.testing.assert_close(slower, moved * 0.1625, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rewarmup", [{"steps": 4}, NEW])
def test_stopped_after_any_step_it_goes_on_to_the_same_bits(
    tmp_path: Path, store: Any, rewarmup: dict[str, Any]
) -> None:
    spec = growing_spec(rewarmup, 12)
    train(spec, tmp_path / "undisturbed", store, evaluate=HeldOutLoss(store))
    folder, last = tmp_path / "stopped", spec.clock().num_steps
    for _ in range(last):
        train(spec, folder, store, evaluate=HeldOutLoss(store), stop_after_steps=1)
    assert files_of(folder) == files_of(tmp_path / "undisturbed")
    one, two = (weights_at(tmp_path / name, last) for name in ("undisturbed", "stopped"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_network_that_never_changes_has_no_second_warm_up(tmp_path: Path, store: Any) -> None:
    rate = {"kind": "constant", "warmup_fraction": 0, "rewarmup": {"steps": 5}}
    spec = tiny_spec(6, recipe=Recipe.model_validate({"rate": rate}))
    record = train(spec, tmp_path, store)
    assert set(tables.steps(record)["learning_rate"]) == {default_peak_rate(SHAPE)}


@pytest.mark.parametrize(
    ("rewarmup", "message"),
    [
        ({}, r"rate\.rewarmup\.steps: setting is missing"),
        ({"steps": 0}, r"rate\.rewarmup\.steps"),
        ({"steps": 5, "factor": 1.3}, "factor means nothing where scope is all; leave it out"),
        ({"steps": 5, "scope": "old"}, r"rate\.rewarmup\.scope"),
    ],
)
def test_a_warm_up_that_cannot_be_meant_is_refused(rewarmup: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe.parse({"rate": {"rewarmup": rewarmup}}, where="x.yaml")
