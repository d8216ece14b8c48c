"""The whole study on one screen: how far, what runs now, how long yet."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import TaskID

from gradatim.progress import bars
from gradatim.study.execute import Job, JobEvent


class StudyProgress:
    """Shows job events: live bars on a terminal, one line a finished run elsewhere.

    The bar of the study counts FLOPs, so that the remaining time is right although the runs of a
    ladder differ by orders of magnitude.
    """

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        self._console = console
        self._total_flops = sum(job.spec.budget_flops for job in jobs)
        self._done: dict[str, float] = {}
        self._num_jobs = len(jobs)
        self._num_ended = 0
        self._rows: dict[str, TaskID] = {}
        self._progress = bars(console)
        self._whole = self._progress.add_task(f"{self._num_jobs} runs", total=1.0, note="")

    def __enter__(self) -> StudyProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def share(self) -> float:
        """FLOPs done over the FLOPs of the whole study, 0 to 1."""
        return sum(self._done.values()) / self._total_flops

    def __call__(self, event: JobEvent) -> None:
        """Take note of one event."""
        key = event.job.id
        if event.kind == "started":
            self._rows[key] = self._progress.add_task(str(event.job), total=1.0, note="")
            return
        self._done[key] = event.progress * event.job.spec.budget_flops
        self._progress.update(self._whole, completed=self.share)
        if event.kind == "progress":
            loss = "" if event.loss_nats is None else f"loss {event.loss_nats:.3f}"
            self._progress.update(self._rows[key], completed=event.progress, note=loss)
            return
        self._num_ended += 1
        self._progress.remove_task(self._rows.pop(key))
        count = f"[{self._num_ended}/{self._num_jobs}]"
        if event.kind == "failed":
            self._console.print(f"{count} {event.job}: failed", markup=False, style="red")
        elif event.kind == "stopped":
            self._console.print(f"{count} {event.job}: stopped", markup=False)
        elif not self._console.is_terminal:
            self._console.print(f"{count} {event.job}: done", markup=False)
