from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from gradatim.compute import default_peak_rate, num_parameters, training_flops
from gradatim.errors import MismatchError, NotFiniteError, RecordError, SpecError
from gradatim.model.network import Network
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.streams import run_key
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.rate import rate_factor
from gradatim.train.checkpoint import latest_step, load_network
from gradatim.train.explain import explain
from gradatim.train.optimizer import AdamW
from gradatim.train.order import block_table
from gradatim.train.run import run_lock, train
from tiny_runs import (
    BATCH_BLOCKS,
    SHAPE,
    HeldOutLoss,
    TinyStore,
    evaluation_flops,
    files_of,
    tiny_spec,
)

CURRICULA: dict[str, dict[str, Any]] = {
    "uniform": {"kind": "uniform"},
    "ceiling": {"kind": "ceiling"},
    "stages": {
        "kind": "stages",
        "by": "source",
        "stages": [{"until": 1.0, "weights": {"tiny": 1.0}}],
    },
    "bandit": {"kind": "bandit", "by": "band", "num_bands": 3},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store() -> TinyStore:
    return TinyStore()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    last = (folder / "checkpoints" / "latest").read_text()
    return load_file(folder / "checkpoints" / last / "weights.safetensors")


def assert_same_run(first: Path, second: Path) -> None:
    assert files_of(first) == files_of(second)
    found, expected = weights_of(first), weights_of(second)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# The record


def test_a_run_learns_and_says_so(tmp_path: Path, store: TinyStore) -> None:
    evaluate = HeldOutLoss(store)
    record = train(tiny_spec(60), tmp_path, store, evaluate=evaluate)
    assert record.is_finished
    assert evaluate.points == [0, 0.25, 0.5, 0.75, 1]
    losses = tables.evaluations(record)["value"].to_list()
    assert losses[-1] < losses[0] - 0.05
    assert record.finish is not None
    assert record.finish["final_bits_per_byte"] == losses[-1]
    assert len(record.events("sample")) == 1
    assert record.seconds > 0
    assert record.environment["num_processes"] == 1


def test_every_step_is_recorded_with_its_clock_and_price(tmp_path: Path, store: TinyStore) -> None:
    spec = tiny_spec(20)
    record = train(spec, tmp_path, store)
    steps = tables.steps(record)
    step_flops = training_flops(SHAPE, BATCH_BLOCKS * store.block_tokens)
    assert steps["step"].to_list() == list(range(1, 21))
    assert steps["flops"].to_list() == [step_flops * step for step in range(1, 21)]
    assert steps["progress"].to_list() == pytest.approx([step / 20 for step in range(1, 21)])
    assert steps["tokens"].to_list() == [64 * step for step in range(1, 21)]
    peak = default_peak_rate(SHAPE)
    assert steps["learning_rate"].to_list() == pytest.approx(
        [peak * rate_factor(spec.recipe.rate, (step - 0.5) / 20) for step in range(1, 21)]
    )
    assert record.drawn_blocks().shape == record.block_losses().shape == (20 * BATCH_BLOCKS,)
    assert steps["loss_nats"].to_list() == pytest.approx(
        record.block_losses().reshape(20, -1).mean(axis=1).tolist(), rel=1e-6
    )


def test_the_ledger_balances(tmp_path: Path, store: TinyStore) -> None:
    record = train(tiny_spec(20), tmp_path, store, evaluate=HeldOutLoss(store))
    assert record.start is not None
    assert record.finish is not None
    assert record.start["num_steps"] == 20
    assert record.start["draws"] == 80
    assert record.start["num_parameters"] == num_parameters(SHAPE)
    assert record.finish["ledger"] == {"train": 20 * training_flops(SHAPE, 64)}
    assert record.finish["noted"] == {"evaluate": 5 * evaluation_flops(store)}
    assert record.finish["progress"] == 1


@pytest.mark.parametrize("kind", CURRICULA)
def test_the_realised_order_is_the_planned_one(tmp_path: Path, store: TinyStore, kind: str) -> None:
    record = train(tiny_spec(30, CURRICULA[kind]), tmp_path, store)
    assert record.finish is not None
    assert record.finish["matches_plan"] is True
    shares = record.finish["consumed"]["at_end"]
    assert all(share >= 0 for share in shares.values())


def test_the_record_says_what_was_read_in_all_and_at_the_end(
    tmp_path: Path, store: TinyStore
) -> None:
    record = train(tiny_spec(8, CURRICULA["ceiling"]), tmp_path, store)
    assert record.finish is not None
    drawn, ids = record.drawn_blocks(), store.ids("train")
    num_bands = record.spec.evaluation.num_bands
    bands = dict(zip(ids.tolist(), store.bands(num_bands, "train").tolist(), strict=True))
    for when, part in (("whole", drawn), ("last_quarter", drawn[-2 * BATCH_BLOCKS :])):
        shares = record.finish["fed"][when]
        read = [bands[block] for block in part.tolist()]
        for band in set(read):
            assert shares[f"band/{band}"] == pytest.approx(read.count(band) / len(read))
        for kind in ("band", "level", "source"):
            known = [share for name, share in shares.items() if name.startswith(f"{kind}/")]
            assert sum(known) == pytest.approx(1)


def test_the_record_says_how_often_every_band_level_and_source_was_read(
    tmp_path: Path, store: TinyStore
) -> None:
    record = train(tiny_spec(8, {"kind": "ceiling", "ramp": 1.0}), tmp_path, store)
    assert record.finish is not None
    read = np.bincount(store.bands(5)[record.drawn_blocks().ravel()], minlength=6)
    passes = record.finish["passes"]
    assert [passes[f"band/{band}"] for band in range(1, 6)] == (read[1:] / 54).tolist()
    assert passes["band/5"] < passes["band/1"]
    assert passes["source/tiny"] == passes["level/none"] == 32 / 270


def test_the_weights_of_an_online_mixture_are_in_the_record_at_every_change(
    tmp_path: Path, store: TinyStore
) -> None:
    data = {"kind": "bandit", "by": "band", "num_bands": 3, "warmup_fraction": 0.25}
    events = train(tiny_spec(8, data), tmp_path, store).events("data")
    assert [event["step"] for event in events] == [0, 3, 4, 5, 6, 7]
    assert list(events[0]["weights"]) == ["1", "2", "3"]
    assert all(sum(event["weights"].values()) == pytest.approx(1, abs=1e-5) for event in events)


def test_rungs_of_a_seed_read_other_blocks_in_another_order(store: TinyStore) -> None:
    """So that a rung is a replicate of another, and their differences independent."""
    table, spec = block_table(store), tiny_spec(8, {"kind": "uniform"}).recipe.data
    orders = [
        make_curriculum(spec, table, num_draws=32, seed=run_key(0, rung)).draw(0.0, 32).tolist()
        for rung in ("20k", "50k")
    ]
    assert orders[0] != orders[1]


def test_the_record_says_how_much_of_the_starting_pool_the_ramp_used(
    tmp_path: Path, store: TinyStore
) -> None:
    data = {"kind": "ceiling", "start_fraction": 0.5, "ramp": 0.5, "easiest_used_fraction": None}
    record = train(tiny_spec(6, data), tmp_path, store)
    assert record.finish is not None
    ages = store.column("reading_age")
    ids = store.ids("train")
    plan = record.start["plan"] if record.start else {}
    easiest = ids[ages[ids] <= plan["start_ceiling"]]
    # The ceiling is gone at half of six steps: three steps were drawn under it.
    drawn = np.unique(record.drawn_blocks()[: 3 * BATCH_BLOCKS])
    expected = np.isin(easiest, drawn).mean()
    assert 0 < expected < 1
    assert record.finish["consumed"]["when_full"]["starting_pool"] == pytest.approx(expected)
    uniform = train(tiny_spec(6, {"kind": "uniform"}), tmp_path / "uniform", store)
    assert uniform.finish is not None
    assert uniform.finish["consumed"]["when_full"] is None
    assert "starting_pool" not in uniform.finish["consumed"]["at_end"]


def test_the_record_holds_the_loss_of_each_block_at_its_visit(
    tmp_path: Path, store: TinyStore
) -> None:
    spec = tiny_spec(1)
    record = train(spec, tmp_path, store)
    tokens = torch.from_numpy(store.read(record.drawn_blocks()))
    with torch.no_grad():
        expected = (
            Network(SHAPE, key=run_key(spec.seed, spec.rung)).token_losses(tokens).mean(dim=1)
        )
    assert record.block_losses().tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_micro_batches_change_nothing_but_rounding(tmp_path: Path, store: TinyStore) -> None:
    whole = train(tiny_spec(20), tmp_path / "whole", store)
    parts = train(tiny_spec(20, micro_batch_blocks=3), tmp_path / "parts", store)
    assert np.array_equal(whole.drawn_blocks(), parts.drawn_blocks())
    np.testing.assert_allclose(whole.block_losses(), parts.block_losses(), rtol=2e-3)


def test_equal_seeds_give_equal_bits_and_others_do_not(tmp_path: Path, store: TinyStore) -> None:
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        train(tiny_spec(10, seed=seed), tmp_path / name, store, evaluate=HeldOutLoss(store))
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert files_of(tmp_path / "a") != files_of(tmp_path / "c")


def test_the_trained_network_can_be_loaded(tmp_path: Path, store: TinyStore) -> None:
    evaluate = HeldOutLoss(store)
    record = train(tiny_spec(10), tmp_path, store, evaluate=evaluate)
    assert record.finish is not None
    events = evaluate(load_network(tmp_path), 1.0)
    assert events[0]["bits_per_byte"]["all"] == record.finish["final_bits_per_byte"]


def test_progress_is_reported_after_every_step(tmp_path: Path, store: TinyStore) -> None:
    seen: list[tuple[float, float]] = []
    train(tiny_spec(10), tmp_path, store, on_progress=lambda *now: seen.append(now))
    assert [progress for progress, _ in seen] == pytest.approx([step / 10 for step in range(1, 11)])


# Going on


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stops=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    kind=st.sampled_from(sorted(CURRICULA)),
)
def test_a_run_resumed_again_and_again_draws_every_block_as_if_never_stopped(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], kind: str
) -> None:
    store, folder = TinyStore(), tmp_path_factory.mktemp("resumed")
    spec = tiny_spec(24, CURRICULA[kind])
    undisturbed = folder.parent / f"undisturbed-{kind}"
    if not undisturbed.exists():
        train(spec, undisturbed, store, evaluate=HeldOutLoss(store))
    for stop in stops:
        train(spec, folder, store, evaluate=HeldOutLoss(store), stop_after_steps=stop)
    train(spec, folder, store, evaluate=HeldOutLoss(store))
    assert np.array_equal(
        Record.read(folder).drawn_blocks(), Record.read(undisturbed).drawn_blocks()
    )
    assert_same_run(folder, undisturbed)


