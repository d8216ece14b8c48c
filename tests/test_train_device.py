from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fake_accelerators import fake_accelerators
from gradatim.cores import num_usable_cores
from gradatim.errors import SpecError
from gradatim.train.device import (
    compute_dtype,
    device_facts,
    fetch,
    flushed_denormals,
    limit_threads,
    own_device,
)

CPU = torch.device("cpu")


def test_denormals_are_zero_inside_and_back_outside() -> None:
    denormal = torch.tensor([1e-39])
    assert (denormal * 0.5).item() > 0
    with flushed_denormals():
        assert (denormal * 0.5).item() == 0
        with flushed_denormals():
            pass
        assert (denormal * 0.5).item() == 0
    assert (denormal * 0.5).item() > 0


def test_threads_are_limited_to_what_was_asked() -> None:
    before = torch.get_num_threads()
    try:
        limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(SpecError, match="threads: a process needs a thread; expected 1 or more"):
        limit_threads(0)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_a_cpu_computes_in_float32_unless_told_otherwise(
    precision: str, dtype: torch.dtype
) -> None:
    assert compute_dtype(precision, CPU) == dtype  # type: ignore[arg-type]


def test_auto_takes_bf16_on_an_accelerator_that_is_fast_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for capability, dtype in [((7, 5), torch.float32), ((9, 0), torch.bfloat16)]:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device, c=capability: c)
        assert compute_dtype("auto", torch.device("cuda", 0)) == dtype


def test_the_device_is_described() -> None:
    facts = device_facts(CPU, torch.float32)
    assert facts["device"] == "cpu"
    assert facts["compute_dtype"] == "float32"
    assert facts["num_threads"] == torch.get_num_threads()
    assert facts["processor"]


# The one device of a process


def test_without_an_accelerator_the_device_is_the_processor() -> None:
    assert own_device() == CPU
    assert own_device(3) == CPU


def test_a_device_is_set_and_used_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    current = fake_accelerators(monkeypatch, 4)
    assert own_device() == torch.device("cuda", 0)
    assert own_device(2) == torch.device("cuda", 2)
    assert current[-1] == 2
    assert own_device() == torch.device("cuda", 2)


@pytest.mark.parametrize("index", [4, -1])
def test_a_device_that_is_not_there_is_refused(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_accelerators(monkeypatch, 4)
    with pytest.raises(SpecError, match=f"LOCAL_RANK: .* expected 0 to 3, .* got {index}"):
        own_device(index)


def test_what_is_fetched_is_awaited_on_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current device is 0 and the tensor's 1: the event must be the second's, or none waits."""
    calls: list[str] = []

    class Losses:
        device, shape, dtype = torch.device("cuda", 1), (3,), torch.float32

    class OnHost:
        def copy_(self, tensor: Any, *, non_blocking: bool) -> None:
            assert non_blocking
            calls.append(f"copy from {tensor.device}")

        def numpy(self) -> str:
            calls.append("read")
            return "losses"

    class Event:
        def record(self, stream: str) -> None:
            calls.append(f"record on {stream}")

        def synchronize(self) -> None:
            calls.append("wait")

    fake_accelerators(monkeypatch, 2)
    monkeypatch.setattr(torch, "empty", lambda *_shape, **_keywords: OnHost())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    losses = fetch(Losses())  # type: ignore[arg-type]
    assert calls == ["copy from cuda:1", "record on the stream of cuda:1"]
    assert losses() == "losses"  # type: ignore[comparison-overlap]
    assert calls[2:] == ["wait", "read"]


def test_on_the_processor_there_is_nothing_to_wait_for() -> None:
    assert fetch(torch.arange(3.0))().tolist() == [0, 1, 2]


# Cores


def cores_of(folder: Path, groups: str, settings: dict[str, str]) -> int:
    """What is usable of eight cores, with these lines in /proc/self/cgroup and files below."""
    (folder / "groups").write_text(groups)
    for name, content in settings.items():
        path = folder / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return num_usable_cores(folder / "groups", folder / "mounted")


@pytest.mark.parametrize(
    ("groups", "settings", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="no quota"),
        pytest.param("0::/\n", {"cpu.max": "250000 100000\n"}, 2, id="in a container"),
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 1, id="half a core"),
        pytest.param("0::/\n", {"cpu.max": "6400000 100000\n"}, 8, id="more than there are"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "300000 100000"}, 3, id="the group around"),
        pytest.param(
            "0::/a/b\n",
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "500000 100000"},
            3,
            id="the narrower",
        ),
        pytest.param("0::/of/the/host\n", {"cpu.max": "400000 100000"}, 4, id="the host's path"),
        pytest.param(
            "5:memory:/x\n4:cpu,cpuacct:/docker/x\n0::/\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            3,
            id="version 1",
        ),
        pytest.param(
            "4:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            8,
            id="version 1 without a quota",
        ),
        pytest.param("0::/\n", {"cpu.max": "what is this"}, 8, id="unreadable"),
    ],
)
def test_a_container_s_quota_bounds_the_cores(
    groups: str,
    settings: dict[str, str],
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)
    assert cores_of(tmp_path, groups, settings) == expected


def test_without_control_groups_the_cores_are_those_of_the_machine(tmp_path: Path) -> None:
    assert 1 <= num_usable_cores(tmp_path / "none", tmp_path) <= (os.cpu_count() or math.inf)
