"""How many steps a budget buys, and after which of them something else happens.

Everything here is arithmetic on the specification alone, so that every arm of a rung is
evaluated after exactly the same steps, and a resumed run needs no memory of what it planned.
A step is numbered by how many are complete after it: the first is 1, the last `num_steps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradatim.compute import training_flops
from gradatim.errors import SpecError
from gradatim.record import RunSpec

MAX_STEP_EVENTS = 500


@dataclass(frozen=True)
class StepPlan:
    """The steps of one run.

    Attributes:
        num_steps: complete steps the budget pays for.
        budget_flops: the cost of these steps: the budget without the part of a step it leaves.
        tokens_per_step: tokens read by one step, over all processes.
        flops_per_step: FLOPs one step is charged.
        evaluation_points: evaluate once this many steps are complete (0: before the first); the
            value is the point of progress it stands for.
        checkpoint_steps: write a checkpoint once this many steps are complete.
        log_every_steps: a `step` event is written every so many steps, and for the first and last.
    """

    num_steps: int
    budget_flops: float
    tokens_per_step: int
    flops_per_step: float
    evaluation_points: dict[int, float]
    checkpoint_steps: frozenset[int]
    log_every_steps: int

    def is_logged(self, step: int) -> bool:
        """Whether the record gets a `step` event for this step."""
        return step % self.log_every_steps == 0 or step in (1, self.num_steps)


def plan_steps(spec: RunSpec) -> StepPlan:
    """Lay out the steps of a run.

    Raises:
        SpecError: the budget does not pay for a single step.
    """
    tokens_per_step = spec.batch_blocks * spec.shape.context_tokens
    flops_per_step = training_flops(spec.shape, tokens_per_step)
    num_steps = math.floor(spec.budget_flops / flops_per_step + 1e-9)
    if num_steps < 1:
        raise SpecError(
            "the budget buys no training step",
            where="budget_flops",
            expected=f"at least {flops_per_step:.3g} FLOPs, the cost of one step",
            got=f"{spec.budget_flops:.3g}",
            remedy="Raise the budget, or lower batch_blocks or the shape",
        )
    num_checkpoints = max(1, round(1 / spec.checkpoint_every_fraction))
    return StepPlan(
        num_steps=num_steps,
        budget_flops=num_steps * flops_per_step,
        tokens_per_step=tokens_per_step,
        flops_per_step=flops_per_step,
        evaluation_points=_fixed_points(spec.evaluation.num_points, num_steps),
        checkpoint_steps=frozenset(_fixed_points(num_checkpoints, num_steps)) - {0},
        log_every_steps=math.ceil(num_steps / MAX_STEP_EVENTS),
    )


def _fixed_points(num_points: int, num_steps: int) -> dict[int, float]:
    """The first step at or after each progress k / num_points, k = 0..num_points.

    Where a step is the first after several points, it stands for the last of them.
    """
    return {-(-k * num_steps // num_points): k / num_points for k in range(num_points + 1)}