def test_a_finished_run_is_returned_at_once(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(5), tmp_path, store)
    written = files_of(tmp_path)
    again = train(tiny_spec(5), tmp_path, store, on_progress=lambda *_: pytest.fail("trained"))
    assert again.is_finished
    assert files_of(tmp_path) == written


def test_another_specification_is_refused_with_every_difference(
    tmp_path: Path, store: TinyStore
) -> None:
    train(tiny_spec(10), tmp_path, store, stop_after_steps=5)
    changed = tiny_spec(10, {"kind": "uniform"}, seed=7)
    with pytest.raises(MismatchError, match=r"recipe\.data\.kind.*seed: was 1, now 7") as caught:
        train(changed, tmp_path, store)
    assert "train in a new folder" in str(caught.value)


def test_another_store_is_refused(tmp_path: Path, store: TinyStore) -> None:
    with pytest.raises(MismatchError, match=r'store\.fingerprint: was "tiny", now "other"'):
        train(tiny_spec(10), tmp_path, TinyStore(fingerprint="other"))


def test_blocks_scored_anew_are_refused(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(10), tmp_path, store, stop_after_steps=5)
    store.reading_age = store.reading_age + 1
    with pytest.raises(MismatchError, match="difficulty: was"):
        train(tiny_spec(10), tmp_path, store)


