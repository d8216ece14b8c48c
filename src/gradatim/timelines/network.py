"""Network timelines: which network is trained now."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class FixedNetwork(BaseModel):
    """One network, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed"] = "fixed"
