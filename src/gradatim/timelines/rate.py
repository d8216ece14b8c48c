"""Rate timelines: how large a step is now."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNUSED_SETTINGS = {
    "constant": ("decay_fraction", "end_ratio"),
    "cosine": ("decay_fraction",),
    "wsd": (),
}


class Rate(BaseModel):
    """The learning rate over the course of training.

    Args:
        kind: what follows the warm-up: `constant`; `cosine`, half a wave down to the end ratio
            (Loshchilov and Hutter 2017, arXiv 1608.03983); `wsd`, stable and then linear decay
            (Hu et al. 2024, arXiv 2404.06395).
        peak: the rate after warm-up; None is the default for the network's width.
        warmup_fraction: progress over which the rate rises linearly from 0.
        decay_fraction: progress over which `wsd` decays at the end.
        end_ratio: rate at the end over peak; `constant` knows no end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["constant", "cosine", "wsd"] = "cosine"
    peak: float | None = Field(default=None, gt=0, le=1e3)
    warmup_fraction: float = Field(default=0.02, ge=0, le=1)
    decay_fraction: float = Field(default=0.2, ge=0, le=1)
    end_ratio: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Rate:
        for name in UNUSED_SETTINGS[self.kind]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} means nothing to a {self.kind} rate; leave it out")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Rate:
        if self.kind == "wsd" and self.warmup_fraction + self.decay_fraction > 1 + 1e-9:
            total = self.warmup_fraction + self.decay_fraction
            raise ValueError(f"warmup_fraction + decay_fraction is {total:g}, more than the run")
        return self

    def controls(self) -> dict[str, Rate]:
        """A schedule of the rate is shared by arms, not claimed by one."""
        return {}

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        peak = "the default peak" if self.peak is None else f"a peak of {self.peak:g}"
        end = f"to {self.end_ratio:g} of it"
        after = {
            "constant": "constant",
            "cosine": f"along a cosine {end}",
            "wsd": f"constant, over the last {self.decay_fraction:.0%} linearly {end}",
        }
        return f"{self.warmup_fraction:.0%} warm-up to {peak}, then {after[self.kind]}"


def rate_factor(rate: Rate, progress: float) -> float:
    """Learning rate over peak rate at this progress, both in [0, 1].

    It is 0 at progress 0 when there is a warm-up: a trainer asks for the middle of a step.
    """
    if progress < rate.warmup_fraction:
        return progress / rate.warmup_fraction
    if rate.kind == "cosine":
        length = 1.0 - rate.warmup_fraction
        done = (progress - rate.warmup_fraction) / length if length > 0 else 1.0
        return rate.end_ratio + (1.0 - rate.end_ratio) * (1.0 + math.cos(math.pi * done)) / 2.0
    if rate.kind == "wsd" and progress > 1.0 - rate.decay_fraction:
        left = (1.0 - progress) / rate.decay_fraction
        return rate.end_ratio + (1.0 - rate.end_ratio) * left
    return 1.0
