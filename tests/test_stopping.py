"""SIGTERM, sent for real: a checkpoint, exit code 75, and in the end the bytes of a calm run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from gradatim.blocks.store import Store
from gradatim.record.read import Record
from gradatim.train.checkpoint import kept_steps, latest_step
from gradatim.train.run import train
from gradatim.train.stopping import asked_to_stop
from test_kills import content_of, study_values
from tiny_runs import TinyStore, files_of, tiny_spec

pytestmark = pytest.mark.timeout(600)  # whole studies, on a machine that may be busy


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gradatim", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def latest(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("checkpoints/latest")]


def wait_for_a_checkpoint(folder: Path, before: list[str]) -> None:
    deadline = time.monotonic() + 150
    while latest(folder) == before:
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.005)


def finish(*command: str) -> None:
    child = start(*command)
    _, errors = child.communicate(timeout=160)
    assert child.returncode == 0, errors


def stopped(command: tuple[str, ...], folder: Path) -> str:
    """Stop a command once there is a checkpoint; gives what it said."""
    before = latest(folder)
    child = start(*command)
    wait_for_a_checkpoint(folder, before)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 75, errors
    return errors


def test_a_run_stops_at_sigterm_and_goes_on_to_the_same_bytes(
    world_store: Store, tmp_path: Path
) -> None:
    command = (
        "train", str(world_store.path), "--rung", "10k", "--tokens", "90000", "--batch-blocks",
        "4", "--out",
    )  # fmt: skip
    calm, folder = tmp_path / "calm", tmp_path / "stopped"
    finish(*command, str(calm))
    num_stops = 0
    for _stop in range(2):
        said = stopped((*command, str(folder)), folder)
        step = latest_step(folder)
        assert f"stopped after step {step} of" in said
        assert "goes on from there" in said
        assert step not in kept_steps(calm)
        num_stops += not Record.read(folder).is_finished
    assert num_stops == 2
    finish(*command, str(folder))
    assert len(Record.read(folder).segments) == 3
    assert content_of(folder) == content_of(calm)


def test_a_study_passes_sigterm_on_and_goes_on_to_the_same_bytes(
    world_store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study_values(world_store) | {"budget": {"tokens": 40_000}}))
    command = ("study", str(path), "--processes", "2", "--out")
    calm, folder = tmp_path / "calm", tmp_path / "stopped"
    finish(*command, str(calm))
    said = stopped((*command, str(folder)), folder)
    assert "with 2 runs not begun" in said
    assert "stopped\n" in said
    assert "failed" not in said
    begun = list((folder / "runs").iterdir())
    assert len(begun) == 2
    assert all(latest_step(run) for run in begun)
    assert "fail" not in json.dumps(
        json.loads((folder / "study.json").read_text())["runs"]
    ).replace('"failure": null', "")
    finish(*command, str(folder))
    assert content_of(folder) == content_of(calm)


def test_sigterm_ends_any_other_command_with_the_same_code(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from gradatim import cli, verbs
verbs.check = lambda _folder: os.kill(os.getpid(), signal.SIGTERM)
sys.argv = ["gradatim", "check", "."]
cli.main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 75
    assert result.stderr == "stopped; the same command goes on where it was\n"


def test_a_second_sigterm_is_not_noted() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_stop() as is_asked:
        assert not is_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_asked()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("minutes", "num_kept"), [(1e-9, 12), (1e6, 1), (None, 1)])
def test_a_checkpoint_every_n_minutes_changes_no_bit(
    minutes: float | None, num_kept: int, tmp_path: Path
) -> None:
    settings = {"checkpoint_every_fraction": 1.0, "keep_checkpoints": 99}
    spec = tiny_spec(12, checkpoint_every_minutes=minutes, **settings)
    train(spec, tmp_path / "timed", TinyStore())  # type: ignore[arg-type]
    assert len(kept_steps(tmp_path / "timed")) == num_kept
    spec = tiny_spec(12, checkpoint_every_minutes=None, **settings)
    train(spec, tmp_path / "calm", TinyStore())  # type: ignore[arg-type]
    assert files_of(tmp_path / "timed") == files_of(tmp_path / "calm")