def test_another_name_or_cadence_is_the_same_run(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(10), tmp_path, store, stop_after_steps=5)
    renamed = tiny_spec(10, arm="renamed", checkpoint_every_fraction=0.5, keep_checkpoints=1)
    assert train(renamed, tmp_path, store).is_finished
    assert Record.read(tmp_path).spec.arm == "renamed"
    train(tiny_spec(10), tmp_path / "undisturbed", store)
    assert_same_run(tmp_path, tmp_path / "undisturbed")


def test_another_kind_of_device_is_refused(tmp_path: Path, store: TinyStore) -> None:
    with pytest.raises(MismatchError, match="another kind of device; expected cuda; got cpu"):
        train(tiny_spec(10, device="cuda"), tmp_path, store)


def test_a_change_of_threads_is_recorded_with_its_segment(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(10), tmp_path, store, stop_after_steps=5)
    torch.set_num_threads(2)
    record = train(tiny_spec(10), tmp_path, store)
    assert record.changed_conditions() == ["num_threads 1, then 2"]


def test_rungs_of_one_seed_read_other_blocks(tmp_path: Path, store: TinyStore) -> None:
    one, two = (train(tiny_spec(10, rung=rung), tmp_path / rung, store) for rung in ("a", "b"))
    assert not np.array_equal(one.drawn_blocks(), two.drawn_blocks())


