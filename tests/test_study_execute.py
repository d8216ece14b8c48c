"""The executor alone: what a process does with its job is a function of this file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fake_accelerators import fake_accelerators
from gradatim.blocks.store import Store
from gradatim.errors import SpecError
from gradatim.record.spec import RunSpec
from gradatim.study import execute
from gradatim.study.execute import Job, JobEvent, machine_slots, run_locally
from gradatim.study.status import study_status
from gradatim.train.layout import open_layout
from study_of_seconds import small_study
from tiny_runs import tiny_spec

OnProgress = Callable[[float, float], None]


def jobs(folder: Path, *names: str) -> list[Job]:
    """One job a name; the fakes below read from its folder's name what to do."""
    return [Job(tiny_spec(seed=seed), folder / name) for seed, name in enumerate(names)]


def wait_for(path: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.01)


def write_instead(what: Callable[[bytes], bytes]) -> None:
    """From now on this process tells the study something else than it should."""
    write = os.write
    os.write = lambda to, line: write(to, what(line))  # type: ignore[assignment]


def pretend(spec: RunSpec, folder: Path, *, on_progress: OnProgress, **_more: object) -> None:
    """What the processes of these tests do in place of training."""
    if folder.name == "killed in mid-message":
        write_instead(lambda line: line[: len(line) // 2])
        on_progress(0.5, 1.0)
        wait_for(folder.parent / "others are done")
        os.kill(os.getpid(), signal.SIGKILL)
    if folder.name == "nonsense":
        write_instead(lambda line: b"\xff\n" + line)
    if folder.name == "other nonsense":
        write_instead(lambda line: b"[1, 2]\n")
    if folder.name == "long":
        raise ValueError("A" + 50_000 * "x" + "Z")
    if folder.name == "prolific":
        for step in range(20_000):
            on_progress(step / 20_000, 1.0)
    on_progress(1.0, 1.0)


def ends_of(events: list[JobEvent]) -> dict[str, JobEvent]:
    return {event.job.folder.name: event for event in events}


def test_a_process_killed_in_mid_message_stops_nobody_else(tmp_path: Path) -> None:
    events: list[JobEvent] = []

    def take_note(event: JobEvent) -> None:
        events.append(event)
        if sum(event.kind == "finished" for event in events) == 3:
            (tmp_path / "others are done").touch()

    run_locally(
        jobs(tmp_path, "killed in mid-message", "first", "second", "third"),
        take_note,
        num_processes=2,
        train=pretend,
    )
    ends = ends_of(events)
    assert [ends[name].kind for name in ("first", "second", "third")] == 3 * ["finished"]
    # The others' ends were heard while half a message lay in its pipe.
    assert events[-1].job.folder.name == "killed in mid-message"
    assert events[-1].kind == "failed"
    assert events[-1].reason == "the process ended without a word (exit code -9)"


def test_what_cannot_be_understood_is_that_process_s_failure_alone(tmp_path: Path) -> None:
    events: list[JobEvent] = []
    run_locally(
        jobs(tmp_path, "nonsense", "other nonsense", "sound"),
        events.append,
        num_processes=2,
        train=pretend,
    )
    ends = ends_of(events)
    for name in ("nonsense", "other nonsense"):
        assert ends[name].kind == "failed"
        assert "told what cannot be understood" in ends[name].reason
    assert ends["sound"].kind == "finished"


def test_messages_are_few_and_short(tmp_path: Path) -> None:
    events: list[JobEvent] = []
    run_locally(jobs(tmp_path, "prolific", "long"), events.append, num_processes=1, train=pretend)
    told = [event for event in events if event.kind == "progress"]
    assert 1 <= len(told) < 20
    assert told[0].progress == 0.0
    reason = ends_of(events)["long"].reason
    assert len(reason) < 2100
    assert reason.startswith("Traceback (most recent call last):")
    assert " [...] " in reason
    assert reason.endswith("xZ\n")


# The processes end with the study

FOREVER = """
import os

def never_end(spec, folder, **_more):
    os.write(1, b"here\\n")
    while True:
        pass
"""
STUDY_FOREVER = """
from pathlib import Path
from forever import never_end
from gradatim.study.execute import Job, run_locally
from tiny_runs import tiny_spec

jobs = [Job(tiny_spec(seed=seed), Path(str(seed))) for seed in (1, 2)]
run_locally(jobs, lambda event: None, num_processes=2, train=never_end)
"""


def test_processes_end_within_a_moment_of_their_study(tmp_path: Path) -> None:
    script = tmp_path / "study_forever.py"
    script.write_text(STUDY_FOREVER)
    (tmp_path / "forever.py").write_text(FOREVER)
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    study = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert study.stdout is not None
    try:
        assert [study.stdout.readline() for _job in range(2)] == 2 * ["here\n"]
    finally:
        study.kill()  # SIGKILL: it can tell nobody
        killed_seconds = time.monotonic()
        study.wait()
    study.stdout.read()  # returns once the last process that could write there has ended
    study.stdout.close()
    assert time.monotonic() - killed_seconds < 3


# Slots and devices


@pytest.mark.parametrize("num_processes", [0, -1])
def test_fewer_than_one_process_is_refused(num_processes: int, tmp_path: Path) -> None:
    expected = f"processes: a study needs a process; expected 1 or more; got {num_processes}"
    with pytest.raises(SpecError, match=expected):
        run_locally(jobs(tmp_path, "any"), lambda event: None, num_processes=num_processes)


def test_slots_are_what_was_asked_else_the_accelerators_else_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execute, "num_usable_cores", lambda: 12)
    assert machine_slots() == (12, 1)
    assert machine_slots(5) == (5, 2)
    assert machine_slots(50) == (50, 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert machine_slots() == (4, 3)


def test_a_study_is_not_started_many_times_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SpecError, match="a study starts its own processes; got 2"):
        machine_slots()


def test_every_slot_has_its_device_and_slots_beyond_the_last_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (job,) = jobs(tmp_path, "any")
    used: list[torch.device] = []
    fake_accelerators(monkeypatch, 2)
    monkeypatch.setattr(execute, "_end_with_the_study", lambda: None)
    monkeypatch.setattr(execute.signal, "signal", lambda *_arguments: None)

    def use(spec: RunSpec, folder: Path, *, on_progress: OnProgress, **_more: object) -> None:
        with open_layout("cuda") as layout:
            used.append(layout.device)

    for slot in range(4):
        study, process = multiprocessing.Pipe(duplex=False)
        with study, process:
            execute._work(use, job, slot, 1, process)
            assert b"finished" in os.read(study.fileno(), 1000)
    assert used == [torch.device("cuda", index) for index in (0, 1, 0, 1)]


# Called from anywhere


NOTEBOOK = "import sys, types; sys.modules['__main__'] = m = types.ModuleType('__main__'); "


@pytest.mark.parametrize("way", ["a file", "a module", "stdin", "line by line", "a notebook"])
def test_the_page_s_snippet_runs_as_it_stands(way: str, world_store: Store, tmp_path: Path) -> None:
    study = small_study(world_store.path, budget={"tokens": 2_000}, seeds=2)
    (tmp_path / "your-own.yaml").write_text(study.to_yaml(), encoding="utf-8")
    page = (Path(__file__).parents[1] / "docs" / "index.md").read_text(encoding="utf-8")
    snippet = page.split("```python\n")[1].split("```")[0]
    assert "__name__" not in snippet
    (tmp_path / "snippet.py").write_text(snippet)
    cell = f"{NOTEBOOK} exec(open('snippet.py').read(), vars(m))"
    command = {
        "a file": ["snippet.py"],
        "a module": ["-m", "snippet"],
        "stdin": ["-"],
        "line by line": ["-i", "-q"],
        "a notebook": ["-c", cell],
    }[way]
    told = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        input=snippet if way in ("stdin", "line by line") else "",
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in told.stderr
    assert told.stdout.strip(), told.stderr
    assert [each.state for each in study_status(tmp_path / "out" / "small").states] == (
        4 * ["finished"]
    )
