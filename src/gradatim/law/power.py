"""What a study can see: the effect found in 4 of 5 studies of its size and noise.

A t-test of a mean difference sees an effect with the probability that Student's t, moved by effect
over standard error, passes its critical value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from scipy import optimize, special

from gradatim.law.comparison import Comparison
from gradatim.law.interval import LEVEL, Result
from gradatim.law.phrases import significant

POWER = 0.8
MAX_SEEDS = 100
GUESSED_NOISE = 0.01
"""Bits per byte by which runs of small networks scatter, where nobody knows better."""


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


class Sight(Result):
    """What a planned study will see.

    Attributes:
        noise: standard deviation of a run within its rung, arm and seed taken out, bits per byte.
        noise_of: whose noise that is, in words.
        effect_seen: with 80 % power, on the mean over rungs; None with one seed.
        wished: an effect asked for.
        seeds_needed: to see it so; None where nothing was wished or `MAX_SEEDS` are too few.
    """

    noise: float
    noise_of: str
    num_seeds: int
    effect_seen: float | None
    wished: float | None = None
    seeds_needed: int | None = None

    def sentences(self) -> Iterator[str]:
        """What is said below a plan."""
        noise = f"runs that scatter by {significant(self.noise)} bits per byte ({self.noise_of})"
        if self.effect_seen is None:
            yield f"With one seed nothing can be told from chance; {noise} take at least two."
        else:
            yield (
                f"With {self.num_seeds} seeds and {noise}, an effect of "
                f"{significant(self.effect_seen)} is resolved in 4 of 5 studies."
            )
        if self.wished is not None:
            needed = "more than 100" if self.seeds_needed is None else str(self.seeds_needed)
            yield f"To resolve {self.wished:g} in 4 of 5 studies takes {needed} seeds."


def sight(
    *,
    num_seeds: int,
    num_rungs: int,
    num_arms: int,
    num_methods: int,
    noise: float | None = None,
    pilot: Comparison | None = None,
    wished: float | None = None,
) -> Sight:
    """What a study of this size will see.

    Args:
        num_arms: of all kinds, the baseline and controls among them.
        noise: a guess at the scatter; `GUESSED_NOISE` by default.
        pilot: a study of the same kind, whose scatter is taken instead.
        wished: an effect to find the seeds for.
    """
    noise_of = "a guess" if noise is None else "as given"
    if pilot is not None:
        known = [each.sd**2 for each in pilot.noise if each.sd is not None]
        if known:
            noise, noise_of = math.sqrt(math.fsum(known) / len(known)), "as in the pilot"
    found = GUESSED_NOISE if noise is None else noise
    sizes = {"num_rungs": num_rungs, "num_arms": num_arms}
    error, degrees_of_freedom = standard_error(found, num_seeds=num_seeds, **sizes)
    needed = None
    if wished is not None and num_methods:
        needed = seeds_needed(wished, found, num_methods=num_methods, **sizes)
    return Sight(
        noise=found,
        noise_of=noise_of,
        num_seeds=num_seeds,
        effect_seen=effect_seen(error, degrees_of_freedom, num_methods=max(1, num_methods))
        if degrees_of_freedom
        else None,
        wished=wished,
        seeds_needed=needed,
    )
