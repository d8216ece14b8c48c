"""Real kills and real processes; see `training_child.py` for how they are started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from gradatim.record.read import Record
from gradatim.train.run import train
from tiny_runs import TinyStore, files_of, tiny_spec
from training_child import with_rate

CHILD = Path(__file__).with_name("training_child.py")


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(child: subprocess.Popen[str]) -> str:
    out, errors = child.communicate(timeout=150)
    assert child.returncode == 0, errors
    return out


def final_tensors(folder: Path) -> dict[str, bytes]:
    last = (folder / "checkpoints" / "latest").read_text()
    return {
        f"{path.stem}/{name}": tensor.numpy().tobytes()
        for path in (folder / "checkpoints" / last).glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def test_a_run_killed_at_twenty_random_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    num_ended = int(output_of(start("kill", str(tmp_path), "0")))
    undisturbed = tmp_path / "undisturbed"
    for killed in (tmp_path / f"killed-{index}" for index in range(num_ended)):
        assert Record.read(killed).is_finished
        assert files_of(killed) == files_of(undisturbed)
        assert final_tensors(killed) == final_tensors(undisturbed)
        assert list((killed / "checkpoints").glob("*.partial")) == []


def test_a_run_killed_before_any_call_to_the_disk_goes_on(tmp_path: Path) -> None:
    num_calls = int(output_of(start("crash", str(tmp_path))))
    assert num_calls > 20


def test_two_processes_draw_the_same_blocks_and_learn_the_same(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    folder = tmp_path / "two"
    children = [start("parallel", str(folder), RANK=str(rank), **together) for rank in (0, 1)]
    for child in children:
        output_of(child)
    two = Record.read(folder)
    one = train(with_rate(tiny_spec(20)), tmp_path / "one", TinyStore())  # type: ignore[arg-type]
    assert np.array_equal(two.drawn_blocks(), one.drawn_blocks())
    np.testing.assert_allclose(two.block_losses(), one.block_losses(), rtol=2e-3)
    assert two.finish is not None
    assert one.finish is not None
    assert two.finish["order_hash"] == one.finish["order_hash"]
    assert two.environment["num_processes"] == 2
    assert one.environment["num_processes"] == 1


def test_if_one_process_fails_the_other_ends(tmp_path: Path) -> None:
    """Before the loop, by an error in it, by a SIGKILL; the writer and the other one."""
    ends = [line.split("\t") for line in output_of(start("fail", str(tmp_path))).splitlines()]
    assert len(ends) == 6
    for failing, failure, seconds in ends:
        assert float(seconds) < 10, failure
        folder = tmp_path / f"{failing} {failure}"
        other = (folder / f"{1 - int(failing)}.txt").read_text()
        if failure == "has another store":
            own = (folder / f"{failing}.txt").read_text()
            assert own.startswith("MismatchError: ")
            problem = own.removeprefix("MismatchError: ")
            assert other == f"TrainingError: process {failing} of 2 failed: {problem}"
        else:
            assert other.startswith("TrainingError: another process of this run has ended")
