"""The rate after the network has got another shape: from nothing once more."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Rewarmup(BaseModel):
    """A second warm-up whenever the network gets another shape; on top of the schedule.

    A network that never changes has none. Published are 40 steps of `all` (arXiv 2609.19107, whose
    warm-up begins at 0), and 250 steps of `new` with the factor 1.3 (arXiv 2602.02472; that these
    rise from 0, and go on with the others' rate after the last of the steps, is our reading).

    Args:
        steps: over which the rate rises linearly from 0.
        scope: whose rate it is: of `all` parameters, or of the `new` ones alone, which are those
            whose name or shape the network before did not have.
        factor: the rate that the new ones come to over that of the others; 1 where all rise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(ge=1, le=10_000_000)
    scope: Literal["all", "new"] = "all"
    factor: float = Field(default=1.0, gt=0, le=100)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        if self.scope == "all" and self.factor != 1:
            raise ValueError("factor means nothing where scope is all; leave it out")
        return self

    def factors(self, num_steps: float) -> tuple[float, float]:
        """What the rate of the old and of the new parameters is multiplied by.

        Args:
            num_steps: since the network got its shape, to the middle of the step.
        """
        if num_steps >= self.steps:
            return 1.0, 1.0
        risen = num_steps / self.steps
        return (risen, risen) if self.scope == "all" else (1.0, self.factor * risen)

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        whose = "" if self.scope == "all" else " of new parameters"
        end = "" if self.factor == 1 else f" to {self.factor:g} times it"
        return f"after growth the rate{whose} rises from 0{end} over {self.steps} steps"
