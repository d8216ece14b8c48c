"""What the system refuses is one line; what only reads writes nothing."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gradatim import verbs
from gradatim.blocks.store import Store
from gradatim.cli import app
from gradatim.errors import from_os_error
from test_cli import call, failure
from tiny_runs import files_of

TRAINING = ("--rung", "10k", "--tokens", "12000", "--batch-blocks", "4")
FILE_LIMIT_BYTES = 50_000
"""Between the record of the small run and the tensors of its checkpoint."""


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.EACCES, "Let this account"),
        (errno.EROFS, "Let this account"),
        (errno.ENOTDIR, "name another place"),
        (errno.ENAMETOOLONG, "shorter name"),
    ],
)
def test_an_error_of_the_system_names_path_reason_and_remedy(number: int, remedy: str) -> None:
    text = str(from_os_error(OSError(number, os.strerror(number), "/some/file")))
    assert text.startswith("/some/file: ")
    assert os.strerror(number)[1:] in text
    assert remedy in text
    assert "Errno" not in text


def test_an_error_that_says_little_is_still_a_line() -> None:
    assert str(from_os_error(OSError("Arrow went wrong"))) == "arrow went wrong"
    assert str(from_os_error(TimeoutError())) == "timeoutError"


@pytest.fixture(scope="module")
def study_folder(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("study")
    study: dict[str, Any] = {
        "name": "small",
        "store_path": str(world_store.path),
        "rungs": ["10k"],
        "arms": {"uniform": {}, "ceiling": {"data": {"kind": "ceiling"}}},
        "controls": "none",
        "seeds": 2,
        "budget": {"tokens": 4_000},
        "batch_blocks": 4,
        "evaluation": {"num_points": 1, "num_blocks": 6, "num_samples": 1},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    verbs.study(folder / "study.yaml", folder / "out")
    return folder / "out"


def content_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file and folder with the time of its last change."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
    }


def test_what_only_reads_writes_nothing(study_folder: Path, tmp_path: Path) -> None:
    (run, *_) = (study_folder / "runs").iterdir()
    before = content_of(study_folder)
    for arguments in (
        ("compare", str(study_folder)),
        ("fit", str(study_folder)),
        ("check", str(study_folder)),
        ("evaluate", str(run), "--num-blocks", "6"),
        ("explain", str(run), "--step", "1"),
        ("export", str(run), "--out", str(tmp_path / "hf")),
        ("report", str(study_folder), "--out", str(tmp_path / "page" / "r.html")),
    ):
        call(*arguments)
        assert content_of(study_folder) == before, arguments
    written = {path.name for path in (tmp_path / "page").rglob("*")}
    assert written >= {"r.html", "r-data", "comparison.json", "laws.json", "summary.csv"}


def test_a_report_tells_programs_where_it_is(study_folder: Path, tmp_path: Path) -> None:
    found = call("report", str(study_folder), "--out", str(tmp_path / "r.html"), "--json")
    page, data = str(tmp_path / "r.html"), str(tmp_path / "r-data")
    assert found.split() == ["{", '"report":', f'"{page}",', '"data":', f'"{data}"', "}"]


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_where_a_folder_should_be_is_one_line(
    world_store: Store,
    study_folder: Path,
    below: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("mine")
    (run, *_) = (study_folder / "runs").iterdir()
    out = str(tmp_path / "file" / below)
    commands = [
        ("train", str(world_store.path), *TRAINING, "--out", out),
        ("study", str(study_folder / "study.yaml"), "--out", out),
        ("export", str(run), "--out", out),
    ]
    if below:
        commands.append(("report", str(study_folder), "--out", out))
    for command in commands:
        code, text = failure(capsys, *command)
        assert code == 1, command
        assert text.count("\n") == 1, text
        assert "name another place" in text
        assert str(tmp_path / "file") in text
    for command in (("evaluate", out), ("explain", out, "--step", "1"), ("export", out)):
        extra = ("--out", str(tmp_path / "x")) if command[0] == "export" else ()
        code, text = failure(capsys, *command, *extra)
        assert (code, text.count("\n")) == (5, 1)
        assert "is no run folder" in text
        assert "Delete" not in text
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_may_not_be_read_is_not_called_damaged(
    study_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run, *_) = (study_folder / "runs").iterdir()
    read = Path.read_text

    def forbid(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "spec.yaml":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", forbid)
    code, text = failure(capsys, "evaluate", str(run))
    assert code == 1
    assert text.count("\n") == 1
    assert "permission denied. Let this account" in text
    result = CliRunner().invoke(app, ["check", str(run)])
    assert result.exit_code == 1
    assert "permission denied" in result.output


def test_a_disk_that_takes_no_more_costs_a_line_and_nothing_else(
    world_store: Store, tmp_path: Path
) -> None:
    def train(folder: Path, limit_bytes: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gradatim", "train", str(world_store.path), *TRAINING,
             "--out", str(folder)],
            capture_output=True, text=True, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes,) * 2),
        )  # fmt: skip

    result = train(tmp_path / "run", FILE_LIMIT_BYTES)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "file too large" in result.stderr
    assert "weights.safetensors" in result.stderr or "moment.safetensors" in result.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    for folder in ("run", "undisturbed"):
        assert train(tmp_path / folder, resource.RLIM_INFINITY).returncode == 0
    assert files_of(tmp_path / "run") == files_of(tmp_path / "undisturbed")
