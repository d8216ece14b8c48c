"""Which process of how many this is, and what they exchange.

Started plainly, a run is one process. Under `torchrun` every process computes the same global draw
of blocks, trains on its slice, and sums gradients with the others, so the order of blocks does not
depend on how many take part.

One that fails takes the others with it. Before the loop they agree on it (`Layout.together`). In
the loop it breaks the group, by an error or by dying, and the others' next exchange fails: with
gloo at once. NCCL does not see a neighbour's death; there `torchrun`, which ends all when one ends
badly, is relied on, as it is before the group stands, and behind it NCCL's own timeout, after which
torch ends the process (its asynchronous error handling, on unless the environment says otherwise).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import _abort_process_group

from gradatim.clock import slice_of
from gradatim.errors import TrainingError
from gradatim.train.device import own_device

_TOLD_BYTES = 1000
"""Of an error's text, what the other processes are told."""


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
        """This process's part of a batch; raises as `clock.slice_of` does."""
        return slice_of(num_blocks, self.rank, self.num_processes)

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes.

        Raises:
            TrainingError: another process has ended.
        """
        if self.num_processes > 1:
            with _exchange():
                dist.all_reduce(tensor)

    def wait_for_all(self) -> None:
        """Return once every process has come here.

        Raises:
            TrainingError: another process has ended.
        """
        if self.num_processes > 1:
            with _exchange():
                dist.barrier()

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that ends well in all processes or in none; waits for all of them at its end.

        Inside, nothing may be exchanged, for a process that fails there would be waited for.

        Raises:
            TrainingError: another process failed in its block, or has ended; names it and says why.
        """
        if self.num_processes == 1:
            yield
            return
        try:
            yield
        except Exception as error:
            with suppress(TrainingError):  # then the others know already
                self._tell(str(error) or type(error).__name__)
            raise
        for rank, problem in enumerate(self._tell("")):
            if problem:
                raise TrainingError(f"process {rank} of {self.num_processes} failed: {problem}")

    def _tell(self, problem: str) -> list[str]:
        """What went wrong in each process, empty where nothing did; known to all on return."""
        own = torch.zeros(_TOLD_BYTES, dtype=torch.uint8)
        text = problem.encode()[:_TOLD_BYTES]
        own[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
        told = [torch.empty_like(own, device=self.device) for _ in range(self.num_processes)]
        with _exchange():
            dist.all_gather(told, own.to(self.device))
        texts = [bytes(each.tolist()).rstrip(b"\0").decode(errors="ignore") for each in told]
        if any(texts):
            # Who leaves first breaks the group, and must not before the last has heard why.
            with suppress(RuntimeError):
                dist.barrier()
        return texts


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this run has ended or cannot be reached",
            got=str(error).split(". ")[0],
            remedy="See what that one says; the same command goes on from the last checkpoint",
        ) from error


@contextmanager
def open_layout(kind: Literal["cpu", "cuda"]) -> Iterator[Layout]:
    """The layout `torchrun` describes in the environment, or a single process.

    Args:
        kind: of device the run belongs on; a run of the processor stays there.

    Joins the process group where there are several, and leaves it again unless the caller had
    joined it before. With an error inside the group is broken, so that nobody waits for this one.

    Raises:
        SpecError: this process is one more than the machine has accelerators.
    """
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    # The rank counts over all machines, the local rank on this one, as accelerators do.
    local_rank = os.environ.get("LOCAL_RANK") if num_processes > 1 else None
    device = torch.device("cpu")
    if kind == "cuda":
        device = own_device(None if local_rank is None else int(local_rank))
    if num_processes == 1:
        yield Layout(0, 1, device)
        return
    joined_here = not dist.is_initialized()
    if joined_here:
        has_gpu = device.type == "cuda"
        dist.init_process_group(
            "nccl" if has_gpu else "gloo", device_id=device if has_gpu else None
        )
    try:
        yield Layout(dist.get_rank(), dist.get_world_size(), device)
    except BaseException:
        if joined_here:
            _abort_process_group()  # unlike leaving, this waits for nobody
        raise
    if joined_here:
        dist.destroy_process_group()
