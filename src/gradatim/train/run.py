"""One run: draw, read, step, charge, note; evaluate and checkpoint at fixed points; survive.

The loop knows no curriculum by name: it asks for block ids at a progress and reports their losses.
Everything random is a function of the seed and a position, and everything written carries no
clock, so a run that is killed and called again leaves the same weights and the same record as one
that was left alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gradatim.blocks.store import Store
from gradatim.compute import forward_flops, num_parameters
from gradatim.errors import NotFiniteError, RecordError, StoppedError, differences
from gradatim.files import locked, naming, remove_partial
from gradatim.record.read import Record, is_finished
from gradatim.record.spec import RunSpec, write_spec
from gradatim.record.write import RunWriter, environment
from gradatim.streams import run_key
from gradatim.timelines.data.door import Announces, BlockIds, Curriculum
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.train.averages import WeightAverages
from gradatim.train.checkpoint import (
    Checkpoint,
    latest_step,
    read_checkpoint,
    write_checkpoint,
)
from gradatim.train.device import device_facts, flushed_denormals
from gradatim.train.identity import (
    check_fit,
    check_machine,
    check_same_run,
    fingerprints,
    refuse,
)
from gradatim.train.layout import Layout, open_layout
from gradatim.train.measuring import Evaluate, measured
from gradatim.train.order import block_table, order_report
from gradatim.train.rates import peak_rate, step_rates
from gradatim.train.state import State
from gradatim.train.stepper import Stepper

OnProgress = Callable[[float, float], None]

LOCK_PATIENCE_SECONDS = 2.0
"""A study that was killed leaves workers that end within a second."""


def train(
    spec: RunSpec,
    folder: Path | str,
    store: Store,
    *,
    evaluate: Evaluate | None = None,
    on_progress: OnProgress | None = None,
    stop_after_steps: int | None = None,
    is_stopping: Callable[[], bool] | None = None,
) -> Record:
    """Train one run in its folder, or go on where it was left; a finished one is returned at once.

    Args:
        spec: the complete specification.
        folder: the run folder; created where needed.
        store: the open store the specification names.
        evaluate: called at the specification's fixed points with the network and the point.
        on_progress: called after every step with progress (0 to 1) and the batch's mean loss.
        stop_after_steps: write a checkpoint and return, unfinished, after this many steps.
        is_stopping: asked before every step; once it says so, the run stops after that step.

    Raises:
        SpecError: the budget, shape, store and recipe do not fit together.
        MismatchError: the folder's run was started with something else; lists what differs.
        RecordError: another process is writing this run, or its files are damaged.
        NotFiniteError: the loss became infinite or not a number.
        StoppedError: `is_stopping` said so; a checkpoint was written.
        TrainingError: another process of the run failed.
    """
    folder = Path(folder)
    with naming(folder), ExitStack() as stack:
        stack.enter_context(flushed_denormals())
        layout = stack.enter_context(open_layout(spec.device))
        with layout.together():
            if layout.is_writer:
                stack.enter_context(run_lock(folder))
            check_same_run(spec, folder, store)
            check_machine(spec, layout.device, folder)
            is_done = is_finished(folder)
        if not is_done:
            with layout.together():
                run = _Run(spec, folder, store, layout=layout, evaluate=evaluate)
                run.restore()
                if layout.is_writer:
                    run.writer = stack.enter_context(run.open_record())
                    run.writer.truncate(run.offsets, run.hashes)
            run.go(on_progress, stop_after_steps, is_stopping)
            layout.wait_for_all()
    return Record.read(folder)


def run_lock(folder: Path) -> AbstractContextManager[None]:
    """Hold a run folder, of which there is one writer, while the context is open."""

    def busy(holder: str) -> RecordError:
        return RecordError(
            f"process {holder} is already writing this run",
            where=str(folder),
            remedy="Wait for it, or stop it and call again: the run goes on where it was",
        )

    return locked(folder / "lock", busy, patience_seconds=LOCK_PATIENCE_SECONDS)


class _Run:
    """A run in motion: everything that changes from step to step."""

    def __init__(
        self,
        spec: RunSpec,
        folder: Path,
        store: Store,
        *,
        layout: Layout,
        evaluate: Evaluate | None,
    ) -> None:
        check_fit(spec, store)
        self.spec, self.folder, self.store = spec, folder, store
        self.layout, self.evaluate = layout, evaluate
        self.writer: RunWriter | None = None  # in the one process that writes
        self.clock = spec.clock()
        layout.slice_of(self.clock.smallest_batch)  # refuses what is too small for the processes
        self.key = run_key(spec.seed, spec.rung)
        self.table = block_table(store, spec.recipe.data.metrics)
        self.fingerprints = fingerprints(spec, store, self.table)
        self.ledger = self.clock.ledger()
        self.curriculum = self.new_curriculum()
        self.step = latest_step(folder) or 0
        state = State(
            self.clock.stretch_of(self.step).shape,
            key=self.key,
            optimizer=spec.optimizer,
            device=layout.device,
            averages=WeightAverages(spec.recipe.rate.averages, self.clock),
            before=self.clock.network_before(self.step),
        )
        self.stepper = Stepper(state, spec, layout)
        wanted = spec.operation
        self.evaluation_points = self.clock.evaluation_points(spec.evaluation.num_points)
        self.kept_steps = self.clock.kept_steps(wanted.keep_checkpoints_at)
        self.checkpoint_steps = (
            self.clock.checkpoint_steps(wanted.checkpoint_every_fraction) | self.kept_steps
        )
        minutes = wanted.checkpoint_every_minutes
        self.checkpoint_every_seconds = math.inf if minutes is None else 60 * minutes
        self.checkpoint_due_seconds = time.monotonic() + self.checkpoint_every_seconds
        self.offsets: Mapping[str, int] = {}
        self.hashes: Mapping[str, str] = {}

    def new_curriculum(self) -> Curriculum:
        """The run's curriculum before its first draw."""
        return make_curriculum(
            self.spec.recipe.data, self.table, num_draws=self.clock.num_draws, seed=self.key
        )

    @property
    def progress(self) -> float:
        """The clock of the run."""
        return self.clock.progress(self.step)

    # From start to finish

    def go(
        self,
        on_progress: OnProgress | None,
        stop_after_steps: int | None,
        is_stopping: Callable[[], bool] | None,
    ) -> None:
        """Take the steps that are left, or `stop_after_steps` of them, or until it is asked to."""
        last = self.clock.num_steps
        if stop_after_steps is not None:
            last = min(last, self.step + stop_after_steps)
        if self.step == 0:
            self._start()
        while self.step < last:
            # The others go on until the one that writes leaves them.
            is_last = bool(self.writer and is_stopping and is_stopping())
            is_kept = is_last or self.step + 1 == last or self.step + 1 in self.checkpoint_steps
            is_kept |= time.monotonic() >= self.checkpoint_due_seconds
            loss_nats = self._take_step(reads_norm=is_kept)
            self._evaluate(self.evaluation_points.get(self.step))
            if is_kept:
                self._checkpoint()
            if on_progress:
                on_progress(self.progress, loss_nats)
            if is_last and self.step < last:
                raise StoppedError(
                    f"stopped after step {self.step} of {self.clock.num_steps}, as was asked",
                    where=str(self.folder),
                    remedy="The same command goes on from there",
                )
        if self.step == self.clock.num_steps:
            self._finish()

    def _start(self) -> None:
        # What the scores cost passes between here and the first step, the waiting points with it.
        scores = {scores.name: scores.fingerprint for scores in self.spec.store.scores}
        recipe = self.spec.recipe
        self._append(
            "start",
            progress=0.0,
            flops=0.0,
            run=self.fingerprints["spec"],
            plan=dict(self.curriculum.plan),
            objective=recipe.objective.sentence,
            network=recipe.network.sentence,
            rate=recipe.rate.sentence,
            num_steps=self.clock.num_steps,
            draws=self.clock.num_draws,
            num_parameters=num_parameters(self.spec.shape),
            store_fingerprint=self.store.fingerprint,
            **({"scores": scores} if scores else {}),
        )
        waiting = self.clock.waiting_points(self.spec.evaluation.num_points)
        for point in (0.0, *map(float, waiting)):
            self._evaluate(point, progress=point, flops=point * self.clock.budget_flops)

    def _take_step(self, *, reads_norm: bool) -> float:
        """One step; returns the batch's mean loss in nats."""
        before = self.clock.timeline_progress(self.step)
        stretch = self.clock.stretch_of(self.step + 1)
        self.stepper.use(stretch.shape)
        block_ids = self.curriculum.draw(before, stretch.batch_blocks)
        news = self.curriculum.news() if isinstance(self.curriculum, Announces) else None
        if news is not None:
            self._append("data", **news)
        tokens = self.store.read(self.stepper.own(block_ids))
        num_blocks = stretch.batch_blocks
        losses_of_blocks = self.stepper.gradients(tokens, before, batch_blocks=num_blocks)
        for account, flops in stretch.flops_of_step.items():
            self.ledger.charge(account, flops)
        self.step += 1
        rate, rate_of_new = step_rates(self.spec, self.clock, self.step)
        update_norm = None
        if self.spec.recipe.data.reads_update_norms:
            norm, update_norm = self.stepper.measured_update(rate, rate_of_new)
        else:
            norm = self.stepper.update(rate, rate_of_new)
        self.stepper.state.average(self.step)
        losses_nats = losses_of_blocks()
        loss_nats = float(losses_nats.mean(dtype=np.float64))
        if self.writer:
            self.writer.append_blocks(block_ids, losses_nats, update_norm)
        is_logged = self.clock.is_logged(self.step)
        # Reading the norm makes an accelerator wait, so there it is read where it is written, and
        # before a checkpoint, which must not hold weights that are gone.
        reads_norm |= is_logged or norm.device.type == "cpu"
        gradient_norm = norm.item() if reads_norm else 0.0
        if not math.isfinite(loss_nats + gradient_norm):
            self._stop_not_finite(block_ids, loss_nats, gradient_norm)
        self.curriculum.observe(block_ids, losses_nats, update_norm)
        if is_logged:
            rates = {"learning_rate": rate}
            if rate_of_new != rate:
                rates["learning_rate_of_new"] = rate_of_new
            self._append("step", loss_nats=loss_nats, **rates, gradient_norm=gradient_norm)
        return loss_nats

    def _evaluate(self, point: float | None, **clock: float) -> None:
        """Measure the network as it is; the event's clock is the run's unless another is given."""
        if self.evaluate is None or point is None or not self.writer:
            return
        state, rate = self.stepper.state, self.spec.recipe.rate
        num_tokens = len(rate.evaluated) * self.evaluate.num_tokens(point)
        self.ledger.note("evaluate", sum(forward_flops(state.shape, num_tokens).values()))
        for event in measured(self.evaluate, state, rate, point):
            self._append(**(event | clock))
        self._note_time()

    def _finish(self) -> None:
        if not self.writer:
            return
        assert self.ledger.accounts() == self.clock.accounts(self.step), "the plan was not followed"
        del self.curriculum  # its replay needs as much memory
        self.writer.check()  # what the order is judged by
        record = Record.read(self.folder)
        evaluations = record.evaluations()
        self._append(
            "finish",
            ledger={name: float(flops) for name, flops in self.ledger.accounts().items()},
            noted={name: float(flops) for name, flops in self.ledger.noted().items()},
            largest_step_flops=float(max(each.step_flops for each in self.clock.stretches)),
            final_bits_per_byte=evaluations[-1]["bits_per_byte"]["all"] if evaluations else None,
            **order_report(record, self.new_curriculum(), self.store, self.clock),
        )
        self._note_time()
        self.writer.flush(sync=True)

    def _stop_not_finite(
        self, block_ids: BlockIds, loss_nats: float, gradient_norm: float
    ) -> NoReturn:
        blocks = block_ids.tolist()
        if self.writer:
            self._append("not_finite", blocks=blocks)
            self.writer.flush(sync=True)
        kept = latest_step(self.folder)
        raise NotFiniteError(
            f"step {self.step} went wrong in its blocks {', '.join(map(str, blocks))}",
            where=str(self.folder),
            expected="a finite loss and gradient",
            got=f"loss {loss_nats}, gradient norm {gradient_norm}",
            remedy=(
                f"See the texts with `gradatim explain {self.folder} --step {self.step}`; lower "
                f"recipe.rate.peak (here {peak_rate(self.spec):.3g}) or train in float32; "
                + (
                    f"the checkpoint of step {kept} is kept"
                    if kept
                    else "no checkpoint was due yet"
                )
            ),
        )

    # What is written

    def _append(self, event: str, **content: Any) -> None:
        if self.writer:
            self.writer.append(
                {
                    "event": event,
                    "step": self.step,
                    "progress": self.progress,
                    "tokens": self.clock.tokens(self.step),
                    "flops": float(self.ledger.charged_flops),
                    **content,
                }
            )

    def _note_time(self) -> None:
        if self.writer:
            self.writer.append_timing(step=self.step, tokens=self.clock.tokens(self.step))

    def _checkpoint(self) -> None:
        self.checkpoint_due_seconds = time.monotonic() + self.checkpoint_every_seconds
        if not self.writer:
            return
        self._note_time()
        self.writer.flush(sync=True)
        checkpoint = Checkpoint(
            step=self.step,
            groups=self.stepper.state.groups(),
            curriculum=self.curriculum.state(),
            ledger=self.ledger.state(),
            offsets=self.writer.offsets(),
            hashes=self.writer.hashes(),
            fingerprints=self.fingerprints,
        )
        write_checkpoint(
            self.folder,
            checkpoint,
            num_kept=self.spec.operation.keep_checkpoints,
            kept_steps=self.kept_steps,
        )

    def open_record(self) -> RunWriter:
        """The record, to be cut back to where this process goes on."""
        for folder in (self.folder, self.folder / "checkpoints"):
            remove_partial(folder)
        write_spec(self.folder, self.spec)
        facts = device_facts(self.layout.device, self.stepper.dtype)
        processes = {"num_processes": self.layout.num_processes}
        return RunWriter(
            self.folder,
            environment=environment() | facts | processes,
            keeps_update_norms=self.spec.recipe.data.reads_update_norms,
        )

    def restore(self) -> None:
        """Go back to the latest checkpoint where there is one, in every process.

        Raises:
            MismatchError: store, difficulty or specification are not those of the checkpoint.
            RecordError: the checkpoint is damaged.
        """
        checkpoint = read_checkpoint(self.folder)
        if checkpoint is not None:
            refuse(list(differences(checkpoint.fingerprints, self.fingerprints)), self.folder)
            self.step, self.offsets = checkpoint.step, checkpoint.offsets
            self.hashes = checkpoint.hashes
            self.ledger.restore(checkpoint.ledger)
            self.curriculum.restore(checkpoint.curriculum)
            self.stepper.state.restore(checkpoint.groups)
