"""Batches that change in size: their schedules, and runs that follow them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradatim.compute import training_flops
from gradatim.errors import SpecError
from gradatim.recipe import Recipe
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec
from gradatim.study.check import check_before_store
from gradatim.study.feeding import feeding
from gradatim.study.passes import passes_by_label
from gradatim.study.spec import parse_study
from gradatim.timelines.rate import Rate, rate_factor
from gradatim.timelines.rate.batch import BatchPieces, BatchSwitch, DropStableRamp, Piece
from gradatim.train.checkpoint import read_checkpoint
from gradatim.train.explain import explain
from gradatim.train.layout import Layout
from gradatim.train.run import train
from gradatim.train.state import State
from gradatim.train.stepper import Stepper
from tiny_runs import (
    BATCH_BLOCKS,
    BLOCK_TOKENS,
    SHAPE,
    HeldOutLoss,
    TinyStore,
    files_of,
    tiny_spec,
)

RAMP = {
    "kind": "drop_stable_ramp",
    "drop_at": 0.3,
    "factor": 0.5,
    "ramp_at": 0.6,
    "end_factor": 2,
    "rate_rule": "sqrt",
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store() -> Any:
    return TinyStore()


def varying_spec(num_steps: int = 24, batch: Any = None, **changes: Any) -> RunSpec:
    recipe = {
        "data": {"kind": "ceiling", "ramp": 0.4},
        "rate": {"kind": "wsd", "batch": batch or RAMP, "averages": [{"kind": "ema"}]},
    }
    return tiny_spec(num_steps, recipe=Recipe.model_validate(recipe), **changes)


# The schedules


def test_a_late_switch_follows_a_table_worked_out_by_hand() -> None:
    sizes = BatchSwitch(factor=4).sizes(8)
    assert sizes == ((Fraction(3, 4), 8), (Fraction(1), 32))


def test_drop_stable_ramp_follows_a_table_worked_out_by_hand() -> None:
    # from 2 to 6 blocks in four stages, each of the whole number nearest to its middle
    schedule = DropStableRamp(drop_at=0.2, factor=0.5, ramp_at=0.6, end_factor=1.5)
    assert schedule.sizes(4) == (
        (Fraction(1, 5), 4),
        (Fraction(3, 5), 2),
        (Fraction(7, 10), 3),
        (Fraction(4, 5), 4),
        (Fraction(9, 10), 5),
        (Fraction(1), 6),
    )


def test_pieces_rise_and_fall_in_a_bounded_number_of_stages() -> None:
    sizes = BatchPieces(pieces=(Piece(until=1, factor=1, to=3),)).sizes(1024)
    assert len(sizes) == 32
    blocks = [size for _, size in sizes]
    assert (blocks[0], blocks[-1]) == (1024 + 32, 3 * 1024 - 32)
    assert set(np.diff(blocks)) == {64}
    falling = BatchPieces(pieces=(Piece(until=1, factor=2, to=1),)).sizes(4)
    assert [size for _, size in falling] == [8, 7, 6, 5]
    even = BatchPieces(pieces=(Piece(until=0.5, factor=2), Piece(until=1, factor=2)))
    assert even.sizes(4) == ((Fraction(1), 8),)


def test_without_a_schedule_the_batch_is_the_runs() -> None:
    assert Rate().batch_sizes(7) == ((Fraction(1), 7),)


@pytest.mark.parametrize(
    ("rule", "factors"), [("none", [1, 1]), ("sqrt", [2, 0.5]), ("linear", [4, 0.25])]
)
def test_the_rate_follows_the_batch_as_it_is_told(rule: Any, factors: list[float]) -> None:
    schedule = BatchSwitch(factor=4, rate_rule=rule)
    assert [schedule.rate_factor(factor) for factor in (4, 0.25)] == factors


# In a run


def test_what_ran_is_what_was_planned(tmp_path: Path, store: Any) -> None:
    spec = varying_spec()
    clock = spec.clock()
    record = train(spec, tmp_path, store, evaluate=HeldOutLoss(store))
    assert record.start is not None
    assert record.finish is not None
    assert record.finish["ledger"] == clock.accounts(clock.num_steps)
    assert record.finish["matches_plan"] is True
    assert record.finish["largest_step_flops"] == training_flops(SHAPE, 7 * BLOCK_TOKENS)
    assert record.finish["tokens"] == clock.num_draws * BLOCK_TOKENS
    assert record.start["draws"] == len(record.drawn_blocks()) == clock.num_draws
    assert record.drawn_blocks().shape == record.block_losses().shape
    sizes = [stretch.batch_blocks for stretch in clock.stretches]
    assert sizes[:3] == [4, 2, 3]
    assert max(sizes) == 7  # what is left does not pay for a step of 8
    dearest = training_flops(SHAPE, max(sizes) * BLOCK_TOKENS)
    assert 0 <= spec.budget_flops - clock.budget_flops < dearest
    steps = tables.steps(record)
    _, charged = clock.charged_flops()
    assert steps["flops"].to_list() == charged.sum(axis=1)[1:].tolist()
    assert steps["tokens"].to_list() == [clock.tokens(k + 1) for k in range(clock.num_steps)]
    losses, peak = record.block_losses(), steps["learning_rate"].to_list()
    for step in range(clock.num_steps):
        of_step = losses[clock.draws(step) : clock.draws(step + 1)]
        assert steps["loss_nats"][step] == pytest.approx(of_step.mean(), rel=1e-6)
        middle = (clock.timeline_progress(step) + clock.timeline_progress(step + 1)) / 2
        batch_factor = len(of_step) / BATCH_BLOCKS
        expected = rate_factor(spec.recipe.rate, middle) * batch_factor**0.5
        assert peak[step] == pytest.approx(2e-2 * expected)


def test_what_was_fed_when_is_told_by_progress(tmp_path: Path, store: Any) -> None:
    record = train(varying_spec(16), tmp_path, store)
    rows = feeding([record], store)
    shares: dict[float, float] = {}
    for row in rows:
        shares[row["progress"]] = shares.get(row["progress"], 0) + row["share"]
    clock = record.spec.clock()
    assert list(shares) == pytest.approx(
        [
            (clock.timeline_progress(k) + clock.timeline_progress(k + 1)) / 2
            for k in range(clock.num_steps)
        ]
    )
    assert list(shares.values()) == pytest.approx([1.0] * clock.num_steps)
    passes = passes_by_label(record.spec, store)
    there = np.bincount(store.bands(5, "train"))
    num_drawn = sum(passes[f"band {band}"] * there[band] for band in range(1, 6))
    assert num_drawn == pytest.approx(clock.num_draws)


def test_stopped_after_any_step_it_goes_on_to_the_same_bits(tmp_path: Path, store: Any) -> None:
    spec = varying_spec(16)
    train(spec, tmp_path / "undisturbed", store, evaluate=HeldOutLoss(store))
    folder, clock = tmp_path / "stopped", spec.clock()
    for step in range(1, clock.num_steps + 1):
        train(spec, folder, store, evaluate=HeldOutLoss(store), stop_after_steps=1)
        assert len(Record.read(folder).drawn_blocks()) == clock.draws(step)
    assert files_of(folder) == files_of(tmp_path / "undisturbed")
    one, two = (read_checkpoint(tmp_path / name) for name in ("undisturbed", "stopped"))
    assert one is not None
    assert two is not None
    assert one.groups.keys() == two.groups.keys()
    for group, tensors in one.groups.items():
        assert all(torch.equal(tensors[name], two.groups[group][name]) for name in tensors)


def test_half_a_step_at_the_end_of_a_record_is_left_out(tmp_path: Path, store: Any) -> None:
    spec = varying_spec(16)
    train(spec, tmp_path, store, stop_after_steps=7)
    with (tmp_path / "blocks.bin").open("ab") as file:
        file.write(bytes(4))
    assert len(Record.read(tmp_path).drawn_blocks()) == spec.clock().draws(7)


def test_a_step_is_explained_by_its_own_blocks(tmp_path: Path, store: Any) -> None:
    spec = varying_spec(16)
    record = train(spec, tmp_path, store)
    clock = spec.clock()
    for step in (1, clock.num_steps):
        drawn = record.drawn_blocks()[clock.draws(step - 1) : clock.draws(step)]
        rows = explain(tmp_path, step, store=store)
        assert sorted(row["block_id"] for row in rows) == sorted(drawn.tolist())


def test_micro_batches_and_slices_of_processes_follow_the_batch() -> None:
    tokens = TinyStore().read(np.arange(7, dtype=np.uint32))
    found = []
    for micro_batch_blocks in (None, 3):
        spec = varying_spec(micro_batch_blocks=micro_batch_blocks)
        state = State(SHAPE, key="1", optimizer=spec.optimizer, device=CPU)
        stepper = Stepper(state, spec, Layout(0, 1, CPU))
        stepper.gradients(tokens, 0.5, batch_blocks=7)()
        found.append(state.optimizer.gradient.clone())
    torch.testing.assert_close(*found)
    ids = np.arange(7, dtype=np.uint32)
    spec = varying_spec()
    parts = [Stepper(state, spec, Layout(rank, 2, CPU)).own(ids).tolist() for rank in (0, 1)]
    assert parts == [[0, 1, 2], [3, 4, 5, 6]]


# Bad input


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"kind": "switch"}, r"rate\.batch\.factor"),
        ({"kind": "switch", "factor": 0}, r"rate\.batch\.factor"),
        ({"kind": "drop_stable_ramp", "drop_at": 0.5}, r"rate\.batch\.factor"),
        (RAMP | {"ramp_at": 0.3}, "ramp_at 0.3 is not after drop_at 0.3"),
        (
            {"kind": "pieces", "pieces": [{"until": 0.5, "factor": 1}]},
            "rising progress, the last at 1; got 0.5",
        ),
        (
            {"kind": "pieces", "pieces": [{"until": 1, "factor": 1}, {"until": 1, "factor": 2}]},
            "rising progress, the last at 1; got 1, 1",
        ),
        ({"kind": "pieces", "pieces": []}, r"rate\.batch\.pieces"),
        ({"kind": "switch", "factor": 2, "rate_rule": "cubic"}, "rate_rule"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(batch: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe.parse({"rate": {"batch": batch}}, where="x.yaml")


def test_a_batch_without_a_block_is_refused_before_the_store_is_built() -> None:
    batch = {"kind": "switch", "factor": 0.1}
    with pytest.raises(SpecError, match=r"no block.*at least one of 4 blocks; got the batch 1 ti"):
        varying_spec(batch=batch).clock()
    values = {
        "name": "varying",
        "store": {"spectrum": {}, "tokenizer": {"vocab_size": 512}},
        "rungs": ["10k"],
        "seeds": 2,
        "arms": {"rising": {"rate": {"batch": batch}}},
        "budget": {"tokens": 1e6},
        "batch_blocks": 4,
    }
    spec = parse_study(values, where="test")
    assert spec.store is not None
    with pytest.raises(SpecError, match=r"^arms\.rising: rate\.batch: a batch of the schedule"):
        check_before_store(spec, spec.store)


def test_a_batch_with_fewer_blocks_than_processes_is_refused(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest = varying_spec().clock().smallest_batch
    assert smallest == 2
    Layout(0, 2, CPU).slice_of(smallest)
    with pytest.raises(
        SpecError, match=r"at least 3, one a process; got 2.*factor of recipe\.rate"
    ):
        Layout(0, 3, CPU).slice_of(smallest)
    monkeypatch.setattr(Layout, "slice_of", lambda _, n: pytest.fail(f"asked for {n}"))
    with pytest.raises(pytest.fail.Exception, match="asked for 2"):
        train(varying_spec(), tmp_path, store)
