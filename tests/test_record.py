"""The record: nothing is lost, nothing half-written is believed, nothing damaged is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.errors import RecordError
from gradatim.record import tables
from gradatim.record.read import Record, read_records
from gradatim.record.spec import Operation, RunSpec, StoreReference, read_spec, run_id, write_spec
from gradatim.record.write import RunWriter, environment
from synthetic_records import run_spec


def step_event(step: int, loss: float = 4.0) -> dict[str, object]:
    return {
        "event": "step",
        "step": step,
        "progress": step / 4,
        "loss_nats": loss,
        "learning_rate": 0.01,
        "gradient_norm": 1.0,
        "tokens": 128 * step,
        "flops": 1e6 * step,
    }


def evaluate_event(step: int) -> dict[str, object]:
    return {
        "event": "evaluate",
        "step": step,
        "progress": step / 4,
        "tokens": 128 * step,
        "flops": 1e6 * step,
        "bits_per_byte": {"all": 2.5, "band/1": 2.0},
        "tasks": {
            "held_out/b": {"accuracy": 0.5, "probability": 0.4, "chance": 0.25, "num_items": 8}
        },
    }


FINISH = {"event": "finish", "step": 4, "progress": 1.0, "tokens": 512, "flops": 4e6}


def write_run(folder: Path, *, spec: RunSpec | None = None, is_finished: bool = True) -> Path:
    spec = spec or run_spec()
    with RunWriter(folder) as writer:
        write_spec(folder, spec)
        writer.append({"event": "start", "step": 0, "progress": 0.0, "num_steps": 4})
        for step in range(1, 5):
            write_step(writer, step)
        writer.append(evaluate_event(4))
        if is_finished:
            writer.append(FINISH)
    return folder


def write_step(writer: RunWriter, step: int) -> None:
    writer.append(step_event(step))
    writer.append_blocks(np.arange(4) + 4 * step, np.full(4, step / 2))
    writer.append_timing(step=step, tokens=128 * step)


def test_what_is_written_is_read_back_as_tables(tmp_path: Path) -> None:
    record = Record.read(write_run(tmp_path / "run"))
    assert record.spec == run_spec()
    assert record.start == {"event": "start", "step": 0, "progress": 0.0, "num_steps": 4}
    assert record.finish is not None
    assert FINISH.items() <= record.finish.items()
    assert tables.steps(record)["tokens"].to_list() == [128, 256, 384, 512]
    assert tables.steps(record).schema["loss_nats"] == pl.Float64
    assert tables.evaluations(record).select("measure", "name", "value", "chance").rows() == [
        ("bits_per_byte", "all", 2.5, None),
        ("bits_per_byte", "band/1", 2.0, None),
        ("accuracy", "held_out/b", 0.5, 0.25),
        ("probability", "held_out/b", 0.4, 0.25),
    ]
    np.testing.assert_array_equal(record.drawn_blocks(), np.arange(16) + 4)
    np.testing.assert_array_equal(record.block_losses()[::4], [0.5, 1.0, 1.5, 2.0])
    assert record.drawn_blocks().dtype == np.uint32


def test_an_empty_run_gives_empty_tables_with_the_same_columns(tmp_path: Path) -> None:
    RunWriter(tmp_path).close()
    write_spec(tmp_path, run_spec())
    record = Record.read(tmp_path)
    assert not record.is_finished
    assert record.start is None
    assert tables.steps(record).is_empty()
    assert tables.evaluations(record).columns[-3:] == ["name", "value", "chance"]
    assert record.drawn_blocks().shape == (0,)
    assert record.seconds == 0


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    write_spec(tmp_path, run_spec())
    with RunWriter(tmp_path) as writer:
        writer.append(step_event(1, float("nan")) | {"gradient_norm": np.float32("inf")})
    line = (tmp_path / "events.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["loss_nats"] is None
    assert tables.steps(Record.read(tmp_path))["gradient_norm"].to_list() == [None]


def test_numpy_values_are_written_as_plain_numbers(tmp_path: Path) -> None:
    write_spec(tmp_path, run_spec())
    with RunWriter(tmp_path) as writer:
        writer.append(
            {"event": "not_finite", "step": np.int64(3), "progress": 0.5, "blocks": np.arange(3)}
        )
    assert Record.read(tmp_path).events("not_finite")[0]["blocks"] == [0, 1, 2]


def test_a_truncated_and_repeated_run_leaves_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = write_run(tmp_path / "undisturbed")
    folder = tmp_path / "killed"
    writer = RunWriter(folder)
    write_spec(folder, run_spec())
    writer.append({"event": "start", "step": 0, "progress": 0.0, "num_steps": 4})
    write_step(writer, 1)
    writer.flush(sync=True)
    offsets = writer.offsets()
    write_step(writer, 2)
    writer.append(step_event(99))
    writer.flush()
    resumed = RunWriter(folder)
    resumed.truncate(offsets)
    for step in (2, 3, 4):
        write_step(resumed, step)
    resumed.append(evaluate_event(4))
    resumed.append(FINISH)
    resumed.close()
    writer.close()
    for name in ("events.jsonl", "blocks.bin", "losses.bin"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


def test_truncating_to_nothing_starts_over(tmp_path: Path) -> None:
    write_run(tmp_path)
    with RunWriter(tmp_path) as writer:
        writer.truncate({})
    assert not Record.read(tmp_path).is_finished
    assert tables.steps(Record.read(tmp_path)).is_empty()


def test_a_record_shorter_than_its_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = (tmp_path / "events.jsonl").read_bytes()
    with (
        RunWriter(tmp_path) as writer,
        pytest.raises(RecordError, match=r"blocks\.bin: has 64 bytes, the checkpoint says 9999"),
    ):
        writer.truncate({"events.jsonl": 0, "blocks.bin": 9999})
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_seconds_add_up_over_the_segments_of_a_resumed_run(tmp_path: Path) -> None:
    write_spec(tmp_path, run_spec())
    for times in ((100.0, 101.5, 104.0), (7.0, 9.0)):
        ticks = iter(times)
        with RunWriter(tmp_path, clock=lambda ticks=ticks: next(ticks)) as writer:
            for step in range(1, len(times)):
                writer.append_timing(step=step, tokens=step)
    assert Record.read(tmp_path).seconds == pytest.approx(4.0 + 2.0)


def test_a_half_written_timing_does_not_spoil_the_next_segment(tmp_path: Path) -> None:
    write_run(tmp_path)
    with (tmp_path / "timings.jsonl").open("ab") as file:
        file.write(b'{"segment":0,"st')
    with RunWriter(tmp_path) as writer:
        writer.append_timing(step=5, tokens=5)
    last = (tmp_path / "timings.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["segment"] == 1
    Record.read(tmp_path)


@given(cut=st.integers(min_value=0))
def test_a_run_killed_at_any_byte_reads_as_the_events_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = write_run(tmp_path_factory.mktemp("run"))
    content = (folder / "events.jsonl").read_bytes()
    kept = content[: cut % (len(content) + 1)]
    (folder / "events.jsonl").write_bytes(kept)
    record = Record.read(folder)
    assert len(tables.steps(record)) == sum(b'"event":"step"' in line for line in whole_lines(kept))
    assert record.is_finished == (kept == content)


def whole_lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1]


@pytest.mark.parametrize("damage", [b"{broken\n", b"[1, 2]\n", b'{"event":"step"}\n', b"\xff\n"])
def test_damage_in_the_middle_names_file_and_line(tmp_path: Path, damage: bytes) -> None:
    write_run(tmp_path)
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = damage
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match=r"events\.jsonl, line 3: is damaged; expected a JSON"):
        Record.read(tmp_path)


def test_a_finished_run_with_too_few_blocks_is_damaged(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "blocks.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RecordError, match=r"blocks\.bin: is damaged; expected 64 bytes for 4 st"):
        Record.read(tmp_path).drawn_blocks()


def test_an_unfinished_run_gives_the_whole_steps_it_has(tmp_path: Path) -> None:
    write_run(tmp_path, is_finished=False)
    path = tmp_path / "blocks.bin"
    path.write_bytes(path.read_bytes()[:-4])
    assert Record.read(tmp_path).drawn_blocks().shape == (12,)


def test_the_specification_survives_yaml(tmp_path: Path) -> None:
    spec = run_spec("ceiling-shuffled", "1m", 7, budget_flops=1e18)
    write_spec(tmp_path, spec)
    assert read_spec(tmp_path) == spec
    assert run_id(read_spec(tmp_path)) == run_id(spec)
    assert not list(tmp_path.glob("*.partial"))


def test_the_run_id_follows_the_store_and_not_its_place() -> None:
    spec = run_spec()
    moved = spec.model_copy(update={"store": StoreReference(path="/b", fingerprint="f00d")})
    changed = spec.model_copy(update={"store": StoreReference(path="/b", fingerprint="beef")})
    assert run_id(moved) == run_id(spec)
    assert run_id(changed) != run_id(spec)
    assert len(run_id(spec)) == 16
    assert int(run_id(spec), 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"rung": "50k"},
        {"seed": 1},
        {"budget_flops": 2e9},
        {"batch_blocks": 8},
        {"precision": "bfloat16"},
        {"device": "cuda"},
        {"micro_batch_blocks": 2},
        {"compile": True},
    ],
)
def test_what_decides_the_bits_changes_the_run_id(change: dict[str, object]) -> None:
    spec = run_spec()
    assert run_id(spec.model_copy(update=change)) != run_id(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"arm": "other"},
        {"control": {"of": "ceiling", "kind": "shuffled"}},
        {"checkpoint_every_fraction": 0.5},
        {"keep_checkpoints": 9},
        {"keep_checkpoints_at": (0.1,)},
    ],
)
def test_how_a_run_is_run_and_called_does_not(change: dict[str, object]) -> None:
    spec = run_spec()
    operation = Operation.model_validate(spec.operation.model_dump() | change)
    changed = spec.model_copy(update={"operation": operation})
    assert changed != spec
    assert run_id(changed) == run_id(spec)


def test_a_specification_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget_flops"):
        run_spec(budget_flops=float("inf"))
    with pytest.raises(ValidationError, match="Extra inputs"):
        run_spec(batch_size=4)


def test_a_folder_without_specification_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"is no run folder: no spec\.yaml"):
        Record.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "schema_version: 2\nseed: 1\n", "- 1\n"])
def test_a_broken_specification_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "spec.yaml").write_text(content)
    with pytest.raises(RecordError, match=r"spec\.yaml: is not a run specification"):
        read_spec(tmp_path)


def test_finished_runs_are_read_and_the_others_named(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "b", spec=run_spec("uniform", seed=1))
    write_run(tmp_path / "runs" / "a", spec=run_spec("uniform", seed=0))
    write_run(tmp_path / "runs" / "c", spec=run_spec("ceiling"), is_finished=False)
    failed = write_run(tmp_path / "runs" / "d", spec=run_spec("ceiling", seed=1), is_finished=False)
    with RunWriter(failed) as writer:
        writer.append({"event": "not_finite", "step": 5, "progress": 0.9, "blocks": [1]})
    skipped: list[str] = []
    records = read_records(tmp_path, skipped=skipped)
    assert [record.spec.seed for record in records] == [0, 1]
    assert skipped == [
        "ceiling, rung 20k, seed 0 is unfinished",
        "ceiling, rung 20k, seed 1 stopped at a loss that is not finite",
    ]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no runs"):
        read_records(tmp_path)


def test_every_segment_names_machine_and_libraries(tmp_path: Path) -> None:
    write_spec(tmp_path, run_spec())
    for num_threads in (1, 2):
        RunWriter(tmp_path, environment=environment() | {"num_threads": num_threads}).close()
    record = Record.read(tmp_path)
    assert [segment["segment"] for segment in record.segments] == [0, 1]
    assert record.environment["libraries"]["numpy"] == np.__version__
    assert record.environment["num_cores"] >= 1
    assert record.changed_conditions() == ["num_threads 1, then 2"]


def test_a_run_under_the_same_conditions_throughout_has_nothing_to_tell(tmp_path: Path) -> None:
    write_spec(tmp_path, run_spec())
    for _ in range(2):
        RunWriter(tmp_path, environment=environment()).close()
    assert Record.read(tmp_path).changed_conditions() == []


def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "segments.jsonl").write_text("{\n")
    with pytest.raises(RecordError, match=r"segments\.jsonl, line 1: is damaged"):
        Record.read(tmp_path)


def test_a_run_of_another_version_is_refused_with_it(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "spec.yaml"
    text = path.read_text()
    assert text.startswith("schema_version: 2\n")
    for old in (text.replace("schema_version: 2\n", ""), text.replace("version: 2", "version: 1")):
        path.write_text(old)
        with pytest.raises(RecordError, match=r"another version.*schema_version 2; got 1"):
            Record.read(tmp_path)
