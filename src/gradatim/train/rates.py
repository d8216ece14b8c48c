"""The learning rate of a step: the schedule, the batch's rule and the warm-up after growth."""

from __future__ import annotations

from gradatim.clock import Clock
from gradatim.compute import default_peak_rate
from gradatim.record.spec import RunSpec
from gradatim.timelines.rate import rate_factor


def peak_rate(spec: RunSpec) -> float:
    """The recipe's, or the default for the network's size."""
    return spec.recipe.rate.peak or default_peak_rate(spec.shape)


def step_rates(spec: RunSpec, clock: Clock, step: int) -> tuple[float, float]:
    """The rate of a step, and that of parameters which are new since the network grew.

    They are those of the step's middle: never the zero at which a schedule starts or ends.
    """
    timeline = spec.recipe.rate
    middle = (clock.timeline_progress(step - 1) + clock.timeline_progress(step)) / 2
    rate = peak_rate(spec) * rate_factor(timeline, middle)
    if timeline.batch is not None:
        rate *= timeline.batch.rate_factor(clock.stretch_of(step).batch_blocks / spec.batch_blocks)
    begun = clock.network_begun(step)
    if timeline.rewarmup is None or not begun:
        return rate, rate
    old, new = timeline.rewarmup.factors(step - begun - 0.5)
    return rate * old, rate * new
