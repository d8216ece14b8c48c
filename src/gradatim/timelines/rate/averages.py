"""Averages of the weights, kept and evaluated beside those that are trained.

Where the rate stays high to the end, an average does what a decay would have done, and the best
data, which come last, keep their weight. An average begins with the weights as they are, and begins
anew when the network gets another shape.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

WEIGHTS = "weights"
"""What is trained, by the name that averages have beside it."""

TAKEN_NAMES = (WEIGHTS, "first_moment", "second_moment", "updates")
"""Of groups that a checkpoint holds in any case."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Ema(BaseModel):
    """Exponential moving average whose half-life grows with the run.

    After step t it moves towards the weights by 1 - 2^(-1 / max(1, h t)), h being the fraction: so
    at every moment half of it is what was trained in the last h of the steps. A half-life in steps
    would be too long for short runs and too short for long ones. With a constant or an inverse-root
    rate it does as well as a tuned cosine in arXiv 2602.03702, whose half-life is reported to be
    about 0.04.

    Args:
        name: of its weights in events, checkpoints, exports.
        half_life_fraction: share of the steps so far, since the network got its shape.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["ema"] = "ema"
    name: Name = "ema"
    half_life_fraction: float = Field(default=0.04, gt=0, le=1)

    def kept(self, num_steps: int) -> float:
        """The share of the average that a step leaves of it, the step being number `num_steps`."""
        return float(2.0 ** (-1.0 / max(1.0, self.half_life_fraction * num_steps)))

    @property
    def num_vectors(self) -> int:
        """Copies of the weights that it holds."""
        return 1

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        return (
            f"{self.name}, a moving average of half-life {self.half_life_fraction:.0%} of the steps"
        )


class Mean(BaseModel):
    """Mean of the last snapshots of the weights, taken at even points of progress.

    The points are counted back from the end, so the last snapshot is the end of the run. Memory and
    checkpoints hold all the snapshots. Six of them are averaged in arXiv 2511.18903; how far apart
    they lie is a choice of ours.

    Args:
        name: of its weights in events, checkpoints, exports.
        num_snapshots: averaged; fewer while fewer were taken.
        every_fraction: of progress, between two of them.
        alpha: weight of the newer one as each comes to the average of those before it, oldest
            first; None weighs all alike. 0.2 is what that paper reports; that it weighs the newer
            one is our reading.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["mean"] = "mean"
    name: Name = "mean"
    num_snapshots: int = Field(default=6, ge=1, le=100)
    every_fraction: float = Field(default=0.02, ge=1e-4, le=1)
    alpha: float | None = Field(default=None, gt=0, le=1)

    def points(self) -> tuple[Fraction, ...]:
        """The points of progress at which snapshots are taken, rising to 1."""
        every = Fraction(str(self.every_fraction))
        return tuple(sorted(1 - every * k for k in range(int(1 / every) + 1) if every * k < 1))

    def shares(self, num_taken: int) -> list[float]:
        """What each of so many snapshots weighs in the average, oldest first; they sum to 1."""
        if self.alpha is None:
            return [1.0 / num_taken] * num_taken
        newer = [self.alpha * (1.0 - self.alpha) ** k for k in reversed(range(num_taken - 1))]
        return [(1.0 - self.alpha) ** (num_taken - 1), *newer]

    @property
    def num_vectors(self) -> int:
        """Copies of the weights that it holds."""
        return 1 + self.num_snapshots

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        how = "the mean" if self.alpha is None else f"a moving average (alpha {self.alpha:g})"
        each = f"one every {self.every_fraction:.2%}"
        return f"{self.name}, {how} of the last {self.num_snapshots} snapshots, {each}"


Average = Annotated[Ema | Mean, Field(discriminator="kind")]


def check_averages(averages: tuple[Ema | Mean, ...], outcome: str) -> None:
    """Refuse names that cannot be told apart, and an outcome that is not there.

    Raises:
        ValueError: in words that a user can act on.
    """
    names = [average.name for average in averages]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"two averages are called {name}; give one of them another name")
        if name in TAKEN_NAMES:
            raise ValueError(f"no average may be called {name}; that name is taken")
    if outcome not in (WEIGHTS, *names):
        there = ", ".join((WEIGHTS, *names))
        raise ValueError(f"outcome is {outcome}, which is not kept; expected one of {there}")
