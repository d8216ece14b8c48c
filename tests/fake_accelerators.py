"""Accelerators that are none: enough of `torch.cuda` to see which one a process takes."""

from __future__ import annotations

import pytest
import torch


def fake_accelerators(monkeypatch: pytest.MonkeyPatch, num_devices: int) -> list[int]:
    """Let torch see so many; gives the list of those made current, the first one being 0."""
    current = [0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_devices)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current
