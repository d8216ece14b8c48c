"""A run as a ruler: its losses, a table beside the store, and killed while it measures."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.blocks import model_scores as tables
from gradatim.blocks.description import write_description
from gradatim.blocks.model_scores import read_table
from gradatim.blocks.store import Store
from gradatim.compute import Shape, forward_flops, rung_shape, training_flops
from gradatim.difficulty.model_scores import LOSS_COLUMNS, ModelScores
from gradatim.errors import MismatchError, RecordError, SpecError, StoreError
from gradatim.evaluate import model_scores as passes
from gradatim.evaluate.model_scores import ModelScoresSpec
from gradatim.evaluate.token_scorer import NetworkScorer
from gradatim.model import losses
from gradatim.model.network import Network
from gradatim.record.spec import RunSpec, StoreReference, read_spec, run_id, write_spec
from gradatim.study.model_scores import RunAt, checkpoint_step, parse_moment, score_with_run
from gradatim.study.plan import plan
from gradatim.study.single import run
from gradatim.study.spec import parse_study
from gradatim.train.checkpoint import kept_steps, load_network

CHILD = Path(__file__).with_name("model_scores_child.py")
NUM_STEPS = 12


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def reference_spec(store: Store, **changes: Any) -> RunSpec:
    shape = rung_shape("10k", vocab_size=store.vocab_size, context_tokens=store.block_tokens)
    values: dict[str, Any] = {
        "store": StoreReference(path=str(store.path), fingerprint=store.fingerprint),
        "rung": "10k",
        "seed": 0,
        "shape": shape,
        "recipe": {},
        "budget_flops": (NUM_STEPS + 0.5) * training_flops(shape, 4 * store.block_tokens),
        "batch_blocks": 4,
        "evaluation": {"num_points": 1, "num_blocks": 4, "num_samples": 0},
        "operation": {"arm": "uniform", "keep_checkpoints": 1, "keep_checkpoints_at": (0.25,)},
    }
    return RunSpec.model_validate(values | changes)


@pytest.fixture(scope="module")
def original(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of one's own, and a run trained on it."""
    folder = tmp_path_factory.mktemp("ruler")
    shutil.copytree(world_store.path, folder / "store")
    run(reference_spec(Store.open(folder / "store")), folder / "run")
    return folder / "store", folder / "run"


