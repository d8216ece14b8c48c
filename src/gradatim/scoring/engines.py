"""Who does the work: the threads of this process, or the workers of a Ray cluster.

An engine applies one function to many items and hands back what comes, as it comes. The function
is the same for both, so the results are.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar

from gradatim import errors
from gradatim.cores import num_usable_cores
from gradatim.errors import GradatimError, MissingExtraError, SpecError

Item = TypeVar("Item")
Json = Any
"""What JSON can hold: the results of an engine's work."""


class Engine(Protocol):
    """One method: work through items."""

    def map(
        self, function: Callable[[Item], Json], items: Sequence[Item]
    ) -> Iterator[tuple[int, Json]]:
        """Index and result of every item, in the order in which they are done.

        Raises:
            GradatimError: what the function raised first; work not yet begun is dropped.
        """


class Stopped(Exception):  # noqa: N818  a request, no error
    """Raised in a thread whose work nobody wants any more."""


class LocalEngine:
    """Threads of this process: the counting kernel lets the others run, and memory is shared.

    Args:
        num_workers: threads; by default one a core that this process may use.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        if num_workers is not None and num_workers < 1:
            raise SpecError(
                "too few workers", where="num_workers", expected="1 or more", got=f"{num_workers}"
            )
        self.num_workers = num_workers or num_usable_cores()
        self._stopping = threading.Event()

    def check(self) -> None:
        """To be called by long work now and then; raises `Stopped` when it should end."""
        if self._stopping.is_set():
            raise Stopped

    def map(
        self, function: Callable[[Item], Json], items: Sequence[Item]
    ) -> Iterator[tuple[int, Json]]:
        """See `Engine.map`."""
        self._stopping.clear()
        remaining = iter(enumerate(items))
        with ThreadPoolExecutor(self.num_workers, thread_name_prefix="score") as pool:
            running: dict[Future[Json], int] = {}
            try:
                while True:
                    while len(running) < 2 * self.num_workers:
                        following = next(remaining, None)
                        if following is None:
                            break
                        index, item = following
                        running[pool.submit(function, item)] = index
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), future.result()
            finally:
                self._stopping.set()
                for future in running:
                    future.cancel()


class RayEngine:
    """The workers of a Ray cluster, through Ray Data (extra `ray`).

    A worker that dies is replaced, and the item it had is done again.

    Args:
        address: of the cluster's head, as in `ray.init`; None starts a Ray on this machine, or
            joins the one that `RAY_ADDRESS` names.
        num_workers: worker processes of a Ray started here, and most items in work anywhere.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, num_workers: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingExtraError(
                "the Ray engine needs the extra `ray`",
                where="engine",
                remedy="Install it: pip install 'gradatim[ray]'",
            ) from error
        self._ray = ray
        self._num_workers = num_workers
        if not ray.is_initialized():
            is_local = address is None and "RAY_ADDRESS" not in os.environ
            options: dict[str, Any] = {}
            if is_local:
                options = {"num_cpus": num_workers, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, configure_logging=False, **options)
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of every start

    def map(
        self, function: Callable[[Item], Json], items: Sequence[Item]
    ) -> Iterator[tuple[int, Json]]:
        """See `Engine.map`."""
        if not items:
            return
        work = _Work(function, items)
        rows = self._ray.data.from_items(
            [{"index": index} for index in range(len(items))], override_num_blocks=len(items)
        ).map(work, compute=self._ray.data.TaskPoolStrategy(self._num_workers))
        for row in rows.iter_rows():
            content = json.loads(row["result"])
            if "error" in content:
                raise getattr(errors, content["error"])(content["message"])
            yield int(row["index"]), content["value"]


class _Work:
    """One item done in a worker; what the function raises on purpose becomes part of the result.

    Otherwise the cluster would wrap it, or try the item again.
    """

    def __init__(self, function: Callable[[Any], Json], items: Sequence[Any]) -> None:
        self._function = function
        self._items = items

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            content = {"value": self._function(self._items[row["index"]])}
        except GradatimError as error:
            content = {"error": type(error).__name__, "message": str(error)}
        return {"index": row["index"], "result": json.dumps(content)}