def test_no_checkpoint_holds_weights_that_are_gone(
    tmp_path: Path, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = AdamW.update

    def update_badly(optimizer: AdamW, rate: float, **more: Any) -> torch.Tensor:
        step = int(optimizer.groups()["updates"]["num_updates"].item()) + 1
        if step == 8:  # a gradient that overflows although the loss was finite
            optimizer.gradient[0] = float("inf")
        return update(optimizer, rate, **more)

    monkeypatch.setattr(AdamW, "update", update_badly)
    with pytest.raises(NotFiniteError, match=r"step 8 went wrong.*gradient norm inf.*step 4 is"):
        train(tiny_spec(20, checkpoint_every_fraction=0.2), tmp_path, store)
    assert latest_step(tmp_path) == 4


def test_a_moved_store_is_the_same_store(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(6), tmp_path, store, stop_after_steps=3)
    moved = tiny_spec(6, store={"path": "elsewhere", "fingerprint": "tiny"})
    assert train(moved, tmp_path, store).is_finished


def test_two_processes_do_not_write_one_run(tmp_path: Path, store: TinyStore) -> None:
    code = (
        "import sys; from pathlib import Path; from gradatim.train.run import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RecordError, match=f"process {holder.pid} is already writing this run"):
            train(tiny_spec(5), tmp_path, store)
        holder.kill()
    with run_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


# What goes wrong


def test_a_loss_that_is_not_a_number_names_step_blocks_and_remedy(
    tmp_path: Path, store: TinyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_spec(20), tmp_path, store, stop_after_steps=8)
    monkeypatch.setattr("gradatim.train.rates.rate_factor", lambda *_: float("nan"))
    with pytest.raises(
        NotFiniteError, match=r"step 10 went wrong in its blocks \d+, .*got loss nan"
    ):
        train(tiny_spec(20), tmp_path, store)
    record = Record.read(tmp_path)
    (event,) = record.events("not_finite")
    assert event["step"] == 10
    assert event["blocks"] == record.drawn_blocks()[9 * BATCH_BLOCKS :][:BATCH_BLOCKS].tolist()
    assert latest_step(tmp_path) == 8
    assert not record.is_finished
    monkeypatch.undo()
    assert train(tiny_spec(20), tmp_path, store).is_finished
    assert Record.read(tmp_path).events("not_finite") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": SHAPE.model_copy(update={"vocab_size": 32})}, "expected at least 64; got 32"),
        ({"shape": SHAPE.model_copy(update={"context_tokens": 8})}, "expected 16; got 8"),
    ],
)
def test_a_shape_that_cannot_read_the_store_is_refused(
    tmp_path: Path, store: TinyStore, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        train(tiny_spec(5, **changes), tmp_path, store)
    assert not (tmp_path / "spec.yaml").exists()


# Explaining


def test_a_step_is_explained_by_its_blocks_hardest_to_predict_first(
    tmp_path: Path, store: TinyStore
) -> None:
    record = train(tiny_spec(6), tmp_path, store)
    rows = explain(tmp_path, 3, store=store)  # type: ignore[arg-type]
    assert sorted(row["block_id"] for row in rows) == sorted(
        record.drawn_blocks()[2 * BATCH_BLOCKS : 3 * BATCH_BLOCKS].tolist()
    )
    assert sorted(row["loss_nats"] for row in rows) == sorted(
        record.block_losses()[2 * BATCH_BLOCKS : 3 * BATCH_BLOCKS].tolist()
    )
    assert rows[0]["loss_nats"] >= rows[-1]["loss_nats"]
    first = rows[0]
    assert first["text"] == f"text of block {first['block_id']}"
    assert first["reading_age"] == pytest.approx(store.reading_age[first["block_id"]])
    assert (first["level"], first["source"]) == (None, "tiny")


def test_what_is_explained_of_an_unfinished_run_is_as_it_was_written(
    tmp_path: Path, store: TinyStore
) -> None:
    train(tiny_spec(10), tmp_path, store, stop_after_steps=5)
    assert explain(tmp_path, 3, store=store)  # type: ignore[arg-type]
    for name in ("losses.bin", "blocks.bin"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(RecordError, match=f"{name}: is damaged"):
            explain(tmp_path, 3, store=store)  # type: ignore[arg-type]
        (tmp_path / name).write_bytes(content)


@pytest.mark.parametrize("step", [0, 7])
def test_a_step_that_was_not_taken_cannot_be_explained(
    tmp_path: Path, store: TinyStore, step: int
) -> None:
    train(tiny_spec(6), tmp_path, store)
    with pytest.raises(RecordError, match=f"expected a step from 1 to 6; got {step}"):
        explain(tmp_path, step, store=store)  # type: ignore[arg-type]


def test_a_run_of_a_million_layers_is_refused_at_once(tmp_path: Path, store: TinyStore) -> None:
    train(tiny_spec(4), tmp_path, store)
    path = tmp_path / "spec.yaml"
    path.write_text(path.read_text().replace("num_layers: 2", "num_layers: 1000000"))
    with pytest.raises(RecordError, match="num_layers"):
        load_network(tmp_path)
