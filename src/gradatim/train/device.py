"""The machine a run is on: accelerator, denormals, number formats, a description of it all.

Two settings decide whether a small machine is fast. Many processors (not all) handle denormal
floats, below 1.2e-38, in microcode, many times slower than normal ones; attention and Adam's second
moments make them, so they are flushed to zero. And bf16 autocast pays only where matrix units take
bf16: on CUDA from compute capability 8.0; on a CPU the casts cost more than narrow networks gain,
so `auto` means float32 there.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from gradatim.errors import SpecError

Precision = Literal["auto", "float32", "bfloat16"]


def limit_threads(num_threads: int) -> None:
    """Let torch use this many threads for one operation, in this process.

    Raises:
        SpecError: fewer than one thread.
    """
    if num_threads < 1:
        raise SpecError(
            "a process needs a thread", where="threads", expected="1 or more", got=str(num_threads)
        )
    torch.set_num_threads(num_threads)


@contextmanager
def limited_threads(num_threads: int) -> Iterator[None]:
    """Likewise, while the block runs.

    Raises:
        SpecError: fewer than one thread.
    """
    before = torch.get_num_threads()
    limit_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal floats as zero in this thread and those torch starts inside, where possible.

    The setting belongs to the processor, not to torch, so it is put back at the end: a program
    that trains may care about denormals elsewhere. Threads that torch already runs keep theirs.
    """
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    were_flushed = bool((tiny * 1.0 == 0).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_flushed)


def own_device(index: int | None = None) -> torch.device:
    """The one device of this process: an accelerator, made torch's current one, or the processor.

    Being current matters: streams and events that name no device, and what others allocate, belong
    to the current one.

    Args:
        index: of the accelerator among the visible ones; None is the current one: what was set in
            this process before, at first number 0.

    Raises:
        SpecError: there is no accelerator of that number.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    num_devices = torch.cuda.device_count()
    index = torch.cuda.current_device() if index is None else index
    if not 0 <= index < num_devices:
        raise SpecError(
            "this process has no accelerator of its own",
            where="LOCAL_RANK",
            expected=f"0 to {num_devices - 1}, the accelerators that are visible",
            got=str(index),
            remedy="Start no more processes a machine than it has accelerators",
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def fetch(tensor: Tensor) -> Callable[[], NDArray[Any]]:
    """Begin to copy a tensor to the host; the function given waits for that copy alone.

    What is asked of the accelerator afterwards may still be running then. The event is recorded on
    the stream of the tensor's own device, whichever is current.
    """
    if tensor.device.type != "cuda":
        return tensor.numpy
    on_host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    on_host.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(tensor.device))

    def wait() -> NDArray[Any]:
        copied.synchronize()
        return on_host.numpy()

    return wait


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of matrix products: what was asked, or for `auto` what pays here.

    Weights, optimizer state and losses are float32 in any case.
    """
    if precision == "auto":
        has_fast_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if has_fast_bf16 else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def kind_and_format(
    precision: Precision,
) -> tuple[Literal["cpu", "cuda"], Literal["float32", "bfloat16"]]:
    """The kind of device and the number format that runs here really use: part of what they are."""
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if has_gpu else torch.device("cpu")
    is_bf16 = compute_dtype(precision, device) == torch.bfloat16
    return "cuda" if has_gpu else "cpu", "bfloat16" if is_bf16 else "float32"


def device_facts(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What torch computes on and how, for a segment of the record."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": _processor_name(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "num_threads": torch.get_num_threads(),
        "compute_dtype": str(dtype).removeprefix("torch."),
    }


def _processor_name() -> str:
    """The model name from the kernel where it tells, else what the platform module knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
