"""Which blocks each step of somebody else's loop reads.

Loaders draw ahead: worker processes prefetch, and many loops ask for the next batch to know whether
there is one. So what has been drawn says nothing of what has been trained, and a state saved from
the drawing end would skip batches. Here two curricula of one kind walk one behind the other. The
one ahead hands out batches; the one behind draws each batch again once its step is trained, and
observes its losses. Its state is always that of the last step trained, a saved one is a copy of
it, and nothing has to be kept for every batch in between. That costs the memory of a second
curriculum and a second draw of some microseconds a step.

A timeline that reads losses depends on when they are observed. It sees those of all steps but the
last `lag_steps` (`timelines.data.lag`), however far ahead it is drawn up to that; beyond, a draw is
refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gradatim.adapters.tables import table_of_store
from gradatim.blocks.store import Store
from gradatim.errors import MismatchError, RecordError, SpecError, differences
from gradatim.files import write_whole
from gradatim.recipe import Recipe
from gradatim.timelines.data.door import BlockIds, BlockTable, Curriculum
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.lag import check_lag
from gradatim.timelines.data.method import Method
from gradatim.timelines.data.saved import from_bytes, to_bytes


class BlockSequence:
    """The batches of a whole training, and how far it has come.

    Step k, of 0 to `num_steps` - 1, is drawn at progress k / `num_steps`: the clock of a run whose
    steps all cost the same.

    Args:
        make: gives the curriculum before its first draw, the same each time.
        num_steps: steps (updates of the weights) of the whole training.
        batch_blocks: blocks a step reads, over all processes and accumulated gradients.
        lag_steps: None for a fixed order; of one that reads losses or the norms of updates, how
            many steps late they come.
        reads_update_norms: whether `trained` must be told how far the weights moved.
        largest_id: of the blocks it may draw, where that is known.
        identity: whatever else decides the order, as JSON has it; a saved state is refused where it
            differs.
    """

    def __init__(
        self,
        make: Callable[[], Curriculum],
        *,
        num_steps: int,
        batch_blocks: int,
        lag_steps: int | None = None,
        reads_update_norms: bool = False,
        largest_id: int | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("num_steps", num_steps), ("batch_blocks", batch_blocks)):
            if value < 1:
                raise SpecError("must be at least 1", where=name, got=str(value))
        self.num_steps, self.batch_blocks = num_steps, batch_blocks
        self.lag_steps, self.reads_update_norms = lag_steps, reads_update_norms
        self.largest_id = largest_id
        self._more_identity = dict(identity or {})
        self._make = make
        self._behind = make()
        self._ahead: Curriculum | None = None
        self._num_trained = self._num_drawn = 0
        self._waiting: dict[int, BlockIds] = {}  # drawn and not trained, of what reads losses
        self._lap = 0

    @property
    def plan(self) -> Mapping[str, Any]:
        """What the curriculum intends; its `sentence` says it in words."""
        return self._behind.plan

    @property
    def reads_losses(self) -> bool:
        """Whether `trained` must be told the losses."""
        return self.lag_steps is not None

    @property
    def num_trained(self) -> int:
        """Steps trained; the next batch of a new loader is that of the step after them."""
        return self._num_trained

    @property
    def num_drawn(self) -> int:
        """Steps whose batches have been handed out."""
        return self._num_drawn

    def progress(self, step: int) -> float:
        """Where the timeline stands once so many steps are complete."""
        return step / self.num_steps

    # Handing out

    def batches(self) -> Iterator[BlockIds]:
        """The batches that are left, [batch_blocks] each, from the first step not yet trained.

        A later call begins anew there, and ends what an earlier one gave.

        Raises:
            SpecError: a batch depends on losses not yet observed, or an earlier call's batches are
                still asked for.
        """
        if self._ahead is None:
            self._ahead = self._make()
        self._ahead.restore(self._behind.state())
        self._go_to(self._num_trained)
        return self._batches(self._ahead, self._lap)

    def _batches(self, ahead: Curriculum, lap: int) -> Iterator[BlockIds]:
        while lap == self._lap:
            if self._num_drawn == self.num_steps:
                return
            self._check_lead()
            block_ids = ahead.draw(self.progress(self._num_drawn), self.batch_blocks)
            if self.reads_losses:
                self._waiting[self._num_drawn] = block_ids
            self._num_drawn += 1
            yield block_ids
        raise SpecError(
            "a loader goes on where another one, or a restored state, has begun anew",
            where="block sequence",
            remedy="Iterate over one loader at a time, and begin a new iteration after restoring",
        )

    def _check_lead(self) -> None:
        lead = self._num_drawn - self._num_trained
        if self.lag_steps is not None and lead > self.lag_steps:
            raise lag_error(lead, self.lag_steps)

    # What was trained

    def trained(
        self,
        num_steps: int,
        losses_nats: ArrayLike | None = None,
        update_norm: float | None = None,
    ) -> None:
        """Note that so many steps are complete.

        Args:
            num_steps: complete now, counted from the start of the training. A fixed order may be
                told of several at once; one that reads losses is told of each.
            losses_nats: [batch_blocks] mean loss of each block of the last step, in the order in
                which they were drawn, of all processes.
            update_norm: Euclidean norm of the step's change of the weights, where it is read.

        Raises:
            SpecError: the step was not drawn, or was noted before; losses are missing, or are not
                one a block.
        """
        if not self._num_trained < num_steps <= self._num_drawn:
            raise SpecError(
                "a step is noted as trained that this sequence has not just handed out",
                where="trained",
                expected=f"step {self._num_trained + 1} to {self._num_drawn}",
                got=str(num_steps),
                remedy="See that the loop draws from this sequence, and notes each step once",
            )
        if not self.reads_losses:
            while self._num_trained < num_steps:
                self._behind.draw(self.progress(self._num_trained), self.batch_blocks)
                self._num_trained += 1
            return
        self._observe(num_steps, losses_nats, update_norm)

    def _observe(
        self, num_steps: int, losses_nats: ArrayLike | None, update_norm: float | None
    ) -> None:
        losses = np.asarray([] if losses_nats is None else losses_nats, dtype=np.float32)
        if num_steps != self._num_trained + 1 or losses.shape != (self.batch_blocks,):
            raise SpecError(
                "this timeline reads the losses of every block of every step",
                where="trained",
                expected=f"step {self._num_trained + 1} with {self.batch_blocks} losses",
                got=f"step {num_steps} with "
                + ("none" if losses_nats is None else f"losses of shape {losses.shape}"),
            )
        if self.reads_update_norms and update_norm is None:
            raise SpecError("this timeline reads the norm of every update", where="trained")
        block_ids = self._behind.draw(self.progress(self._num_trained), self.batch_blocks)
        if not np.array_equal(block_ids, self._waiting.pop(self._num_trained)):
            raise SpecError(
                "the curriculum drew otherwise when it was drawn ahead of its losses",
                where="lag_steps",
                remedy="Let it hold its observations back for lag_steps steps "
                "(gradatim.timelines.data.lag.Lagged)",
            )
        assert self._ahead is not None
        for curriculum in (self._behind, self._ahead):
            curriculum.observe(block_ids, losses, update_norm)
        self._num_trained += 1

    # Saving

    def restart(self) -> None:
        """Go back to before the first step."""
        if self._num_trained:
            self._behind = self._make()
        self._go_to(0)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on after the last step trained: arrays and numbers."""
        return {
            "num_trained": self._num_trained,
            "identity": self._identity(),
            "curriculum": self._behind.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after the step at which `state` was taken.

        Raises:
            MismatchError: it is of another sequence; lists what differs.
        """
        differing = list(differences(state["identity"], self._identity()))
        if differing:
            raise MismatchError(
                "the saved sequence of blocks is another one",
                where="block sequence",
                got=", ".join(differing[:5]),
                remedy="Go on with the timeline, blocks, seed, steps and batch it was begun with",
            )
        self._behind.restore(state["curriculum"])
        self._go_to(int(state["num_trained"]))

    def _go_to(self, step: int) -> None:
        self._num_trained = self._num_drawn = step
        self._waiting.clear()
        self._lap += 1

    def _identity(self) -> dict[str, Any]:
        """Plain JSON values, as a saved state gives them back."""
        identity = {
            "num_steps": self.num_steps,
            "batch_blocks": self.batch_blocks,
            "plan": dict(self.plan),
            **self._more_identity,
        }
        found: dict[str, Any] = json.loads(json.dumps(identity))
        return found

    def save(self, path: Path | str) -> None:
        """Write the state whole, as one `.npz` without pickles."""
        write_whole(Path(path), to_bytes(self.state()))

    def load(self, path: Path | str) -> None:
        """Restore what `save` wrote.

        Raises:
            RecordError: there is no such file, or it is damaged.
            MismatchError: it is of another sequence.
        """
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise RecordError(
                "there is no saved sequence of blocks",
                where=str(path),
                remedy="Go on from a checkpoint that was saved with one",
            ) from None
        self.restore(read_state(content, where=str(path)))


def read_state(content: bytes, *, where: str) -> dict[str, Any]:
    """A state from bytes; raises `RecordError` that begins with `where` where they are damaged."""
    try:
        state = from_bytes(content)
        if not {"num_trained", "identity", "curriculum"} <= state.keys():
            raise ValueError("holds something else")
    except ValueError as error:
        raise RecordError("is no saved sequence of blocks", where=where, got=str(error)) from error
    return state


def lag_error(lead: int, lag_steps: int) -> SpecError:
    """The refusal to draw `lead` steps ahead of the losses of a timeline that reads them."""
    return SpecError(
        "this timeline reads losses, and the loop draws batches ahead of them",
        where="data.lag_steps",
        expected=f"at least {lead}, the steps drawn ahead of the last one trained",
        got=str(lag_steps),
        remedy="Raise data.lag_steps (a DataLoader with w workers draws 2 w batches ahead), or let "
        "the loader prefetch less",
    )


def make_sequence(
    timeline: DataTimeline | Mapping[str, Any] | Path | str,
    blocks: BlockTable | Store,
    *,
    num_steps: int,
    batch_blocks: int,
    seed: int | str,
) -> BlockSequence:
    """The sequence of blocks that a data timeline means for these blocks.

    Args:
        timeline: its specification, the mapping a recipe has under `data`, or a recipe's YAML file.
        blocks: an open block store, of which the training blocks are drawn, or a table
            (`tables.table_of_columns`).
        num_steps: steps of the whole training.
        batch_blocks: blocks a step reads, over all processes.
        seed: of the order; a run of gradatim's own has `streams.run_key(seed, rung)`.

    Raises:
        SpecError: a setting that there is not, or that these blocks cannot serve.
    """
    spec: DataTimeline
    if isinstance(timeline, Method):
        spec = timeline
    elif isinstance(timeline, Mapping):
        spec = Recipe.parse({"data": timeline}, where="timeline").data
    else:
        spec = Recipe.load(Path(timeline)).data
    table = table_of_store(blocks, spec) if isinstance(blocks, Store) else blocks
    num_draws = num_steps * batch_blocks
    is_told = spec.reads_losses or spec.reads_update_norms
    check_lag(spec, num_steps)

    return BlockSequence(
        lambda: make_curriculum(spec, table, num_draws=num_draws, seed=seed),
        num_steps=num_steps,
        batch_blocks=batch_blocks,
        lag_steps=getattr(spec, "lag_steps", 0) if is_told else None,
        reads_update_norms=spec.reads_update_norms,
        largest_id=int(table.ids.max()) if len(table) else None,
        identity={"timeline": spec.model_dump(mode="json"), "seed": seed},
    )
