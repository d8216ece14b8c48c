"""A recipe: the four timelines over one compute clock, as one validated value.

Each timeline answers one question about every moment of training: `data`, which blocks may be
drawn; `objective`, what the target is; `network`, which network; `rate`, how large a step. A
timeline says its `kind`; a new method is a new kind. In Python a wrong value raises pydantic's
`ValidationError`; `Recipe.parse` and `Recipe.load` turn it into a `SpecError` that names the file,
the setting, what was expected, what came, and the nearest thing that exists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field

from gradatim.settings import read_yaml_file, validated
from gradatim.timelines.data.kinds import DataTimeline
from gradatim.timelines.data.uniform import Uniform
from gradatim.timelines.network import FixedNetwork
from gradatim.timelines.objective import NextToken
from gradatim.timelines.rate import Rate


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
    """Whole FLOPs by account that a run spends before its first step: charged, and only noted."""

    charged: Mapping[str, int]
    noted: Mapping[str, int]


def scoring_costs(scores: Sequence[ScoresReference], scoring: Scoring) -> Costs:
    """What the scores of a run cost it, in the accounts `scoring` and `reference`."""
    totals = {
        "scoring": round(sum(reference.scoring_flops for reference in scores)),
        "reference": round(sum(reference.reference_flops for reference in scores)),
    }
    charged, noted = {}, {}
    num_others = scoring.num_sharing_runs - 1
    for account, flops in totals.items():
        if not flops:
            continue
        if account == "reference" and not scoring.charge_reference:
            noted[account] = flops
            continue
        charged[account] = round(flops / scoring.num_sharing_runs)
        if num_others:
            runs = "1 other run" if num_others == 1 else f"{num_others} other runs"
            noted[f"{account}, paid by {runs}"] = flops - charged[account]
    return Costs(charged, noted)


class Recipe(BaseModel):
    """One value for each timeline. The default is the plain baseline.

    Args:
        data: which blocks may be drawn now.
        objective: what the target is now.
        network: which network is trained now.
        rate: how large a step is now.
    """

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
    def load(cls, path: Path) -> Self:
        """A recipe from a YAML file; raises `SpecError` that begins with its path."""
        return cls.parse(read_yaml_file(path), where=str(path))

    def to_yaml(self) -> str:
        """The complete recipe, defaults written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def controls(self) -> dict[str, Self]:
        """The recipes by name that have this one's cost and schedule and not its idea.

        Every timeline is asked for its own; each control changes that timeline alone.
        """
        return {
            name: self.model_copy(update={timeline: control})
            for timeline in type(self).model_fields
            for name, control in getattr(self, timeline).controls().items()
        }

    @property
    def score_tables(self) -> tuple[str, ...]:
        """Names of the tables of model scores that the data timeline reads, sorted."""
        return tuple(sorted({m.partition("/")[0] for m in self.data.metrics if "/" in m}))

    @property
    def fingerprint(self) -> str:
        """16 hex digits; equal recipes have equal ones, however they were written down."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return blake2b(canonical.encode(), digest_size=8).hexdigest()
