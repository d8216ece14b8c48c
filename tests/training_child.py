"""Runs inside one helper process that has torch loaded, and forks the processes to be killed.

    python training_child.py kill FOLDER SEED      kill at random moments, restart, until done
    python training_child.py crash FOLDER          kill at every call that touches a checkpoint
    python training_child.py parallel FOLDER       one of several processes (RANK, WORLD_SIZE set)
    python training_child.py fail FOLDER           two processes at a time, one of which fails

Forking a warm process costs milliseconds; starting one costs seconds.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradatim.errors import GradatimError
from gradatim.record.spec import RunSpec
from gradatim.timelines.rate import Rate
from gradatim.train.run import train
from tiny_runs import HeldOutLoss, TinyStore, tiny_spec

NUM_KILLS = 20
KILL_STEPS = 300
CRASH_STEPS = 2
RATE = {
    "averages": [{"kind": "ema"}, {"kind": "mean", "num_snapshots": 2}],
    "outcome": "mean",
    "batch": {"kind": "switch", "factor": 2, "rate_rule": "sqrt"},
}


def with_rate(spec: RunSpec, rate: Mapping[str, Any] = RATE) -> RunSpec:
    """The same run under another rate, by default one with averages and a batch that widens."""
    recipe = spec.recipe.model_copy(update={"rate": Rate.model_validate(rate)})
    return spec.model_copy(update={"recipe": recipe})


def run_whole(folder: Path, num_steps: int, rate: Mapping[str, Any] | None = None) -> None:
    store = TinyStore()
    spec = with_rate(
        tiny_spec(
            num_steps, checkpoint_every_fraction=max(0.02, 1 / num_steps), keep_checkpoints=1
        ),
        rate or {},
    )
    train(spec, folder, store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]


def in_child(work: Callable[[], None]) -> int:
    """Start `work` in a forked process; gives its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def was_killed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the training process failed"
    return False


def kill_at_random_moments(folder: Path, seed: int) -> int:
    """Kill -9 until it has found the process alive twenty times; gives how many runs were ended.

    On a machine that suddenly is faster a run may end before its next kill; another is begun then.
    """
    started = time.perf_counter()
    assert not was_killed(in_child(lambda: run_whole(folder / "undisturbed", KILL_STEPS, RATE)))
    undisturbed_seconds = time.perf_counter() - started
    moments = random.Random(seed)
    num_killed, num_ended = 0, 0
    while num_killed < NUM_KILLS:
        target = folder / f"killed-{num_ended}"
        child = in_child(lambda target=target: run_whole(target, KILL_STEPS, RATE))  # type: ignore[misc]
        time.sleep(moments.uniform(0, 0.12) * undisturbed_seconds)
        os.kill(child, signal.SIGKILL)
        if was_killed(child):
            num_killed += 1
        else:
            num_ended += 1
    run_whole(folder / f"killed-{num_ended}", KILL_STEPS, RATE)
    return num_ended + 1


def dying_at(call_number: int, names: tuple[str, ...]) -> Callable[[], None]:
    """Make this process kill itself just before the n-th of these calls of the os module."""
    count = 0

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            if count == call_number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return wrapper

    def arm() -> None:
        for name in names:
            setattr(os, name, guarded(getattr(os, name)))

    return arm


def kill_at_every_call(folder: Path) -> int:
    """Kill before each fsync, rename, replace and rmdir of a run; gives how many."""
    run_whole(folder / "undisturbed", CRASH_STEPS)
    call_number = 0
    while True:
        call_number += 1
        arm = dying_at(call_number, ("fsync", "rename", "replace", "rmdir"))
        target = folder / "crashed"
        shutil.rmtree(target, ignore_errors=True)

        def work(arm: Callable[[], None] = arm, target: Path = target) -> None:
            arm()
            run_whole(target, CRASH_STEPS)

        if not was_killed(in_child(work)):
            return call_number - 1
        assert not was_killed(in_child(lambda: run_whole(folder / "crashed", CRASH_STEPS)))
        for name in ("events.jsonl", "blocks.bin", "losses.bin"):
            expected = (folder / "undisturbed" / name).read_bytes()
            assert (folder / "crashed" / name).read_bytes() == expected, (call_number, name)


class FailingStore(TinyStore):
    """Fails in one of the processes, where it is opened or in the eighth step."""

    failure = ""
    num_reads = 0

    def read(self, block_ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        self.num_reads += 1
        if self.num_reads == 8 and self.failure == "dies in the loop":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.num_reads == 8 and self.failure == "raises in the loop":
            raise OSError("the disk is gone")
        return super().read(block_ids)


def fail_in_one(folder: Path, failing: int, failure: str) -> None:
    """Train in two processes of which one fails; each writes what it raised and when it ended."""
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    def work(rank: int) -> None:
        os.environ.update(together, RANK=str(rank))
        store = FailingStore()
        if rank == failing:
            store.failure = failure
            if failure == "has another store":
                store.fingerprint = "another"
        try:
            train(tiny_spec(2_000), folder / "run", store)  # type: ignore[arg-type]
        except (GradatimError, OSError) as error:
            (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        # The process lives on, as one does that caught the error: closing is not left to its end.
        time.sleep(20 if rank == failing else 0)

    children = [in_child(lambda rank=rank: work(rank)) for rank in (0, 1)]  # type: ignore[misc]
    started = time.perf_counter()
    assert not was_killed(children[1 - failing])
    print(failing, failure, time.perf_counter() - started, sep="\t")
    os.kill(children[failing], signal.SIGKILL)
    was_killed(children[failing])


FAILURES = ("has another store", "raises in the loop", "dies in the loop")


def main() -> None:
    torch.set_num_threads(1)
    mode, folder = sys.argv[1], Path(sys.argv[2])
    if mode == "kill":
        print(kill_at_random_moments(folder, int(sys.argv[3])))
    elif mode == "crash":
        print(kill_at_every_call(folder))
    elif mode == "fail":
        for failing in (0, 1):
            for failure in FAILURES:
                fail_in_one(folder / f"{failing} {failure}", failing, failure)
    else:
        store = TinyStore()
        train(with_rate(tiny_spec(20)), folder, store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
