from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from rich.console import Console

from gradatim import verbs
from gradatim.blocks.store import Store
from gradatim.errors import SpecError
from gradatim.record.spec import run_id
from gradatim.study.execute import Job, JobEvent, run_locally
from gradatim.study.feeding import block_labels, feeding
from gradatim.study.folder import StudyIndex, folder_name, read_study
from gradatim.study.progress import StudyProgress
from gradatim.study.run import run_study
from gradatim.study.spec import StudySpec, parse_study
from killed_study import kill_study


def small_study(store: Store, **changes: Any) -> StudySpec:
    values: dict[str, Any] = {
        "name": "small",
        "store_path": str(store.path),
        "rungs": ["10k"],
        "arms": {"ceiling": {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3}}},
        "seeds": 1,
        "sample": "budget",
        "budget": {"tokens": 6_000},
        "batch_blocks": 4,
        "evaluation": {"num_points": 2, "num_blocks": 6, "num_tasks": 1, "num_samples": 1},
    }
    return parse_study({**values, **changes}, where="test")


def test_a_study_runs_and_is_not_run_again(world_store: Store, tmp_path: Path) -> None:
    spec = small_study(world_store)
    result = run_study(spec, world_store, tmp_path, num_processes=2)
    assert result.failures == ()
    assert sorted(record.spec.arm for record in result.records) == [
        "ceiling",
        "ceiling-reversed",
        "ceiling-shuffled",
        "uniform",
    ]
    finishes = [record.finish for record in result.records]
    # sample: budget means that the arms differ in order alone.
    assert len({finish["multiset_hash"] for finish in finishes if finish}) == 1
    assert len({finish["order_hash"] for finish in finishes if finish}) == 4
    assert all(finish and finish["matches_plan"] for finish in finishes)
    assert {finish["flops"] for finish in finishes if finish} == {finishes[0]["flops"]}  # type: ignore[index]

    files = sorted(tmp_path.glob("runs/*/events.jsonl"))
    before = {path: path.stat().st_mtime_ns for path in files}
    again = run_study(spec, world_store, tmp_path)
    assert len(again.records) == 4
    assert {path: path.stat().st_mtime_ns for path in files} == before

    table = pl.DataFrame(feeding(result.records, world_store))
    assert set(table["label"].unique()) <= {f"band {band}" for band in range(1, 6)}
    for (_arm, _progress), rows in table.group_by("arm", "progress"):
        assert rows["share"].sum() == pytest.approx(1.0)


def test_a_number_of_processes_that_cannot_be_meant_is_refused_before_anything_is_written(
    world_store: Store, tmp_path: Path
) -> None:
    study_file = tmp_path / "study.yaml"
    study_file.write_text(small_study(world_store).to_yaml(), encoding="utf-8")
    with pytest.raises(SpecError, match="processes: a study needs a process; expected 1 or more"):
        verbs.study(study_file, tmp_path / "out", num_processes=-1)
    assert not (tmp_path / "out").exists()


def test_feeding_is_labelled_by_what_stages_mix(world_store: Store) -> None:
    labels = block_labels(world_store, 5, by="level")
    assert labels.names == tuple(f"level {level}" for level in "abcdef")
    assert labels.codes.tolist() == world_store.labels("level").codes.tolist()
    bands = block_labels(world_store, 3, by=None)
    assert {bands.names[band] for band in bands.codes} == {"band 1", "band 2", "band 3"}


def test_one_failed_run_stops_no_other_and_is_reported(world_store: Store, tmp_path: Path) -> None:
    spec = small_study(world_store, controls="none")
    blocked = next(run for run in spec.runs(world_store) if run.arm == "ceiling")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / folder_name(blocked)).write_text("a file where a folder should be")
    result = run_study(spec, world_store, tmp_path)
    assert [record.spec.arm for record in result.records] == ["uniform"]
    (failure,) = result.failures
    assert failure.startswith("ceiling, rung 10k, seed 0: ")
    records, missing = read_study(tmp_path)
    assert len(records) == 1
    assert missing == [failure]


def test_a_killed_process_is_a_failure_with_its_signal(world_store: Store, tmp_path: Path) -> None:
    spec = small_study(world_store, controls="none", budget={"tokens": 3_000_000})
    (run, _other) = spec.runs(world_store)
    events: list[JobEvent] = []

    def kill_at_first_progress(event: JobEvent) -> None:
        events.append(event)
        if event.kind == "progress" and len(events) == 2:
            lock = (tmp_path / "run" / "lock").read_text()
            os.kill(int(lock), signal.SIGKILL)

    run_locally([Job(run, tmp_path / "run")], kill_at_first_progress, num_processes=1)
    assert events[0].kind == "started"
    assert events[-1].kind == "failed"
    assert "ended without a word (exit code -9)" in events[-1].reason


def test_a_killed_study_goes_on_to_the_same_records(world_store: Store, tmp_path: Path) -> None:
    spec = small_study(world_store, controls="none", budget={"tokens": 60_000})
    quiet = run_study(spec, world_store, tmp_path / "quiet")

    study_file = tmp_path / "study.yaml"
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    killed = tmp_path / "killed"
    kill_study(study_file, killed, "runs/*/checkpoints/latest")

    result = run_study(spec, world_store, killed)
    assert result.failures == ()
    for record in quiet.records:
        other = killed / "runs" / record.folder.name
        for name in ("events.jsonl", "blocks.bin", "losses.bin"):
            assert (other / name).read_bytes() == (record.folder / name).read_bytes(), name


def test_runs_of_an_earlier_version_of_the_study_are_left_out(
    world_store: Store, tmp_path: Path
) -> None:
    run_study(small_study(world_store, controls="none"), world_store, tmp_path)
    changed = small_study(world_store, controls="none", seeds=[1])
    run_study(changed, world_store, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 4
    records, missing = read_study(tmp_path)
    assert {record.spec.seed for record in records} == {1}
    assert missing == []
    assert StudyIndex.read(tmp_path).name == "small"
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["seeds"] == [1]


def test_progress_counts_flops_not_runs(world_store: Store, tmp_path: Path) -> None:
    runs = small_study(world_store, rungs=["10k", "200k"], controls="none").runs(world_store)
    jobs = [Job(run, tmp_path / run_id(run)) for run in runs]
    console = Console(record=True, width=100, file=io.StringIO())
    with StudyProgress(jobs, console) as progress:
        large = next(job for job in jobs if job.spec.rung == "200k")
        progress(JobEvent("started", large))
        progress(JobEvent("progress", large, 0.5, 3.2))
        share = progress.share
        progress(JobEvent("failed", large, reason="no reason"))
    total = sum(job.spec.budget_flops for job in jobs)
    assert share == pytest.approx(0.5 * large.spec.budget_flops / total)
    assert "[1/4] " in console.export_text()
