"""Objective timelines: what the target is now, and what it costs beside the network's own step."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gradatim.compute import Shape


class NextToken(BaseModel):
    """The target is the next token, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["next_token"] = "next_token"

    def charges(self, shape: Shape) -> tuple[tuple[Fraction, dict[str, int]], ...]:
        """Until which progress the blocks of a step cost what besides training, by account.

        Args:
            shape: the rung's; its context is the length of a block.

        Returns:
            Progress, rising to 1, and FLOPs a block by account, such as `teacher`.
        """
        return ((Fraction(1), {}),)

    def controls(self) -> dict[str, NextToken]:
        """The plain target needs none."""
        return {}

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        return "the next token"