@pytest.fixture
def store(original: tuple[Path, Path], tmp_path: Path) -> Store:
    shutil.copytree(original[0], tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture(scope="module")
def reference(original: tuple[Path, Path]) -> Path:
    return original[1]


def files_of(store: Store, name: str) -> list[bytes]:
    folder = store.path / "scores"
    return [(folder / f"{name}{suffix}").read_bytes() for suffix in (".parquet", ".json")]


# One network


@settings(max_examples=15)
@given(family=st.sampled_from(["llama", "gpt2"]), seed=st.integers(0, 99), top_k=st.integers(1, 40))
def test_a_rank_by_counting_is_the_rank_by_sorting(family: str, seed: int, top_k: int) -> None:
    shape = Shape.model_validate(
        {"family": family, "vocab_size": 40, "context_tokens": 8, "num_layers": 1}
        | {"width": 16, "num_heads": 2}
    )
    network = Network(shape, key=seed)
    tokens = np.random.default_rng(seed).integers(0, 40, (3, 8))
    found = NetworkScorer(network, separator_id=0, top_k=top_k).token_losses(tokens)
    with torch.no_grad():
        logits = network(torch.from_numpy(tokens))[:, :-1]
        expected = network.token_losses(torch.from_numpy(tokens)).numpy()
    best = logits.argsort(dim=-1, descending=True)[..., :top_k].numpy()
    assert found.is_in_top_k is not None
    assert np.array_equal(found.losses_nats[:, 1:], expected)
    is_among = (best == tokens[:, 1:, None]).any(axis=-1)
    assert found.is_in_top_k[:, 1:].tolist() == is_among.tolist()
    assert not found.is_predicted[:, 0].any()
    assert found.is_predicted[:, 1:].tolist() == (tokens[:, 1:] != 0).tolist()


def test_rows_taken_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(vocab_size=40, context_tokens=8, num_layers=1, width=16, num_heads=2)
    tokens = np.random.default_rng(0).integers(0, 40, (5, 8))
    scorer = NetworkScorer(Network(shape), separator_id=0, top_k=5)
    whole = scorer.token_losses(tokens)
    monkeypatch.setattr(losses, "CPU_LOGITS", 40 * 7)  # 40 rows as 5 times 7, and 5
    parts = scorer.token_losses(tokens)
    np.testing.assert_allclose(parts.losses_nats, whole.losses_nats, rtol=1e-5)
    assert np.array_equal(parts.is_in_top_k, whole.is_in_top_k)  # type: ignore[arg-type]


# A table beside the store


def test_a_run_scores_its_store(store: Store, reference: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    spec = ModelScoresSpec(name="ref", settings=ModelScores(top_k=20), batch_blocks=8)
    table = score_with_run(
        store.path, RunAt(reference), spec=spec, on_progress=lambda *told: seen.append(told)
    )
    ids = store.ids("train")
    shape = reference_spec(store).shape
    assert table == read_table(store.path, "ref")
    assert tuple(table.columns) == (*LOSS_COLUMNS, "salt_ds")
    assert table.num_null == dict.fromkeys(table.columns, 0)
    assert table.scoring_flops == sum(forward_flops(shape, len(ids) * store.block_tokens).values())
    (source,) = table.sources
    assert (source.role, source.step) == ("reference", NUM_STEPS)
    assert source.run == run_id(reference_spec(Store.open(reference.parent / "store")))
    step_flops = training_flops(shape, 4 * store.block_tokens)
    assert table.reference_flops == source.training_flops == NUM_STEPS * step_flops
    assert seen[0] == ("scoring", 8, len(ids))
    assert seen[-1] == ("scoring", len(ids), len(ids))

    rows = pq.read_table(store.path / "scores" / "ref.parquet")
    assert rows["block_id"].to_numpy().tolist() == ids.tolist()
    assert rows["null_reason"].null_count == len(ids)
    tokens = store.read(ids[:5])
    with torch.no_grad():
        losses_nats = load_network(reference).token_losses(torch.from_numpy(tokens)).numpy()
    for row in range(5):
        counted = losses_nats[row][tokens[row, 1:] != store.separator_id]
        expected = [counted.mean(), *np.percentile(counted, [50, 10, 90])]
        got = [rows[name][row].as_py() for name in LOSS_COLUMNS]
        np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_store_gives_its_scores_as_columns_and_stays_what_it_was(
    store: Store, reference: Path
) -> None:
    spec = ModelScoresSpec(name="ref", splits=("held_out", "train"))
    score_with_run(store.path, RunAt(reference), spec=spec)
    column = store.column("ref/loss_mean")
    scored = np.union1d(store.ids("train"), store.ids("held_out"))
    assert column.shape == (store.num_blocks,)
    assert np.flatnonzero(np.isfinite(column)).tolist() == scored.tolist()
    Store.open(store.path).verify()
    with pytest.raises(StoreError, match=r"no such column; expected loss_mean, .*; got flesch"):
        store.column("ref/flesch")
    with pytest.raises(StoreError, match="no such table of scores; expected one of ref; got other"):
        store.column("other/loss_mean")


def test_a_split_named_twice_is_scored_and_charged_once(store: Store, reference: Path) -> None:
    once = score_with_run(
        store.path, RunAt(reference), spec=ModelScoresSpec(name="once", splits=("held_out",))
    )
    twice = ModelScoresSpec(name="twice", splits=("held_out", "held_out"))
    table = score_with_run(store.path, RunAt(reference), spec=twice)
    assert table.scoring_flops == once.scoring_flops
    assert table.num_blocks == once.num_blocks


def test_changed_values_are_noticed(store: Store, reference: Path) -> None:
    score_with_run(store.path, RunAt(reference), spec=ModelScoresSpec(name="ref"))
    path = store.path / "scores" / "ref.parquet"
    rows = pq.read_table(path)
    turned = rows.set_column(1, rows.schema.field(1), rows[1].take(list(range(len(rows)))[::-1]))
    pq.write_table(turned, path)
    with pytest.raises(StoreError, match=r"ref\.parquet: the scores are damaged: its content hash"):
        store.column("ref/loss_mean")


def test_scores_of_another_store_are_refused(store: Store, reference: Path) -> None:
    score_with_run(store.path, RunAt(reference), spec=ModelScoresSpec(name="ref"))
    another = store.description.model_copy(update={"fingerprint": "another"})
    write_description(store.path, another)
    with pytest.raises(StoreError, match="the scores ref are of another store's blocks"):
        Store.open(store.path).column("ref/loss_mean")


def test_asked_again_nothing_is_done_and_asked_otherwise_it_is_refused(
    store: Store, reference: Path
) -> None:
    spec = ModelScoresSpec(name="ref")
    score_with_run(store.path, RunAt(reference), spec=spec)
    before = files_of(store, "ref")
    again = score_with_run(
        store.path,
        RunAt(reference),
        spec=spec,
        on_progress=lambda *_: pytest.fail("scored again"),
    )
    assert again.fingerprint == read_table(store.path, "ref").fingerprint
    assert files_of(store, "ref") == before
    other = ModelScoresSpec(name="ref", settings=ModelScores(mask="dropped"))
    with pytest.raises(MismatchError, match=r"ref\.json: other scores lie there.*settings"):
        score_with_run(store.path, RunAt(reference), spec=other)
    score_with_run(store.path, RunAt(reference), spec=other, replace=True)
    assert read_table(store.path, "ref").settings["mask"] == "dropped"


def test_killed_while_it_scores_it_goes_on_to_the_same_bytes(store: Store, reference: Path) -> None:
    def score(name: str) -> list[int]:
        seen: list[int] = []
        spec = ModelScoresSpec(name=name, batch_blocks=2)
        score_with_run(
            store.path,
            RunAt(reference),
            spec=spec,
            on_progress=lambda _, num_done, __: seen.append(num_done),
        )
        return seen

    score("undisturbed")
    command = [sys.executable, str(CHILD), str(store.path), str(reference), "killed", "0.005"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        while int(process.stdout.readline()) < 130:  # two chunks of 64 blocks are whole
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (store.path / "scores" / "killed.json").exists()
    assert score("killed")[0] > 128  # what was done is not done again
    assert pq.read_table(store.path / "scores" / "killed.parquet").equals(
        pq.read_table(store.path / "scores" / "undisturbed.parquet")
    )
    killed, undisturbed = files_of(store, "killed"), files_of(store, "undisturbed")
    assert killed[0] == undisturbed[0]
    names = ("name", "fingerprint")
    first, second = (
        {key: value for key, value in json.loads(files[1]).items() if key not in names}
        for files in (killed, undisturbed)
    )
    assert first == second
    assert sorted(path.suffix for path in (store.path / "scores").iterdir()) == [
        ".json",
        ".json",
        ".parquet",
        ".parquet",
    ]


@pytest.mark.parametrize("loss", ["cut", "zeros", "other"])
def test_what_a_loss_of_power_damaged_is_made_again(
    store: Store, reference: Path, loss: str
) -> None:
    spec = ModelScoresSpec(name="ref", batch_blocks=2)
    score_with_run(store.path, RunAt(reference), spec=spec)
    undisturbed = files_of(store, "ref")
    for suffix in ("parquet", "json"):
        (store.path / "scores" / f"ref.{suffix}").unlink()
    names: list[list[str]] = []
    building = store.path / "scores" / "ref.building"

    def break_off(stage: str, num_done: int, num_blocks: int) -> None:
        names.append(sorted(path.name for path in building.iterdir()))
        if num_done > 3 * 64:  # three chunks are whole
            raise InterruptedError

    with pytest.raises(InterruptedError):
        score_with_run(store.path, RunAt(reference), spec=spec, on_progress=break_off)
    assert names[0] == names[-1] == ["journal.json", "lock", "rows.bin"]
    rows = building / "rows.bin"
    kept = rows.read_bytes()
    assert len(kept) == 3 * (64 * 25 + 4)  # five columns: a float32 and a byte each
    damaged = {
        "cut": kept[: 2 * len(kept) // 3 + 100],
        "zeros": kept[: 2 * len(kept) // 3 + 100] + bytes(2000),
        "other": kept[:2000] + bytes([kept[2000] ^ 1]) + kept[2001:],
    }
    rows.write_bytes(damaged[loss])
    seen: list[int] = []
    score_with_run(
        store.path,
        RunAt(reference),
        spec=spec,
        on_progress=lambda _, num_done, __: seen.append(num_done),
    )
    assert seen[0] == (64 if loss == "other" else 128) + 2
    assert files_of(store, "ref") == undisturbed


def test_a_table_of_many_groups_is_the_same_table(
    store: Store, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelScoresSpec(name="ref", settings=ModelScores(mask="dropped"), batch_blocks=2)
    whole = score_with_run(store.path, RunAt(reference), spec=spec)
    column = store.column("ref/salt_ds")
    for suffix in ("parquet", "json"):
        (store.path / "scores" / f"ref.{suffix}").unlink()
    monkeypatch.setattr(passes, "GROUP_BLOCKS", 130)
    monkeypatch.setattr(tables, "_ROWS_A_BATCH", 50)
    assert score_with_run(store.path, RunAt(reference), spec=spec) == whole
    assert pq.ParquetFile(store.path / "scores" / "ref.parquet").num_row_groups > 2
    assert np.array_equal(store.column("ref/salt_ds"), column, equal_nan=True)


# Two checkpoints, two runs


def test_learnability_of_two_checkpoints_of_one_run(store: Store, reference: Path) -> None:
    early_step = checkpoint_step(reference, 0.25)
    assert kept_steps(reference) == [early_step, NUM_STEPS] == [3, NUM_STEPS]
    spec = ModelScoresSpec(name="learned")
    table = score_with_run(store.path, RunAt(reference, 0.25), RunAt(reference), spec=spec)
    assert [(source.role, source.step) for source in table.sources] == [("early", 3), ("late", 12)]
    # Both forward passes are paid for, and the run's training once.
    assert table.scoring_flops == 2 * table.sources[0].scoring_flops
    assert table.reference_flops == table.sources[1].training_flops
    columns = {}
    for name, at in (("early", 3), ("late", NUM_STEPS)):
        score_with_run(store.path, RunAt(reference, at), spec=ModelScoresSpec(name=name))
        columns[name] = store.column(f"{name}/loss_mean")
    learned = store.column("learned/learnability")
    ids = store.ids("train")
    np.testing.assert_allclose(learned[ids], (columns["early"] - columns["late"])[ids], atol=1e-5)
    assert learned[ids].mean() > 0.01
    with pytest.raises(SpecError, match=r"learnability is .*; got 12 and 3"):
        score_with_run(store.path, RunAt(reference), RunAt(reference, 3), spec=spec)


def test_excess_loss_of_two_runs(store: Store, reference: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run(reference_spec(Store.open(reference.parent / "store"), seed=1), other)
    table = score_with_run(
        store.path, RunAt(reference), RunAt(other), spec=ModelScoresSpec(name="excess")
    )
    assert [source.role for source in table.sources] == ["current", "reference"]
    assert "excess_loss" in table.columns
    assert table.reference_flops == sum(source.training_flops for source in table.sources)
    score_with_run(store.path, RunAt(other), spec=ModelScoresSpec(name="other"))
    excess, theirs = store.column("excess/excess_loss"), store.column("other/loss_mean")
    expected = store.column("excess/loss_mean") - theirs
    np.testing.assert_allclose(excess[store.ids("train")], expected[store.ids("train")], atol=1e-5)


# From a run to a curriculum


def test_a_curriculum_over_the_scores_of_a_run(
    store: Store, reference: Path, tmp_path: Path
) -> None:
    table = score_with_run(store.path, RunAt(reference, 0.25), spec=ModelScoresSpec(name="ref"))
    values = {
        "name": "scored",
        "store_path": str(store.path),
        "rungs": ["10k"],
        "arms": {"easy": {"data": {"kind": "ceiling", "metric": "ref/loss_mean"}}},
        "controls": "none",
        "seeds": 1,
        "budget": {"flops": 4 * (table.scoring_flops + table.reference_flops)},
        "batch_blocks": 4,
        "evaluation": {"num_points": 2, "num_blocks": 6, "num_samples": 0},
    }
    study = parse_study(values, where="test")
    planned = plan(study, vocab_size=store.vocab_size, block_tokens=store.block_tokens, store=store)
    records = {spec.arm: run(spec, tmp_path / spec.arm) for spec in study.runs(store)}
    finish, other = (records[arm].finish for arm in ("easy", "uniform"))
    assert finish is not None
    assert other is not None
    assert finish["ledger"]["scoring"] == table.scoring_flops
    assert finish["ledger"]["reference"] == table.reference_flops
    assert other["ledger"].keys() == {"train"}
    step_flops = other["ledger"]["train"] / other["step"]
    assert abs(finish["flops"] - other["flops"]) < step_flops
    assert 0.7 < finish["step"] / other["step"] < 0.8
    assert {each.arm: each.num_steps for each in planned.runs} == {
        arm: record.finish["step"] for arm, record in records.items() if record.finish
    }
    assert finish["matches_plan"] is True
    # The first step is drawn from under the ceiling at which training, not paying, begins.
    scores, start = store.column("ref/loss_mean"), records["easy"].start
    assert start is not None
    first = scores[records["easy"].drawn_blocks()[:4]]
    assert first.max() <= start["plan"]["start_ceiling"] < np.nanmedian(scores)


# What is refused


def test_a_checkpoint_that_was_not_kept_is_named_with_those_that_were(
    store: Store, reference: Path
) -> None:
    with pytest.raises(RecordError, match="no checkpoint of this step; expected one of 3, 12; got"):
        score_with_run(store.path, RunAt(reference, 7), spec=ModelScoresSpec(name="ref"))


def test_a_run_of_another_vocabulary_is_refused(
    store: Store, reference: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(reference, tmp_path / "changed")
    spec = read_spec(changed)
    another = spec.store.model_copy(update={"fingerprint": "f" * len(store.fingerprint)})
    write_spec(changed, spec.model_copy(update={"store": another}))
    with pytest.raises(MismatchError, match="the run was trained on another store"):
        score_with_run(store.path, RunAt(changed), spec=ModelScoresSpec(name="ref"))


@pytest.mark.parametrize(
    ("text", "moment"), [("last", "last"), ("120", 120), ("0.1", 0.1), ("1.0", 1.0)]
)
def test_a_moment_is_read(text: str, moment: object) -> None:
    assert parse_moment(text) == moment
    assert type(parse_moment(text)) is type(moment)


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "ä", "a b"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="cannot name a table of scores"):
        ModelScoresSpec(name=name)
