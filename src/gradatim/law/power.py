"""What a study can see: the effect found in 4 of 5 studies of its size and noise.

A t-test of a mean difference sees an effect with the probability that Student's t, moved by effect
over standard error, passes its critical value.
"""

from __future__ import annotations

import math

from scipy import optimize, special

from gradatim.law.interval import LEVEL

POWER = 0.8
MAX_SEEDS = 100


def power_of(
    effect: float, standard_error: float, degrees_of_freedom: float, level: float
) -> float:
    """Probability that a two-sided test at `level` finds the effect, with its right sign."""
    critical = special.stdtrit(degrees_of_freedom, 1 - level / 2)
    shifted = min(effect / standard_error, 1e3)
    return 1 - float(special.nctdtr(degrees_of_freedom, shifted, critical))


def effect_seen(standard_error: float, degrees_of_freedom: float, *, num_methods: int = 1) -> float:
    """The effect seen with 80 % power.

    Args:
        standard_error: of the mean difference.
        degrees_of_freedom: of the standard error.
        num_methods: that share the level.
    """
    level = LEVEL / num_methods
    critical = float(special.stdtrit(degrees_of_freedom, 1 - level / 2))

    def lacking(shift: float) -> float:
        return power_of(shift, 1.0, degrees_of_freedom, level) - POWER

    return standard_error * float(optimize.brentq(lacking, 0.0, 3 * critical + 10))


def standard_error(
    noise: float, *, num_seeds: int, num_rungs: int, num_arms: int
) -> tuple[float, float]:
    """Of a mean difference over rungs of equal noise, and its degrees of freedom.

    Args:
        noise: standard deviation of a run within its rung, arm and seed taken out.
        num_arms: of all kinds, the baseline and controls among them.
    """
    error = noise * math.sqrt(2 / (num_seeds * num_rungs))
    return error, (num_arms - 1) * (num_seeds - 1) * num_rungs


def seeds_needed(
    effect: float, noise: float, *, num_rungs: int, num_arms: int, num_methods: int
) -> int | None:
    """The fewest seeds with which the effect is seen with 80 % power; None beyond `MAX_SEEDS`."""
    for num_seeds in range(2, MAX_SEEDS + 1):
        error, degrees_of_freedom = standard_error(
            noise, num_seeds=num_seeds, num_rungs=num_rungs, num_arms=num_arms
        )
        if effect_seen(error, degrees_of_freedom, num_methods=num_methods) <= effect:
            return num_seeds
    return None
