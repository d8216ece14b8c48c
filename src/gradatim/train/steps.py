"""How many steps a budget buys, and after which of them something else happens.

Everything here is arithmetic on the specification alone, so that every arm of a rung is
evaluated after exactly the same steps, and a resumed run needs no memory of what it planned.
A step is numbered by how many are complete after it: the first is 1, the last `num_steps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradatim.compute import Ledger, training_flops
from gradatim.errors import SpecError
from gradatim.recipe import Costs, scoring_costs
from gradatim.record.spec import RunSpec

MAX_STEP_EVENTS = 500


@dataclass(frozen=True)
class StepPlan:
    """The steps of one run.

    Attributes:
        num_steps: complete steps the budget pays for.
        costs: what is spent before the first step, on the scores the recipe uses.
        budget_flops: the cost of all that: the budget without the part of a step it leaves.
        tokens_per_step: tokens read by one step, over all processes.
        flops_per_step: FLOPs one step is charged.
        evaluation_points: evaluate once this many steps are complete (0: before the first); the
            value is the point of progress it stands for.
        waiting_points: later points that pass before the first step, while the scores are made;
            the network is evaluated as it starts.
        checkpoint_steps: write a checkpoint once this many steps are complete.
        kept_steps: those whose checkpoint stays for good.
        log_every_steps: a `step` event is written every so many steps, and for the first and last.
    """

    num_steps: int
    costs: Costs
    budget_flops: float
    tokens_per_step: int
    flops_per_step: float
    evaluation_points: dict[int, float]
    waiting_points: tuple[float, ...]
    checkpoint_steps: frozenset[int]
    kept_steps: frozenset[int]
    log_every_steps: int

    def is_logged(self, step: int) -> bool:
        """Whether the record gets a `step` event for this step."""
        return step % self.log_every_steps == 0 or step in (1, self.num_steps)

    def ledger_at_first_step(self) -> Ledger:
        """A ledger with what is spent before the first step."""
        ledger = Ledger(self.budget_flops)
        for account, flops in self.costs.charged.items():
            ledger.charge(account, flops)
        for account, flops in self.costs.noted.items():
            ledger.note(account, flops)
        return ledger

    def timeline_progress(self, ledger: Ledger) -> float:
        """Where the timelines stand: share of the steps' FLOPs that is charged, 0 to 1.

        It is the ledger's progress but for what was spent before the first step. The clock of the
        run counts that too; a warm-up or a ramp must begin where training does, or it would be over
        before anything has learned.
        """
        if not self.costs.charged:
            return ledger.progress
        before = self.costs.charged_flops
        return max(0.0, min(1.0, (ledger.charged_flops - before) / (self.budget_flops - before)))


def plan_steps(spec: RunSpec) -> StepPlan:
    """Lay out the steps of a run.

    Raises:
        SpecError: the budget does not pay for a single step.
    """
    tokens_per_step = spec.batch_blocks * spec.shape.context_tokens
    flops_per_step = training_flops(spec.shape, tokens_per_step)
    costs = scoring_costs(spec.store.scores, spec.scoring)
    before = costs.charged_flops
    num_steps = math.floor((spec.budget_flops - before) / flops_per_step + 1e-9)
    if num_steps < 1:
        raise _too_poor(spec.budget_flops, flops_per_step, costs)
    budget_flops = before + num_steps * flops_per_step
    points = _fixed_points(spec.evaluation.num_points, num_steps)
    waiting: tuple[float, ...] = ()
    if before:
        shares = [k / spec.evaluation.num_points for k in range(1, spec.evaluation.num_points + 1)]
        waiting = tuple(share for share in shares if share * budget_flops <= before)
        points = {0: 0.0} | {
            _first_step(share, before, flops_per_step, num_steps): share
            for share in shares[len(waiting) :]
        }
    kept_steps = frozenset(
        max(1, _first_step(share, before, flops_per_step, num_steps))
        for share in spec.keep_checkpoints_at
    )
    num_checkpoints = max(1, round(1 / spec.checkpoint_every_fraction))
    return StepPlan(
        num_steps=num_steps,
        costs=costs,
        budget_flops=budget_flops,
        tokens_per_step=tokens_per_step,
        flops_per_step=flops_per_step,
        evaluation_points=points,
        waiting_points=waiting,
        checkpoint_steps=frozenset(_fixed_points(num_checkpoints, num_steps)) - {0} | kept_steps,
        kept_steps=kept_steps,
        log_every_steps=math.ceil(num_steps / MAX_STEP_EVENTS),
    )


def _fixed_points(num_points: int, num_steps: int) -> dict[int, float]:
    """The first step at or after each progress k / num_points, k = 0..num_points.

    Where a step is the first after several points, it stands for the last of them.
    """
    return {-(-k * num_steps // num_points): k / num_points for k in range(num_points + 1)}


def _first_step(progress: float, before_flops: float, step_flops: float, num_steps: int) -> int:
    """The first step by which this progress of the whole run is reached; at most the last."""
    budget_flops = before_flops + num_steps * step_flops
    steps = math.ceil((progress * budget_flops - before_flops) / step_flops - 1e-9)
    return min(num_steps, max(0, steps))


def _too_poor(budget_flops: float, step_flops: float, costs: Costs) -> SpecError:
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
