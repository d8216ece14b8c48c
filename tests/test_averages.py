"""Averages of the weights: their rules, in runs and in checkpoints, killed and grown."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import changing_costs
from gradatim.errors import RecordError, SpecError
from gradatim.recipe import Recipe
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec
from gradatim.timelines.rate.averages import Ema, Mean
from gradatim.train.averages import WeightAverages
from gradatim.train.checkpoint import load_network, read_checkpoint
from gradatim.train.run import train
from tiny_runs import HeldOutLoss, TinyStore, evaluation_flops, files_of, tiny_spec

AVERAGES = [
    {"kind": "ema", "half_life_fraction": 0.2},
    {"kind": "mean", "num_snapshots": 3, "every_fraction": 0.1},
    {"kind": "mean", "name": "late", "num_snapshots": 3, "every_fraction": 0.1, "alpha": 0.2},
]


pytestmark = pytest.mark.usefixtures("changing_costs_allowed")


@pytest.fixture
def store() -> Any:
    return TinyStore()


def averaged_spec(num_steps: int = 20, outcome: str = "ema", **changes: Any) -> RunSpec:
    recipe = {
        "data": {"kind": "ceiling"},
        "rate": {"kind": "constant", "averages": AVERAGES, "outcome": outcome},
    }
    recipe |= changes.pop("recipe", {})
    operation = {"keep_checkpoints": 99, "checkpoint_every_fraction": 0.01}
    return tiny_spec(num_steps, recipe=Recipe.model_validate(recipe), **operation | changes)


def groups_at(folder: Path, step: int) -> dict[str, Tensor]:
    """Every group of a checkpoint as one vector."""
    found = read_checkpoint(folder, step)
    assert found is not None
    return {
        group: torch.cat([tensors[name].reshape(-1) for name in sorted(tensors)])
        for group, tensors in found.groups.items()
    }


# The rules


@pytest.mark.parametrize(
    ("num_steps", "kept"), [(1, 0.5), (25, 0.5), (50, 0.707107), (1000, 0.982821)]
)
def test_half_of_a_moving_average_is_of_the_last_steps(num_steps: int, kept: float) -> None:
    assert Ema(half_life_fraction=0.04).kept(num_steps) == pytest.approx(kept, abs=1e-6)


def test_snapshots_lie_even_and_end_with_the_run() -> None:
    points = Mean(every_fraction=0.3).points()
    assert points == (Fraction(1, 10), Fraction(2, 5), Fraction(7, 10), Fraction(1))
    assert Mean(every_fraction=1).points() == (Fraction(1),)
    assert len(Mean().points()) == 50


def test_what_snapshots_weigh_follows_a_table_worked_out_by_hand() -> None:
    assert Mean().shares(4) == [0.25] * 4
    assert Mean(alpha=0.2).shares(1) == [1.0]
    assert Mean(alpha=0.2).shares(3) == pytest.approx([0.64, 0.16, 0.2])


def test_each_average_is_its_rule_written_out(tmp_path: Path, store: Any) -> None:
    spec = averaged_spec(20)
    train(spec, tmp_path, store)
    steps = [groups_at(tmp_path, step) for step in range(1, 21)]
    weights = [step["weights"] for step in steps]
    average = steps[0]["ema"]  # half of it the weights at the start
    for number, (step, trained) in enumerate(zip(steps[1:], weights[1:], strict=True), 2):
        kept = 0.5 ** (1 / max(1, 0.2 * number))
        average = kept * average + (1 - kept) * trained
        torch.testing.assert_close(step["ema"], average)
    # At 20 steps a tenth is two steps: the snapshots of the end are those of steps 16, 18 and 20.
    last = [weights[step - 1] for step in (16, 18, 20)]
    torch.testing.assert_close(steps[-1]["mean"], sum(last) / 3)
    late = 0.8 * (0.8 * last[0] + 0.2 * last[1]) + 0.2 * last[2]
    torch.testing.assert_close(steps[-1]["late"], late)
    torch.testing.assert_close(steps[2]["mean"], weights[1])  # the only one by then
    torch.testing.assert_close(steps[4]["mean"], (weights[1] + weights[3]) / 2)


def test_the_first_step_of_a_moving_average_goes_half_way() -> None:
    clock = tiny_spec(10).clock()
    averages = WeightAverages([Ema(half_life_fraction=0.2)], clock)
    averages.begin(torch.zeros(3))
    averages.update(1, torch.ones(3))
    assert averages.vectors()["ema"].tolist() == [0.5] * 3


# In a run


def test_every_average_is_evaluated_beside_the_weights(tmp_path: Path, store: Any) -> None:
    evaluate = HeldOutLoss(store)
    record = train(averaged_spec(), tmp_path, store, evaluate=evaluate)
    assert record.finish is not None
    points = [event["progress"] for event in record.evaluations("weights")]
    assert points == [0, 0.25, 0.5, 0.75, 1]
    found = {}
    for name in ("ema", "mean", "late"):
        events = record.evaluations(name)
        assert [event["progress"] for event in events] == points
        assert {event["weights"] for event in events} == {name}
        network = load_network(tmp_path, weights=name)
        (measured, *_) = evaluate(network, 1.0)
        assert events[-1]["bits_per_byte"] == measured["bits_per_byte"]
        assert (
            tables.evaluations(record, name)["value"].to_list()[-1]
            == events[-1]["bits_per_byte"]["all"]
        )
        found[name] = events[-1]["bits_per_byte"]["all"]
    assert len(set(found.values())) == 3
    assert record.finish["final_bits_per_byte"] == found["ema"]
    assert record.finish["noted"] == {"evaluate": 4 * 5 * evaluation_flops(store)}
    assert len(record.events("sample")) == 1
    assert record.start is not None
    assert "beside it ema" in record.start["rate"]
    assert record.start["rate"].endswith("the outcome is ema")


def test_the_weights_are_those_of_a_run_without_averages(tmp_path: Path, store: Any) -> None:
    plain = averaged_spec(recipe={"rate": {"kind": "constant"}})
    one = train(plain, tmp_path / "plain", store, evaluate=HeldOutLoss(store))
    two = train(averaged_spec(), tmp_path / "averaged", store, evaluate=HeldOutLoss(store))
    for name in ("blocks.bin", "losses.bin"):
        assert files_of(tmp_path / "plain")[name] == files_of(tmp_path / "averaged")[name]
    assert [e["bits_per_byte"] for e in one.evaluations()] == [
        e["bits_per_byte"] for e in two.evaluations("weights")
    ]


def test_what_is_handed_out_is_the_outcome(tmp_path: Path, store: Any) -> None:
    train(averaged_spec(10, outcome="mean"), tmp_path, store)
    handed, mean, trained = (
        load_network(tmp_path, weights=name).state_dict() for name in (None, "mean", "weights")
    )
    assert all(torch.equal(handed[name], mean[name]) for name in mean)
    assert any(not torch.equal(handed[name], trained[name]) for name in mean)
    with pytest.raises(RecordError, match="one of weights, ema, mean, late; got 'other'"):
        load_network(tmp_path, weights="other")


def test_stopped_after_any_step_averages_go_on_to_the_same_bits(tmp_path: Path, store: Any) -> None:
    recipe = changing_costs.RECIPE | {"rate": averaged_spec().recipe.rate.model_dump()}
    spec = averaged_spec(24, recipe=recipe, keep_checkpoints=1)
    train(spec, tmp_path / "undisturbed", store, evaluate=HeldOutLoss(store))
    last = spec.clock().num_steps
    for _ in range(last):
        folder = tmp_path / "stopped"
        train(spec, folder, store, evaluate=HeldOutLoss(store), stop_after_steps=1)
    assert Record.read(folder).is_finished
    assert files_of(folder) == files_of(tmp_path / "undisturbed")
    one, two = (groups_at(tmp_path / name, last) for name in ("undisturbed", "stopped"))
    assert one.keys() == two.keys()
    assert {"ema", "mean", "mean.3", "late.1"} <= one.keys()
    assert all(torch.equal(one[group], two[group]) for group in one)


def test_averages_begin_anew_when_the_network_grows(tmp_path: Path, store: Any) -> None:
    recipe = changing_costs.RECIPE | {"rate": averaged_spec().recipe.rate.model_dump()}
    spec = averaged_spec(24, recipe=recipe)
    train(spec, tmp_path, store)
    clock = spec.clock()
    grown = clock.network_begun(clock.num_steps)
    ends = np.cumsum([stretch.num_steps for stretch in clock.stretches]).tolist()
    assert grown == ends[1]
    assert [clock.network_begun(step) for step in (0, grown, grown + 1)] == [0, 0, grown]
    steps = [groups_at(tmp_path, step) for step in range(grown + 1, clock.num_steps + 1)]
    assert len(groups_at(tmp_path, grown)["ema"]) < len(steps[0]["ema"])
    for number, (before, after) in enumerate(pairwise(steps), 2):
        kept = 0.5 ** (1 / max(1, 0.2 * number))
        expected = kept * before["ema"] + (1 - kept) * after["weights"]
        torch.testing.assert_close(after["ema"], expected)
    taken = [clock.first_step(point) for point in Mean(every_fraction=0.1).points()]
    first = next(step for step in sorted(taken) if step > grown)
    torch.testing.assert_close(
        steps[first - grown - 1]["mean"], steps[first - grown - 1]["weights"]
    )


# Bad input


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ({"outcome": "ema"}, "outcome is ema, which is not kept; expected one of weights"),
        (
            {"averages": [{"kind": "ema"}, {"kind": "mean", "name": "ema"}]},
            "two averages are called ema; give one of them another name",
        ),
        ({"averages": [{"kind": "ema", "name": "weights"}]}, "that name is taken"),
        ({"averages": [{"kind": "ema", "name": "../x"}]}, r"averages\.0\.name: wrong value"),
        ({"averages": [{"kind": "ema", "half_life_fraction": 0}]}, "half_life_fraction"),
        ({"averages": [{"kind": "mean", "alpha": 2}]}, "alpha"),
    ],
)  # fmt: skip
def test_averages_that_cannot_be_meant_are_refused(rate: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe.parse({"rate": rate}, where="x.yaml")
