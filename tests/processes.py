"""Functions run in several forked processes that form a gloo group, and killed ones."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

Work = Callable[[int, int, Path], Any]


def in_processes(work: Work, num_processes: int, folder: Path) -> list[Any]:
    """What `work(rank, num_processes, folder)` gives in each process, by rank, as JSON has it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    children = []
    for rank in range(num_processes):
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": port}
        variables |= {"WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1"}
        answer = folder / f"answer-{rank}.json"
        children.append(
            start(partial(_joined, work, rank, num_processes, folder), answer, variables)
        )
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert ends == [0] * num_processes, "a process failed; see above"
    return [json.loads((folder / f"answer-{r}.json").read_text()) for r in range(num_processes)]


def start(
    work: Callable[[], Any], answer: Path | None = None, variables: dict[str, str] | None = None
) -> int:
    """Begin `work` in a forked process, whose answer is written as JSON; gives its id."""
    gc.freeze()  # a collection in the child would copy every page of the parent
    child = os.fork()
    if child:
        gc.unfreeze()
        return child
    status = 1
    try:
        torch.set_num_threads(1)  # the parent's threads are not there to be waited for
        os.environ.update(variables or {})
        found = work()
        if answer is not None:
            answer.write_text(json.dumps(found))
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _joined(work: Work, rank: int, num_processes: int, folder: Path) -> Any:
    dist.init_process_group("gloo")
    try:
        return work(rank, num_processes, folder)
    finally:
        dist.destroy_process_group()
