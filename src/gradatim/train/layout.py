"""Which process of how many this is, and what they exchange.

Started plainly, a run is one process. Under `torchrun` every process computes the same global draw
of blocks, trains on its slice, and sums gradients with the others, so the order of blocks does not
depend on how many take part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from gradatim.errors import SpecError
from gradatim.train.device import own_device


@dataclass(frozen=True)
class Layout:
    """The processes of a run and the device of this one."""

    rank: int
    num_processes: int
    device: torch.device

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the record."""
        return self.rank == 0

    def slice_of(self, num_blocks: int) -> slice:
        """This process's part of a batch: contiguous, sizes differing by at most one.

        Raises:
            SpecError: fewer blocks than processes.
        """
        if num_blocks < self.num_processes:
            raise SpecError(
                "some processes would have no block",
                where="batch_blocks",
                expected=f"at least {self.num_processes}, one a process",
                got=str(num_blocks),
            )
        first, last = (
            num_blocks * part // self.num_processes for part in (self.rank, self.rank + 1)
        )
        return slice(first, last)

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.num_processes > 1:
            dist.all_reduce(tensor)

    def wait_for_all(self) -> None:
        """Return once every process has come here."""
        if self.num_processes > 1:
            dist.barrier()


@contextmanager
def open_layout() -> Iterator[Layout]:
    """The layout `torchrun` describes in the environment, or a single process.

    Joins the process group where there are several, and leaves it again unless the caller had
    joined it before.

    Raises:
        SpecError: this process is one more than the machine has accelerators.
    """
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if num_processes == 1:
        yield Layout(0, 1, own_device())
        return
    # The rank counts over all machines, the local rank on this one, as accelerators do.
    local_rank = os.environ.get("LOCAL_RANK")
    device = own_device(None if local_rank is None else int(local_rank))
    joined_here = not dist.is_initialized()
    if joined_here:
        has_gpu = device.type == "cuda"
        dist.init_process_group(
            "nccl" if has_gpu else "gloo", device_id=device if has_gpu else None
        )
    try:
        yield Layout(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if joined_here:
            dist.destroy_process_group()
