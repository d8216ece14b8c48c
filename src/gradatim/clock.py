"""The clock: every step of a run laid out before it begins, with its cost by account.

The cost of a step may change: a network grows, a teacher speaks for a while, a batch widens. So a
run's recipe, shape and budget are turned into stretches of steps that cost the same, and everything
that asks "when" reads them: progress, evaluation, checkpoints, how many blocks are drawn, the
replay of an order, the price of a plan. FLOPs are whole numbers here, so borders are exact,
whatever the sizes.

A step is numbered by how many are complete after it: the first is 1, the last `num_steps`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.compute import Ledger, Shape, training_flops
from gradatim.errors import SpecError
from gradatim.recipe import Costs, Recipe

TRAIN = "train"
MAX_STEP_EVENTS = 500
MAX_ROUNDS = 8


@dataclass(frozen=True)
class Stretch:
    """Steps that cost the same.

    Attributes:
        num_steps: how many.
        shape: the network they train.
        batch_blocks: blocks that each draws.
        flops_of_step: what each is charged, by account.
    """

    num_steps: int
    shape: Shape
    batch_blocks: int
    flops_of_step: Mapping[str, int]

    @property
    def step_flops(self) -> int:
        """What one step is charged, all accounts together."""
        return sum(self.flops_of_step.values())


@dataclass(frozen=True)
class Clock:
    """The steps of one run.

    Attributes:
        stretches: in the order of the run; none is empty.
        costs: what is spent before the first step, on the scores the recipe uses.
        block_tokens: tokens of a block.
    """

    stretches: tuple[Stretch, ...]
    costs: Costs
    block_tokens: int

    @property
    def num_steps(self) -> int:
        """Complete steps the budget pays for."""
        return sum(stretch.num_steps for stretch in self.stretches)

    @property
    def num_draws(self) -> int:
        """Blocks drawn over the run."""
        return self.draws(self.num_steps)

    @property
    def smallest_batch(self) -> int:
        """Blocks of the step that draws the fewest."""
        return min(stretch.batch_blocks for stretch in self.stretches)

    def draws(self, step: int) -> int:
        """Blocks drawn once so many steps are complete."""
        return self._sum_to(step, [stretch.batch_blocks for stretch in self.stretches])

    def tokens(self, step: int) -> int:
        """Tokens read, over all processes, once so many steps are complete."""
        return self.draws(step) * self.block_tokens

    def steps_of(self, num_draws: int) -> int:
        """Complete steps among so many draws."""
        step = 0
        for stretch in self.stretches:
            num_steps = min(stretch.num_steps, num_draws // stretch.batch_blocks)
            step += num_steps
            num_draws -= num_steps * stretch.batch_blocks
            if num_steps < stretch.num_steps:
                break
        return step

    @property
    def flops_before(self) -> int:
        """Charged before the first step."""
        return sum(self.costs.charged.values())

    @property
    def budget_flops(self) -> int:
        """Charged after the last step: the budget without the part of a step it leaves."""
        return self.flops_before + self._flops_of_steps(self.num_steps)

    def stretch_of(self, step: int) -> Stretch:
        """The stretch that a step belongs to; step 0 counts to the first."""
        ends = list(accumulate(stretch.num_steps for stretch in self.stretches))
        return self.stretches[bisect_left(ends, step)]

    def network_begun(self, step: int) -> int:
        """Steps complete when the network that takes this step got its shape; 0 at the start."""
        begun = end = 0
        shape = self.stretches[0].shape
        for stretch in self.stretches:
            if stretch.shape != shape:
                begun, shape = end, stretch.shape
            end += stretch.num_steps
            if step <= end:
                break
        return begun

    def network_before(self, step: int) -> Shape | None:
        """The shape that the network of this step had before, None where it never had another."""
        begun = self.network_begun(step)
        return self.stretch_of(begun).shape if begun else None

    def accounts(self, step: int) -> dict[str, int]:
        """Charged once so many steps are complete, by account."""
        charged = dict(self.costs.charged)
        for stretch in self.stretches:
            num_done = min(step, stretch.num_steps)
            for account, flops in stretch.flops_of_step.items():
                if num_done:
                    charged[account] = charged.get(account, 0) + num_done * flops
            step -= num_done
        return charged

    def charged_flops(self) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """The whole plan: names of accounts, and FLOPs charged [num_steps + 1, accounts].

        Row k is the state of the ledger once k steps are complete.
        """
        names = dict.fromkeys(self.costs.charged)
        for stretch in self.stretches:
            names |= dict.fromkeys(stretch.flops_of_step)
        rows = [
            np.broadcast_to(
                [float(stretch.flops_of_step.get(name, 0)) for name in names],
                (stretch.num_steps, len(names)),
            )
            for stretch in self.stretches
        ]
        start = np.array([[float(self.costs.charged.get(name, 0)) for name in names]])
        return tuple(names), np.concatenate([start, *rows]).cumsum(axis=0)

    def progress(self, step: int) -> float:
        """The clock of the run: share of the budget charged once so many steps are complete."""
        return (self.flops_before + self._flops_of_steps(step)) / self.budget_flops

    def timeline_progress(self, step: int) -> float:
        """Where the timelines stand: the steps' share of the steps' FLOPs, 0 to 1.

        It is the clock but for what was spent before the first step. A warm-up or a ramp must begin
        where training does, or it would be over before anything has learned.
        """
        return self._flops_of_steps(step) / self._flops_of_steps(self.num_steps)

    def first_step(self, progress: Fraction) -> int:
        """The first step by which this progress of the run is reached; at most the last."""
        left = math.ceil(progress * self.budget_flops) - self.flops_before
        step = 0
        for stretch in self.stretches:
            num_steps = min(stretch.num_steps, max(0, -(-left // stretch.step_flops)))
            step += num_steps
            left -= num_steps * stretch.step_flops
            if left <= 0:
                break
        return step

    def ledger(self) -> Ledger:
        """A ledger with what is spent before the first step."""
        ledger = Ledger()
        for account, flops in self.costs.charged.items():
            ledger.charge(account, flops)
        for account, flops in self.costs.noted.items():
            ledger.note(account, flops)
        return ledger

    def evaluation_points(self, num_points: int) -> dict[int, float]:
        """After which step (0: before the first) which point of progress is measured.

        The points are k / num_points; where a step is the first after several of them, it stands
        for the last.
        """
        points = {0: 0.0}
        for share in _shares(num_points):
            if share not in self.waiting_points(num_points):
                points[self.first_step(share)] = float(share)
        return points

    def waiting_points(self, num_points: int) -> tuple[Fraction, ...]:
        """Later points that pass before the first step, while the scores are made.

        The network is measured as it starts.
        """
        before = self.flops_before
        return tuple(s for s in _shares(num_points) if s * self.budget_flops <= before)

    def checkpoint_steps(self, every_fraction: float) -> frozenset[int]:
        """Write a checkpoint once so many steps are complete."""
        return frozenset(map(self.first_step, _shares(round(1 / every_fraction)))) - {0}

    def kept_steps(self, progresses: Sequence[float]) -> frozenset[int]:
        """The steps, at least 1, that first reach these points of progress."""
        return frozenset(max(1, self.first_step(Fraction(str(at)))) for at in progresses)

    def is_logged(self, step: int) -> bool:
        """Whether the record gets a `step` event: at most about 500, the first and the last."""
        every = math.ceil(self.num_steps / MAX_STEP_EVENTS)
        return step % every == 0 or step in (1, self.num_steps)

    def _flops_of_steps(self, step: int) -> int:
        return self._sum_to(step, [stretch.step_flops for stretch in self.stretches])

    def _sum_to(self, step: int, each: Sequence[int]) -> int:
        """The sum over the first steps of what each step of a stretch has."""
        total = 0
        for stretch, value in zip(self.stretches, each, strict=True):
            num_done = min(step, stretch.num_steps)
            total += num_done * value
            step -= num_done
        return total


def lay_out(
    recipe: Recipe, shape: Shape, *, budget_flops: float, batch_blocks: int, costs: Costs
) -> Clock:
    """Lay out the steps of a run.

    A border of a timeline at progress p falls on the first step that begins at p or later. Progress
    is a share of what the steps cost in all, which depends on where the borders fall; so they are
    laid until both agree. Where growth leaves no such plan, a border is off by less than two of the
    dearest steps.

    Args:
        recipe: its network timeline gives the shapes, its objective the charges besides, its rate
            the sizes of the batches.
        shape: the rung's.
        budget_flops: what the run may spend.
        batch_blocks: the run's blocks of a step, which the rate may vary.
        costs: of the scores that the recipe uses.

    Raises:
        SpecError: the budget does not pay for a single step, or a batch has no block.
    """
    pieces = _pieces(recipe, shape, batch_blocks)
    left = budget_flops - sum(costs.charged.values())
    total = left
    for _ in range(MAX_ROUNDS):
        stretches = _stretches(pieces, left, total)
        spent = sum(stretch.num_steps * stretch.step_flops for stretch in stretches)
        if spent == total or not stretches:
            break
        total = spent
    if not stretches:
        raise _too_poor(budget_flops, pieces[0][1].step_flops, costs)
    return Clock(tuple(stretches), costs, shape.context_tokens)


def _pieces(recipe: Recipe, shape: Shape, batch_blocks: int) -> list[tuple[Fraction, Stretch]]:
    """Until which progress a step costs what, from the borders of all timelines."""
    shapes, charges = recipe.network.shapes(shape), recipe.objective.charges(shape)
    batches = recipe.rate.batch_sizes(batch_blocks)
    pieces = []
    for until in sorted({border for border, _ in (*shapes, *charges, *batches)}):
        network, blocks = _at(shapes, until), _at(batches, until)
        flops = {TRAIN: training_flops(network, blocks * network.context_tokens)}
        flops |= {name: blocks * each for name, each in _at(charges, until).items()}
        pieces.append((until, Stretch(0, network, blocks, flops)))
    return pieces


def _at(stages: Sequence[tuple[Fraction, Any]], until: Fraction) -> Any:
    """The value of the stage that holds just before `until`."""
    return next(value for border, value in stages if border >= until)


def _stretches(
    pieces: Sequence[tuple[Fraction, Stretch]], left_flops: float, total_flops: float
) -> list[Stretch]:
    """As many whole steps of each piece as begin before its border and can be paid."""
    stretches: list[Stretch] = []
    charged = 0
    for until, piece in pieces:
        num_paid = math.floor((left_flops - charged) / piece.step_flops + 1e-9)
        num_steps = math.ceil((until * Fraction(total_flops) - charged) / piece.step_flops)
        num_steps = num_paid if until == 1 else min(num_paid, num_steps)
        if num_steps > 0:
            stretches.append(replace(piece, num_steps=num_steps))
            charged += num_steps * piece.step_flops
    return stretches


def slice_of(num_blocks: int, rank: int, num_processes: int) -> slice:
    """A process's part of a step's blocks: contiguous, sizes differing by at most one.

    Raises:
        SpecError: fewer blocks than processes.
    """
    if num_blocks < num_processes:
        raise SpecError(
            "some processes would have no block",
            where="batch_blocks",
            expected=f"at least {num_processes}, one a process",
            got=str(num_blocks),
            remedy="Raise batch_blocks, or the smallest factor of recipe.rate.batch",
        )
    first, last = (num_blocks * part // num_processes for part in (rank, rank + 1))
    return slice(first, last)


def _shares(num_points: int) -> list[Fraction]:
    return [Fraction(k, num_points) for k in range(1, num_points + 1)]


def _too_poor(budget_flops: float, step_flops: int, costs: Costs) -> SpecError:
    """The refusal of a budget that does not reach to the first step."""
    if not costs.charged:
        return SpecError(
            "the budget buys no training step",
            where="budget_flops",
            expected=f"at least {step_flops:.3g} FLOPs, the cost of one step",
            got=f"{budget_flops:.3g}",
            remedy="Raise the budget, or lower batch_blocks or the shape",
        )
    spent = " and ".join(f"{flops:.3g} for {name}" for name, flops in costs.charged.items())
    return SpecError(
        "the scores the recipe uses leave nothing to train on",
        where="budget_flops",
        expected=f"more than {spent}, and {step_flops:.3g} for a step",
        got=f"{budget_flops:.3g}",
        remedy=(
            "Score with a smaller or less trained model, share the cost among the runs that use "
            "the scores (scoring.num_sharing_runs), or only note the model's training "
            "(scoring.charge_reference: false)"
        ),
    )
