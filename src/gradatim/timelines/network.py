"""Network timelines: which network is trained now."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gradatim.compute import Shape


class FixedNetwork(BaseModel):
    """One network, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed"] = "fixed"

    def shapes(self, shape: Shape) -> tuple[tuple[Fraction, Shape], ...]:
        """Until which progress which network is trained.

        Args:
            shape: the rung's: the last network of the run.

        Returns:
            Progress, rising to 1, and the shape trained until then.
        """
        return ((Fraction(1), shape),)

    def controls(self) -> dict[str, FixedNetwork]:
        """A network that stays as it is needs none."""
        return {}

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        return "one network throughout"
