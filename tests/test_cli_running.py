"""The commands plan, study and status, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gradatim.blocks.store import Store
from gradatim.study.folder import read_study_file
from study_of_seconds import small_study
from test_cli import call, failure


def test_a_study_with_changes_is_recorded_as_it_ran(world_store: Store, tmp_path: Path) -> None:
    study_file, out = tmp_path / "mine.yaml", tmp_path / "out"
    study_file.write_text(small_study(world_store.path).to_yaml(), encoding="utf-8")
    changes = ("--set", "seeds=[4]", "--set", "arms.ceiling.data.easiest_used_fraction=0.5")
    assert json.loads(call("plan", str(study_file), *changes, "--json"))["num_runs"] == 2
    told = json.loads(call("study", str(study_file), "--out", str(out), *changes, "--json"))
    assert told["finished"] == 2
    recorded = yaml.safe_load(read_study_file(out))
    assert recorded["seeds"] == [4]
    assert recorded["arms"]["ceiling"]["data"]["easiest_used_fraction"] == 0.5

    status = json.loads(call("status", str(out), "--json"))
    assert [(run["arm"], run["seed"], run["state"]) for run in status["runs"]] == [
        ("uniform", 4, "finished"),
        ("ceiling", 4, "finished"),
    ]
    assert all((out / "runs" / run["folder"]).is_dir() for run in status["runs"])
    text = call("status", str(out))
    assert "2 runs: 2 finished; nobody is at it" in text
    assert f"runs/{status['runs'][0]['folder']}" in text


def test_a_change_of_nothing_is_one_line(
    capsys: pytest.CaptureFixture[str], world_store: Store, tmp_path: Path
) -> None:
    study_file = tmp_path / "mine.yaml"
    study_file.write_text(small_study(world_store.path).to_yaml(), encoding="utf-8")
    for command in ("plan", "study"):
        code, text = failure(capsys, command, str(study_file), "--set", "seedz=3")
        assert (code, text.count("\n")) == (3, 1)
        assert "--set seedz: unknown setting" in text
        assert "Did you mean seeds?" in text
    code, text = failure(capsys, "demo", "--set", "batch_block=3", "--out", str(tmp_path / "demo"))
    assert (code, text.count("\n")) == (3, 1)
    assert not (tmp_path / "demo").exists()


def test_status_of_what_is_no_study_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, text = failure(capsys, "status", str(tmp_path))
    assert (code, text.count("\n")) == (5, 1)
    assert "is not the folder of a study" in text
