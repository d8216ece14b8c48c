"""Runs whose step changes its price midway: budgets met, plans kept, kills survived."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import changing_costs
from gradatim.compute import training_flops
from gradatim.model.network import Network
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec, read_spec
from gradatim.study.spec import parse_study
from gradatim.train.checkpoint import load_network, read_checkpoint
from gradatim.train.objectives import OBJECTIVES, LossFunction
from gradatim.train.run import train
from tiny_runs import SHAPE, HeldOutLoss, TinyStore, files_of, tiny_spec

pytestmark = pytest.mark.usefixtures("changing_costs_allowed")


@pytest.fixture
def store() -> TinyStore:
    return TinyStore()


def tensors_of(folder: Path) -> dict[str, bytes]:
    found = read_checkpoint(folder)
    assert found is not None
    return {
        f"{group}/{name}": tensor.numpy().tobytes()
        for group, tensors in found.groups.items()
        for name, tensor in tensors.items()
    }


def test_what_ran_is_what_was_planned(tmp_path: Path, store: TinyStore) -> None:
    spec = changing_costs.changing_spec()
    clock = spec.clock()
    record = train(spec, tmp_path, store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]
    assert record.start is not None
    assert record.finish is not None
    assert record.finish["ledger"] == clock.accounts(clock.num_steps)
    assert record.finish["matches_plan"] is True
    assert record.start["num_steps"] == record.finish["step"] == clock.num_steps
    assert record.start["draws"] == len(record.drawn_blocks()) == clock.num_draws
    steps = tables.steps(record)
    _, charged = clock.charged_flops()
    assert steps["flops"].to_list() == charged.sum(axis=1)[1:].tolist()
    assert steps["progress"].to_list() == [clock.progress(k + 1) for k in range(clock.num_steps)]
    assert len(clock.stretches) == 3
    assert clock.num_steps > 24, "small steps are cheaper, so there are more of them"


def test_budgets_agree_to_within_one_step_with_a_plain_run(
    tmp_path: Path, store: TinyStore
) -> None:
    plain = train(tiny_spec(24), tmp_path / "plain", store)  # type: ignore[arg-type]
    changing = train(changing_costs.changing_spec(), tmp_path / "changing", store)  # type: ignore[arg-type]
    assert plain.finish is not None
    assert changing.finish is not None
    difference = abs(plain.finish["flops"] - changing.finish["flops"])
    dearest = max(stretch.step_flops for stretch in changing.spec.clock().stretches)
    assert difference <= dearest
    assert changing.finish["ledger"].keys() == {"train", "teacher"}


def test_the_network_grows_at_its_progress_and_keeps_what_it_had(
    tmp_path: Path, store: TinyStore
) -> None:
    clock = changing_costs.changing_spec().clock()
    step = sum(stretch.num_steps for stretch in clock.stretches[:2])
    assert clock.timeline_progress(step - 1) < 0.5 <= clock.timeline_progress(step)
    spec = changing_costs.changing_spec(checkpoint_every_fraction=0.01, keep_checkpoints=99)
    train(spec, tmp_path, store)  # type: ignore[arg-type]
    before, after = (load_network(tmp_path, step=at) for at in (step, step + 1))
    assert (before.shape.num_layers, after.shape.num_layers) == (1, SHAPE.num_layers)
    assert load_network(tmp_path).shape == read_spec(tmp_path).shape
    kept = dict(before.named_parameters())
    for name, parameter in after.named_parameters():
        if name in kept:  # one small step away
            assert torch.dist(parameter, kept[name]) < 0.2 * kept[name].norm() + 0.1, name


def test_the_teacher_speaks_in_the_steps_that_are_charged_for_it(
    tmp_path: Path, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []

    def listening(network: Network, spec: RunSpec) -> LossFunction:
        losses = changing_costs.taught(network, spec)
        return lambda tokens, progress: (heard.append(progress), losses(tokens, progress))[1]

    monkeypatch.setitem(OBJECTIVES, "taught", listening)
    record = train(changing_costs.changing_spec(), tmp_path, store)  # type: ignore[arg-type]
    clock = record.spec.clock()
    assert heard == [clock.timeline_progress(step) for step in range(clock.num_steps)]
    num_taught = sum(s.num_steps for s in clock.stretches if "teacher" in s.flops_of_step)
    assert sum(progress < 0.3 for progress in heard) == num_taught


def test_a_control_of_any_timeline_is_asked_for(store: TinyStore) -> None:
    values = {
        "name": "grown",
        "store_path": "nowhere",
        "rungs": ["10k"],
        "arms": {"grown": {"network": changing_costs.RECIPE["network"]}},
        "seeds": 2,
        "budget": {"tokens": 1e6},
        "batch_blocks": 4,
    }
    arms = parse_study(values, where="test").planned_arms()
    assert list(arms) == ["uniform", "grown", "grown-late"]
    control = arms["grown-late"].control
    assert control is not None
    assert (control.of, control.kind) == ("grown", "late")


def test_stopped_after_any_step_it_goes_on_to_the_same_bits(
    tmp_path: Path, store: TinyStore
) -> None:
    spec = changing_costs.changing_spec()
    train(spec, tmp_path / "undisturbed", store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]
    expected = files_of(tmp_path / "undisturbed"), tensors_of(tmp_path / "undisturbed")
    folder = tmp_path / "stopped"
    for _ in range(spec.clock().num_steps):
        train(spec, folder, store, evaluate=HeldOutLoss(store), stop_after_steps=1)  # type: ignore[arg-type]
    assert Record.read(folder).is_finished
    assert (files_of(folder), tensors_of(folder)) == expected


def test_flops_fall_where_the_teacher_leaves_and_rise_where_the_network_grows() -> None:
    clock = changing_costs.changing_spec(200).clock()
    costs = np.array([stretch.step_flops for stretch in clock.stretches])
    small, whole = (training_flops(SHAPE.model_copy(update={"num_layers": n}), 64) for n in (1, 2))
    assert costs.tolist() == [small + whole // 3, small, whole]
    for border, (one, _) in zip((0.3, 0.5), pairwise(clock.stretches), strict=True):
        assert one.num_steps > 0
        assert abs(clock.timeline_progress(_end(clock, one)) - border) < 0.01


def _end(clock: object, stretch: object) -> int:
    stretches = clock.stretches  # type: ignore[attr-defined]
    place = stretches.index(stretch)
    return sum(each.num_steps for each in stretches[: place + 1])
