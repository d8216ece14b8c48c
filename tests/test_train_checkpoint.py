from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gradatim.errors import RecordError
from gradatim.files import remove_partial
from gradatim.train.checkpoint import (
    Checkpoint,
    kept_steps,
    latest_step,
    read_checkpoint,
    write_checkpoint,
)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        groups={
            "weights": {"a": torch.full((2, 3), float(step))},
            "moment": {"a": torch.ones(2, 3), "count": torch.tensor(float(step))},
        },
        curriculum={"remaining": np.arange(step, dtype=np.uint32), "nested": {"epoch": 2}},
        ledger={"charged": {"train": 1e18 + 512.0}, "noted": {}},
        offsets={"events.jsonl": 10 * step},
        fingerprints={"store": "f"},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(3), num_kept=2)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.offsets, found.fingerprints) == (
        3,
        {"events.jsonl": 30},
        {"store": "f"},
    )
    assert found.ledger == checkpoint(3).ledger
    assert torch.equal(found.groups["weights"]["a"], torch.full((2, 3), 3.0))
    assert found.groups["moment"]["count"].item() == 3
    assert found.curriculum["nested"] == {"epoch": 2}
    assert found.curriculum["remaining"].tolist() == [0, 1, 2]
    assert found.curriculum["remaining"].dtype == np.uint32


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    assert latest_step(tmp_path) is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        write_checkpoint(tmp_path, checkpoint(step), num_kept=2)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["latest", "step-00000010", "step-00000011"]
    assert latest_step(tmp_path) == 11


def test_the_last_and_those_to_be_kept_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write_checkpoint(tmp_path, checkpoint(step), num_kept=1, kept_steps={2})
    assert kept_steps(tmp_path) == [2, 4]


def test_a_number_changed_in_the_state_is_seen(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, checkpoint(1), num_kept=1) / "state.json"
    text = path.read_text()
    assert '"events.jsonl": 10' in text
    path.write_text(text.replace('"events.jsonl": 10', '"events.jsonl": 11'))
    with pytest.raises(RecordError, match=r"state\.json is not as it was written"):
        read_checkpoint(tmp_path)


def test_half_written_folders_are_ignored_and_removed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(1), num_kept=1)
    partial = tmp_path / "checkpoints" / "step-00000002.partial"
    partial.mkdir()
    (partial / "weights.safetensors").write_bytes(b"half")
    (partial.parent / "latest.partial").write_text("step-00000002")
    assert latest_step(tmp_path) == 1
    remove_partial(tmp_path / "checkpoints")
    assert sorted(path.name for path in partial.parent.iterdir()) == ["latest", "step-00000001"]


def test_nothing_is_pickled(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, checkpoint(1), num_kept=1)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".npz", ".json"}
    with np.load(folder / "curriculum.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["array_0"]


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "moment.safetensors", "curriculum.npz", "state.json"]
)
def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, name: str) -> None:
    folder = write_checkpoint(tmp_path, checkpoint(1), num_kept=1)
    (folder / name).write_bytes(b"not what it was")
    with pytest.raises(RecordError, match="step-00000001: the latest checkpoint cannot be read"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "moment.safetensors", "curriculum.npz", "state.json"]
)
def test_one_bit_that_turned_is_seen(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path, checkpoint(1), num_kept=1) / name
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content), max(1, len(content) // 7)):
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(RecordError, match="checkpoint cannot be read"):
            read_checkpoint(tmp_path)
        content[place] ^= 1
    path.write_bytes(content)
    assert read_checkpoint(tmp_path) is not None


def test_files_of_another_step_are_seen(tmp_path: Path) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path, checkpoint(step), num_kept=2)
    one, two = (tmp_path / "checkpoints" / f"step-0000000{step}" for step in (1, 2))
    weights = (two / "weights.safetensors").read_bytes()
    (two / "weights.safetensors").write_bytes((one / "weights.safetensors").read_bytes())
    with pytest.raises(RecordError, match=r"weights\.safetensors is not as it was written"):
        read_checkpoint(tmp_path)
    (two / "weights.safetensors").write_bytes(weights)
    (two / "state.json").write_bytes((one / "state.json").read_bytes())
    with pytest.raises(RecordError, match=r"state\.json is of step 1"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"../../elsewhere", b"step-x", b"\xff\n"])
def test_a_latest_that_names_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    write_checkpoint(tmp_path, checkpoint(1), num_kept=1)
    (tmp_path / "checkpoints" / "latest").write_bytes(content)
    with pytest.raises(RecordError, match=r"latest: names no checkpoint; expected one of step-000"):
        read_checkpoint(tmp_path)


def test_pruning_after_latest_was_pointed_back_keeps_what_is_new(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, checkpoint(step), num_kept=3)
    (tmp_path / "checkpoints" / "latest").write_text("step-00000001")
    write_checkpoint(tmp_path, checkpoint(2), num_kept=2)
    assert kept_steps(tmp_path) == [1, 2]
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2


def test_latest_names_the_old_checkpoint_until_it_names_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, checkpoint(1), num_kept=2)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, checkpoint(2), num_kept=2)
    monkeypatch.undo()
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    write_checkpoint(tmp_path, checkpoint(2), num_kept=2)
    assert latest_step(tmp_path) == 2
