from __future__ import annotations

import os
from typing import Any

import pytest
import torch
import torch.distributed as dist

from fake_accelerators import fake_accelerators
from gradatim.errors import SpecError, TrainingError
from gradatim.train import layout
from gradatim.train.layout import Layout, open_layout

CPU = torch.device("cpu")


def under_torchrun(monkeypatch: pytest.MonkeyPatch, **variables: int) -> list[Any]:
    """The environment of one process of many, and a group that only notes what befalls it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    calls: list[Any] = []
    monkeypatch.setattr(
        dist, "init_process_group", lambda backend, *, device_id: calls.append((backend, device_id))
    )
    monkeypatch.setattr(dist, "get_rank", lambda: int(os.environ["RANK"]))
    monkeypatch.setattr(dist, "get_world_size", lambda: int(os.environ["WORLD_SIZE"]))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("left"))
    monkeypatch.setattr(layout, "_abort_process_group", lambda: calls.append("broken"))
    return calls


def test_a_plain_process_is_alone_on_the_current_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_layout("cuda") as alone:
        assert alone == Layout(0, 1, CPU)
        with alone.together():
            alone.wait_for_all()
    fake_accelerators(monkeypatch, 2).append(1)
    with open_layout("cuda") as alone:
        assert alone.device == torch.device("cuda", 1)


def test_on_several_machines_the_device_is_the_local_rank_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Third machine of four with two accelerators each: rank 5 is the second process there."""
    current = fake_accelerators(monkeypatch, 2)
    calls = under_torchrun(monkeypatch, WORLD_SIZE=8, RANK=5, LOCAL_RANK=1)
    second = torch.device("cuda", 1)
    with open_layout("cuda") as one_of_many:
        assert one_of_many == Layout(5, 8, second)
        assert not one_of_many.is_writer
        assert current[-1] == 1
    assert calls == [("nccl", second), "left"]


def test_more_processes_than_accelerators_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_accelerators(monkeypatch, 2)
    calls = under_torchrun(monkeypatch, WORLD_SIZE=3, RANK=2, LOCAL_RANK=2)
    with pytest.raises(SpecError, match=r"LOCAL_RANK: .* 0 to 1, .* got 2"), open_layout("cuda"):
        pass
    assert calls == []


def test_an_error_breaks_the_group_and_leaves_a_caller_s_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = under_torchrun(monkeypatch, WORLD_SIZE=2, RANK=1)
    with pytest.raises(KeyboardInterrupt), open_layout("cuda"):
        raise KeyboardInterrupt
    assert calls == [("gloo", None), "broken"]
    calls.clear()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    with pytest.raises(KeyboardInterrupt), open_layout("cuda"):
        raise KeyboardInterrupt
    with open_layout("cuda"):
        pass
    assert calls == []


def test_what_fails_in_an_exchange_is_another_process_s_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: Any) -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]. This is typically a crash")

    for name in ("all_reduce", "barrier", "all_gather"):
        monkeypatch.setattr(dist, name, fail)
    two = Layout(0, 2, CPU)
    with pytest.raises(TrainingError, match=r"has ended.*got Connection closed by peer \[127"):
        two.sum_in_place(torch.zeros(1))
    with pytest.raises(TrainingError, match="has ended"):
        two.wait_for_all()
    with pytest.raises(TrainingError, match="has ended"), two.together():
        pass
    with pytest.raises(SpecError, match="my own"), two.together():
        raise SpecError("my own")
