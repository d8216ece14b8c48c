"""From a specification of the data timeline to a curriculum, and to a sentence about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from gradatim.errors import SpecError
from gradatim.timelines.data.ceiling import Ceiling, ceiling_order
from gradatim.timelines.data.door import BlockTable, Curriculum
from gradatim.timelines.data.stages import Stages, staged_order
from gradatim.timelines.data.uniform import Uniform, uniform_order

MAX_LABELS_SHOWN = 8

DataTimeline = Annotated[Uniform | Ceiling | Stages, Field(discriminator="kind")]


def metrics_of(spec: DataTimeline) -> tuple[str, ...]:
    """The difficulty columns a data timeline reads."""
    return (spec.metric,) if isinstance(spec, Ceiling) else ()


def make_curriculum(
    spec: DataTimeline, table: BlockTable, *, num_draws: int, seed: int
) -> Curriculum:
    """The curriculum that a specification means for these blocks, before its first draw.

    Args:
        spec: the data timeline.
        table: the blocks of the training split.
        num_draws: how many blocks the whole run will draw.
        seed: the run's seed; equal arguments give equal draws on every machine.

    Raises:
        SpecError: no blocks, or a specification that these blocks cannot serve.
    """
    if len(table) == 0:
        raise SpecError("there are no blocks to draw from", where="block table")
    if num_draws < 1:
        raise SpecError("a run draws at least one block", where="num_draws", got=str(num_draws))
    if len(np.unique(table.ids)) < len(table):
        raise SpecError("a block stands twice in the table", where="block table, ids")
    match spec:
        case Uniform():
            return uniform_order(spec, table, num_draws=num_draws, seed=seed)
        case Ceiling():
            return ceiling_order(spec, table, num_draws=num_draws, seed=seed)
        case Stages():
            return staged_order(spec, table, num_draws=num_draws, seed=seed)


def plan_text(plan: Mapping[str, Any]) -> str:
    """One sentence that says what a curriculum intends."""
    text = SENTENCES[plan["kind"]](plan)
    control = plan.get("control")
    return f"{control} control of: {text}" if control else text


def _draws(plan: Mapping[str, Any]) -> str:
    draws = f"{plan['num_draws']:,} draws from {plan['num_blocks']:,} blocks"
    return f"{draws}, each exactly once" if plan["sample"] == "budget" else draws


def _uniform_text(plan: Mapping[str, Any]) -> str:
    return f"every block equally likely from the start; {_draws(plan)}"


def _ceiling_text(plan: Mapping[str, Any]) -> str:
    unit = " years" if plan["metric"] == "reading_age" else ""
    rises = {"step": "stays until"}.get(plan["pacing"], f"rises ({plan['pacing']}) until")
    text = (
        f"the ceiling of {plan['metric']} starts at {plan['start_ceiling']:.1f}{unit} "
        f"({plan['start_fraction']:.0%} of blocks), {rises} {plan['ramp']:.1%} of the run and is "
        f"then gone, by when {plan['easiest_used_expected']:.0%} of the starting blocks are "
        "expected to have been drawn"
    )
    if plan["is_ramp_capped"]:
        text += f" (the {plan['easiest_used_asked']:.0%} asked for need a longer run)"
    return f"{text}; {_draws(plan)}"


def _stages_text(plan: Mapping[str, Any]) -> str:
    parts = []
    for stage in plan["stages"]:
        weights = sorted(stage["weights"].items(), key=lambda item: -item[1])
        shown = [f"{label} {w:.0%}" for label, w in weights[:MAX_LABELS_SHOWN] if w > 0]
        more = sum(w > 0 for _, w in weights) - len(shown)
        if more:
            shown.append(f"{more} more")
        parts.append(f"until {stage['until']:.0%}: {', '.join(shown)}")
    return f"mixture by {plan['by']}, {'; '.join(parts)}; {_draws(plan)}"


SENTENCES = {"uniform": _uniform_text, "ceiling": _ceiling_text, "stages": _stages_text}
