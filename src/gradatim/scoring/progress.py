"""How far a scoring is, for people: bars on a terminal, now and then a line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def rate_progress(console: Console | None) -> Iterator[Callable[[str, int, int], None]]:
    """A bar a stage with rate and remaining time; a line now and then where no bar can be drawn."""
    if console is not None and not console.is_terminal:
        yield _ProgressLines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console is None,
    ) as progress:
        bars: dict[str, Any] = {}

        def on_progress(stage: str, done_bytes: int, total_bytes: int) -> None:
            if stage not in bars:  # what was done by an earlier call is no part of the rate
                bars[stage] = progress.add_task(stage, total=total_bytes, completed=done_bytes)
            progress.update(bars[stage], completed=done_bytes)

        yield on_progress


class _ProgressLines:
    """Progress for a log: one line every ten seconds of a stage."""

    _INTERVAL_SECONDS = 10.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._began = self._told = 0.0
        self._done_before = 0

    def __call__(self, stage: str, done_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._told, self._done_before = stage, now, now, done_bytes
        if now - self._told < self._INTERVAL_SECONDS:
            return
        self._told = now
        rate = (done_bytes - self._done_before) / (now - self._began)
        line = f"{stage}: {done_bytes / 1e6:,.0f} of {total_bytes / 1e6:,.0f} MB"
        if rate > 0:
            remaining = (total_bytes - done_bytes) / rate
            line += f", {rate / 1e6:.1f} MB/s, about {remaining / 60:.1f} minutes to go"
        self._console.print(line, highlight=False, soft_wrap=True)
