"""How far long work is, for people: bars on a terminal, now and then a line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 10.0
RATE_SECONDS = 2.0
"""What is told of a stage's rate before is the rate of its start."""

OnProgress = Callable[[str, int, int], None]
"""Hears a stage, how much of it is done, and how much there is in all (0 where nobody can say)."""


def bars(console: Console) -> Progress:
    """Bars with a share, the time, and a text (`note=`); drawn only on a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        speed_estimate_period=120,
    )


@contextmanager
def stage_progress(console: Console | None, unit: str = "bytes") -> Iterator[OnProgress]:
    """A bar a stage, with its rate; where no bar can be drawn, a line every ten seconds.

    Args:
        console: nothing is shown without one.
        unit: of what is counted; bytes are shown as MB.
    """
    console = console or Console(quiet=True)
    with bars(console) as progress:
        yield _Stages(console, progress, unit)


class _Stages:
    """One stage after the other; what an earlier call did is no part of a rate."""

    def __init__(self, console: Console, progress: Progress, unit: str) -> None:
        self._console, self._progress, self._unit = console, progress, unit
        self._stage, self._bar = "", TaskID(0)
        self._began = self._told = 0.0
        self._num_before = 0

    def __call__(self, stage: str, num_done: int, num_total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._told, self._num_before = stage, now, now, num_done
            self._bar = self._progress.add_task(stage, completed=num_done, note="")
        seconds = now - self._began
        rate = (num_done - self._num_before) / seconds if seconds >= RATE_SECONDS else 0.0
        note = f"{self._amount(rate)} a second" if rate > 0 else ""
        self._progress.update(self._bar, completed=num_done, total=num_total or None, note=note)
        if self._console.is_terminal or now - self._told < LINE_SECONDS:
            return
        self._told = now
        line = f"{stage}: {self._amount(num_done)}"
        if num_total:
            line += f" of {self._amount(num_total)}"
        if rate > 0:
            line += f", {note}"
            if num_total:
                line += f", about {(num_total - num_done) / rate / 60:.1f} minutes to go"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _amount(self, number: float) -> str:
        if self._unit == "bytes":
            return f"{number / 1e6:,.1f} MB"
        return f"{number:,.0f} {self._unit}"
