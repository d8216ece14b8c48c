from __future__ import annotations

import pytest
import torch

from gradatim.errors import SpecError
from gradatim.train.device import compute_dtype, device_facts, flushed_denormals, limit_threads

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
