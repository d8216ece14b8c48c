"""A recipe: the four timelines over one compute clock, as one validated value.

Each timeline answers one question about every moment of training: `data`, which blocks may be
drawn; `objective`, what the target is; `network`, which network; `rate`, how large a step. A
timeline says its `kind`; a new method is a new kind. In Python a wrong value raises pydantic's
`ValidationError`; `Recipe.parse` and `Recipe.load` turn it into a `SpecError` that names the file,
the setting, what was expected, what came, and the nearest thing that exists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.curriculum.timeline import DataTimeline, metrics_of
from gradatim.curriculum.uniform import Uniform
from gradatim.settings import read_yaml, read_yaml_file, validated

UNUSED_SETTINGS = {
    "constant": ("decay_fraction", "end_ratio"),
    "cosine": ("decay_fraction",),
    "wsd": (),
}


class NextToken(BaseModel):
    """The target is the next token, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["next_token"] = "next_token"


class FixedNetwork(BaseModel):
    """One network, from the first step to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed"] = "fixed"


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
    peak: float | None = Field(default=None, gt=0)
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


class ScoresReference(BaseModel):
    """Scores that a model gave a store's blocks: which ones, and what they cost.

    Args:
        name: of the table beside the store; its columns are the metrics `name/column`.
        fingerprint: of its values and of everything that decided them.
        scoring_flops: of the forward passes that made it.
        reference_flops: of training the models that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    fingerprint: str
    scoring_flops: float = Field(ge=0)
    reference_flops: float = Field(ge=0)


class Scoring(BaseModel):
    """Who pays for the scores that a run's recipe uses.

    By default every run that uses them, whole and out of its own budget, as if it stood alone: the
    forward passes over the blocks, and the training of the models that made them. Only then is an
    arm at equal compute with one that needs no model.

    Args:
        charge_reference: whether training those models is charged, or only noted in the ledger; for
            models that are there anyway.
        num_sharing_runs: share the cost evenly among so many runs; what the others pay is noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    charge_reference: bool = True
    num_sharing_runs: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class Costs:
    """FLOPs by account that a run spends before its first step: charged, and only noted."""

    charged: Mapping[str, float]
    noted: Mapping[str, float]

    @property
    def charged_flops(self) -> float:
        """Sum of the charged accounts."""
        return sum(self.charged.values())


def scoring_costs(scores: Sequence[ScoresReference], scoring: Scoring) -> Costs:
    """What the scores of a run cost it, in the accounts `scoring` and `reference`."""
    totals = {
        "scoring": sum(reference.scoring_flops for reference in scores),
        "reference": sum(reference.reference_flops for reference in scores),
    }
    charged, noted = {}, {}
    num_others = scoring.num_sharing_runs - 1
    for account, flops in totals.items():
        if not flops:
            continue
        if account == "reference" and not scoring.charge_reference:
            noted[account] = flops
            continue
        charged[account] = flops / scoring.num_sharing_runs
        if num_others:
            runs = "1 other run" if num_others == 1 else f"{num_others} other runs"
            noted[f"{account}, paid by {runs}"] = flops - charged[account]
    return Costs(charged, noted)


class Recipe(BaseModel):
    """One value for each timeline. The default is the plain baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataTimeline = Uniform()
    objective: NextToken = NextToken()
    network: FixedNetwork = FixedNetwork()
    rate: Rate = Rate()

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """A recipe from nested mappings; raises `SpecError` that begins with `where`."""
        return validated(cls, values, where=where)

    @classmethod
    def from_yaml(cls, text: str, *, where: str = "recipe") -> Self:
        """A recipe from YAML; raises `SpecError` that begins with `where`."""
        return cls.parse(read_yaml(text, where=where), where=where)

    @classmethod
    def load(cls, path: Path) -> Self:
        """A recipe from a YAML file; raises `SpecError` that begins with its path."""
        return cls.parse(read_yaml_file(path), where=str(path))

    def to_yaml(self) -> str:
        """The complete recipe, defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    @property
    def score_tables(self) -> tuple[str, ...]:
        """Names of the tables of model scores that the data timeline reads, sorted."""
        return tuple(sorted({m.partition("/")[0] for m in metrics_of(self.data) if "/" in m}))

    @property
    def fingerprint(self) -> str:
        """16 hex digits; equal recipes have equal ones, however they were written down."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return blake2b(canonical.encode(), digest_size=8).hexdigest()
