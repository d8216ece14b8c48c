"""The arms without which no curriculum is claimed to work: its schedule without its idea."""

from __future__ import annotations

from gradatim.timelines.data.kinds import DataTimeline
from gradatim.timelines.data.uniform import Uniform


def controls_of(spec: DataTimeline) -> dict[str, DataTimeline]:
    """Controls by name: `shuffled` and `reversed`; none for uniform, nor for a control itself.

    `shuffled` keeps the pacing and deals difficulty (or labels) out at random; `reversed` keeps
    the pacing and turns the order round.
    """
    if isinstance(spec, Uniform) or spec.control is not None:
        return {}
    return {
        "shuffled": spec.model_copy(update={"control": "shuffled"}),
        "reversed": spec.model_copy(update={"control": "reversed"}),
    }
