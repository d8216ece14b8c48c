"""Which runs of a study are finished, running, failed, stopped, waiting: from its folder alone."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gradatim.blocks.store import Store
from gradatim.errors import RecordError
from gradatim.files import lock_holder, locked
from gradatim.record.spec import run_id
from gradatim.study.execute import Job, JobEvent
from gradatim.study.folder import StudyIndex, folder_name, read_study, study_lock
from gradatim.study.progress import StudyProgress
from gradatim.study.run import run_study, wait_for_leftovers
from gradatim.study.status import ProgressNotes, study_status
from gradatim.train.run import train
from study_of_seconds import small_study
from tiny_runs import HeldOutLoss, TinyStore, tiny_spec


def busy(holder: str) -> RecordError:
    return RecordError(holder)


def index_of(folder: Path, num_runs: int) -> list[Job]:
    """The index of a study of tiny runs, none of which has begun; gives them."""
    specs = [tiny_spec(seed=seed) for seed in range(num_runs)]
    jobs = [Job(spec, folder / "runs" / folder_name(spec)) for spec in specs]
    StudyIndex.of("tiny", None, [(job.spec, job.folder) for job in jobs]).write(folder)
    return jobs


def test_every_expected_run_has_its_state(tmp_path: Path) -> None:
    store = TinyStore()
    finished, stopped, running, failed, _waiting, again = jobs = index_of(tmp_path, 6)
    train(finished.spec, finished.folder, store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]
    for job in (stopped, running, failed, again):
        train(job.spec, job.folder, store, stop_after_steps=10)  # type: ignore[arg-type]
    reasons = {failed.id: "no reason", again.id: "mended since"}
    StudyIndex.read(tmp_path).with_failures(reasons).write(tmp_path)
    with locked(running.folder / "lock", busy), locked(again.folder / "lock", busy):
        status = study_status(tmp_path)
        _records, missing = read_study(tmp_path)
    states = {each.run.seed: (each.state, each.reason) for each in status.states}
    assert [states[job.spec.seed] for job in jobs] == [
        ("finished", None),
        ("stopped", None),
        ("running", None),
        ("failed", "no reason"),
        ("waiting", None),
        ("running", None),
    ]
    assert status.holder is None
    assert status.states[1].progress == pytest.approx(10 / 40, abs=0.03)
    assert missing == [
        "ceiling, rung tiny, seed 1: unfinished",
        "ceiling, rung tiny, seed 2: still running",
        "ceiling, rung tiny, seed 3: no reason",
        "ceiling, rung tiny, seed 4: not begun",
        "ceiling, rung tiny, seed 5: still running",
    ]
    # A damaged record is named and hides no other.
    (stopped.folder / "events.jsonl").write_text("{")
    (stopped.folder / "spec.yaml").write_text("[")
    status = study_status(tmp_path)
    assert "spec.yaml" in status.damaged[0]
    assert [each.state for each in status.states].count("failed") == 3  # `again` is, too, now


def test_a_changed_study_expects_the_changed_runs_alone(world_store: Store, tmp_path: Path) -> None:
    spec = small_study(world_store.path, seeds=2)
    before = spec.runs(world_store)
    cut_off = Job(before[0], tmp_path / "runs" / folder_name(before[0]))
    StudyIndex.of("small", None, [(run, tmp_path / "runs" / folder_name(run)) for run in before])
    train(cut_off.spec, cut_off.folder, world_store, stop_after_steps=3)

    result = run_study(
        small_study(world_store.path, seeds=2, batch_blocks=2), world_store, tmp_path
    )
    assert len(result.records) == 4
    records, missing = read_study(tmp_path)
    assert missing == []
    assert {record.spec.batch_blocks for record in records} == {2}
    assert [each.state for each in study_status(tmp_path).states] == 4 * ["finished"]


def test_a_failure_is_in_the_index_at_once(
    world_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_study(world_store.path)
    blocked = next(run for run in spec.runs(world_store) if run.arm == "uniform")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / folder_name(blocked)).write_text("a file where a folder should be")
    seen: list[tuple[str, ...]] = []

    def look(self: StudyProgress, event: JobEvent) -> None:
        shown(self, event)
        seen.append(StudyIndex.read(tmp_path).failures)

    shown = StudyProgress.__call__
    monkeypatch.setattr(StudyProgress, "__call__", look)
    run_study(spec, world_store, tmp_path, num_processes=1)
    (reason,) = seen[-1]  # while the other arm was still training
    assert "uniform, rung 10k, seed 0" in reason


def test_how_long_yet_follows_from_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _three = jobs = index_of(tmp_path, 3)
    now = [100.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        notes = ProgressNotes(tmp_path, jobs)
        notes(JobEvent("finished", one, 1.0))  # was finished before: no pace follows from it
        for seconds, progress in ((103.0, 0.25), (113.0, 0.5)):
            now[0] = seconds
            notes(JobEvent("progress", two, progress))
    with study_lock(tmp_path), locked(two.folder / "lock", busy):
        status = study_status(tmp_path)
    # A quarter took ten seconds, so half a run is twenty; the study did half a run in thirteen
    # seconds, from its start, and one and a half are left.
    assert status.remaining_of == {two.id: pytest.approx(20)}
    assert status.remaining_seconds == pytest.approx(39)
    assert next(each.progress for each in status.states if each.run.id == two.id) == 0.5
    # Nobody is at it any more: what was noted is not believed.
    assert study_status(tmp_path).remaining_seconds is None
    (tmp_path / "progress.json").write_bytes(b"\xff[")
    with study_lock(tmp_path):
        assert study_status(tmp_path).remaining_seconds is None


# Killed and started again

HOLD = """
import sys, time
from pathlib import Path
from gradatim.errors import GradatimError
from gradatim.files import locked
with locked(Path(sys.argv[1]), GradatimError):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_second_start_waits_for_what_is_left_of_the_first(tmp_path: Path) -> None:
    (job,) = index_of(tmp_path, 1)
    command = [sys.executable, "-c", HOLD, str(job.folder / "lock")]
    console = Console(record=True, width=200, file=io.StringIO())
    with subprocess.Popen([*command, "1.5"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        wait_for_leftovers([job], console)
        assert time.monotonic() - began > 0.5
    assert f"waiting for process {holder.pid}, left of an earlier" in console.export_text()
    with subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RecordError, match=rf"process {holder.pid} is writing this run"):
            wait_for_leftovers([job], console, patience_seconds=0.2)
        holder.kill()


def test_the_same_command_goes_on_at_once_after_its_process_alone_was_killed(
    world_store: Store, tmp_path: Path
) -> None:
    spec = small_study(world_store.path, budget={"tokens": 60_000})
    study_file, out = tmp_path / "study.yaml", tmp_path / "out"
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "gradatim", "study", str(study_file), "--out", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    deadline = time.monotonic() + 90
    while not list(out.glob("runs/*/checkpoints/latest")):
        assert time.monotonic() < deadline, "no checkpoint came"
        assert first.poll() is None, "the study ended before it was killed"
        time.sleep(0.01)
    worker = next(holder for lock in out.glob("runs/*/lock") if (holder := lock_holder(lock)))
    os.kill(int(worker), signal.SIGSTOP)  # from now on it cannot see that its study ends
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 5
    assert f"the study is running: process {first.pid} is at it" in second.stderr
    first.kill()
    first.wait()
    third = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert third.stderr is not None
    told = third.stderr.readline()
    assert f"waiting for process {worker}, left of an earlier start" in told
    os.kill(int(worker), signal.SIGCONT)
    _told, errors = third.communicate(timeout=120)
    assert third.returncode == 0, errors
    assert [each.state for each in study_status(out).states] == 2 * ["finished"]
    assert json.loads(json.dumps(study_status(out).to_dict()))["process"] is None
    assert run_id(spec.runs(world_store)[0]) == study_status(out).states[0].run.id
