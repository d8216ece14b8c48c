"""The learning rate over the course of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.timelines.rate.averages import WEIGHTS, Average, check_averages
from gradatim.timelines.rate.batch import BatchSchedule
from gradatim.timelines.rate.rewarmup import Rewarmup

DEFAULTS: dict[str, dict[str, float]] = {
    "linear": {"end_ratio": 0.0},
    "inverse_sqrt": {"decay_fraction": 0.0, "end_ratio": 0.0},
}
"""Where a kind has another default than the field's."""

UNUSED_SETTINGS = {
    "constant": ("decay_fraction", "end_ratio"),
    "cosine": ("decay_fraction",),
    "wsd": (),
    "linear": ("decay_fraction",),
    "inverse_sqrt": (),
}


class Rate(BaseModel):
    """The learning rate over the course of training.

    Args:
        kind: what follows the warm-up: `constant`; `cosine`, half a wave down to the end ratio
            (Loshchilov and Hutter 2017, arXiv 1608.03983); `wsd`, stable and then linear decay
            (Hu et al. 2024, arXiv 2404.06395); `linear`, down to the end ratio over all that is
            left (to zero: Bergsma et al. 2025, arXiv 2502.15938); `inverse_sqrt`, falling with one
            over the root of progress (Vaswani et al. 2017, arXiv 1706.03762, section 5.3).
        peak: the rate after warm-up; None is the default for the network's width.
        warmup_fraction: progress over which the rate rises linearly from 0; above 0 where the kind
            is `inverse_sqrt`, whose fall begins at that progress.
        decay_fraction: progress over which `wsd` decays linearly at the end; so may `inverse_sqrt`
            (a cool-down: Zhai et al. 2022, arXiv 2106.04560), whose default is 0: none.
        end_ratio: rate at the end over peak; 0 by default where the kind is `linear` or
            `inverse_sqrt`. `constant`, and `inverse_sqrt` without a decay, know no end.
        rewarmup: after the network has got another shape; None goes on as if nothing had happened.
        batch: how many blocks a step draws over the course of training; None is always the run's
            `batch_blocks`.
        averages: of the weights, kept and evaluated beside them.
        outcome: what the run hands out at its end, to be exported and compared: `weights`, or the
            name of an average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["constant", "cosine", "wsd", "linear", "inverse_sqrt"] = "cosine"
    peak: float | None = Field(default=None, gt=0, le=1e3)
    warmup_fraction: float = Field(default=0.02, ge=0, le=1)
    decay_fraction: float = Field(default=0.2, ge=0, le=1)
    end_ratio: float = Field(default=0.1, ge=0, le=1)
    rewarmup: Rewarmup | None = None
    batch: BatchSchedule | None = None
    averages: tuple[Average, ...] = ()
    outcome: str = WEIGHTS

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        kind = values.get("kind")
        return (DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}) | dict(values)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Rate:
        unused = UNUSED_SETTINGS[self.kind]
        kind = f"a {self.kind} rate"
        if self.kind == "inverse_sqrt" and self.decay_fraction == 0:
            unused, kind = ("end_ratio",), f"an {self.kind} rate without a decay_fraction"
        for name in unused:
            default = DEFAULTS.get(self.kind, {}).get(name, type(self).model_fields[name].default)
            if getattr(self, name) != default:
                raise ValueError(f"{name} means nothing to {kind}; leave it out")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Rate:
        if self.kind not in ("wsd", "inverse_sqrt"):
            return self
        if self.warmup_fraction + self.decay_fraction > 1 + 1e-9:
            total = self.warmup_fraction + self.decay_fraction
            raise ValueError(f"warmup_fraction + decay_fraction is {total:g}, more than the run")
        if self.kind == "inverse_sqrt":
            if self.warmup_fraction == 0:
                raise ValueError("warmup_fraction must be above 0: inverse_sqrt falls from there")
            falls_to = _inverse_sqrt(self, 1.0 - self.decay_fraction)
            if self.end_ratio > falls_to:
                raise ValueError(
                    f"end_ratio {self.end_ratio:g} is above the {falls_to:.3g} at which the decay "
                    "begins; lower it"
                )
        return self

    @model_validator(mode="after")
    def _averages_have_names(self) -> Rate:
        check_averages(self.averages, self.outcome)
        return self

    @property
    def evaluated(self) -> tuple[str, ...]:
        """All that is evaluated: the weights, then their averages by name."""
        return (WEIGHTS, *(average.name for average in self.averages))

    def batch_sizes(self, batch_blocks: int) -> tuple[tuple[Fraction, int], ...]:
        """Until which progress, rising to 1, a step draws how many blocks.

        Args:
            batch_blocks: the run's.

        Raises:
            SpecError: a batch would have no block.
        """
        return ((Fraction(1), batch_blocks),) if not self.batch else self.batch.sizes(batch_blocks)

    def controls(self) -> dict[str, Rate]:
        """A schedule of the rate is shared by arms, not claimed by one."""
        return {}

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        peak = "the default peak" if self.peak is None else f"a peak of {self.peak:g}"
        end = f"to {self.end_ratio:g} of it"
        last = f"over the last {self.decay_fraction:.0%} linearly {end}"
        falling = "falling with one over the root of progress"
        after = {
            "constant": "constant",
            "cosine": f"along a cosine {end}",
            "wsd": f"constant, {last}",
            "linear": f"linearly {end}",
            "inverse_sqrt": falling + (f", {last}" if self.decay_fraction else ""),
        }
        told = [f"{self.warmup_fraction:.0%} warm-up to {peak}, then {after[self.kind]}"]
        told += [self.rewarmup.sentence] if self.rewarmup else []
        told += [self.batch.sentence] if self.batch else []
        told += [f"beside it {average.sentence}" for average in self.averages]
        told += [f"the outcome is {self.outcome}"] if self.outcome != WEIGHTS else []
        return "; ".join(told)


def rate_factor(rate: Rate, progress: float) -> float:
    """Learning rate over peak rate at this progress, both in [0, 1].

    It is 0 at progress 0 when there is a warm-up: a trainer asks for the middle of a step.
    """
    if progress < rate.warmup_fraction:
        return progress / rate.warmup_fraction
    if rate.kind in ("cosine", "linear"):
        length = 1.0 - rate.warmup_fraction
        done = (progress - rate.warmup_fraction) / length if length > 0 else 1.0
        left = 1.0 - done if rate.kind == "linear" else (1.0 + math.cos(math.pi * done)) / 2.0
        return rate.end_ratio + (1.0 - rate.end_ratio) * left
    if rate.kind == "constant":
        return 1.0
    decay_start = 1.0 - rate.decay_fraction
    stable = _inverse_sqrt if rate.kind == "inverse_sqrt" else _constant
    if progress <= decay_start:
        return stable(rate, progress)
    left = (1.0 - progress) / rate.decay_fraction
    return rate.end_ratio + (stable(rate, decay_start) - rate.end_ratio) * left


def _constant(rate: Rate, progress: float) -> float:
    return 1.0


def _inverse_sqrt(rate: Rate, progress: float) -> float:
    """1 where the warm-up ends, half of it at four times that progress."""
    return math.sqrt(rate.warmup_fraction / progress) if progress > rate.warmup_fraction else 1.0
