"""Objective timelines: what the target is now."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class NextToken(BaseModel):
    """The target is the next token, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["next_token"] = "next_token"
