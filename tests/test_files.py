"""Files that appear whole, and a lock that tells a holder from a file system without locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gradatim import files
from gradatim.errors import RecordError


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_whole(path, "ä\n")
    files.write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert names_in(path.parent) == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with suppress(RuntimeError), files.writing_whole(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with files.writing_whole(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert names_in(tmp_path / "folder") == ["two"]


def test_several_may_write_one_name_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with (
        files.writing_whole(path, is_shared=True) as first,
        files.writing_whole(path, is_shared=True) as second,
    ):
        first.write_text("first")
        second.write_text("second")
        assert not list(tmp_path.glob("a*"))  # hidden, should someone look for what is there
    assert path.read_text() == "first"  # the inner one ended before
    assert names_in(tmp_path) == ["a.txt"]


def test_everything_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("sync"), sync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))[1]
    )
    with files.writing_whole(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "a").write_text("a")
    assert calls == ["sync", "sync", "rename", "sync"]  # the file, its folder; then the name


def test_json_refuses_what_json_has_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names_in(tmp_path) == []


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.partial").write_text("")
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "b.partial" / "c").write_text("")
    (tmp_path / "kept").write_text("")
    files.remove_partial(tmp_path)
    assert names_in(tmp_path) == ["kept"]


def busy(holder: str) -> RecordError:
    return RecordError(f"held by {holder}")


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    program = (
        "import sys\nfrom pathlib import Path\nfrom gradatim import files\n"
        "with files.locked(Path(sys.argv[1]), lambda holder: SystemExit(f'held by {holder}')):\n"
        "    print('mine')\n"
    )
    run = [sys.executable, "-c", program, str(path)]
    with files.locked(path, busy):
        second = subprocess.run(run, capture_output=True, text=True, check=False)
        assert second.stderr.strip() == f"held by {os.getpid()}"
        with pytest.raises(RecordError, match=f"held by {os.getpid()}"), files.locked(path, busy):
            pass
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "mine\n"


def test_a_file_system_without_locks_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: object, how: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.warns(UserWarning, match="knows no locks"),
        files.locked(tmp_path / "lock", busy),
    ):
        entered = True
    assert entered
