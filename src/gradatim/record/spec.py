"""What a run asked for: its complete specification, its name, its file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradatim.compute import Shape
from gradatim.errors import RecordError
from gradatim.recipe import Recipe, ScoresReference, Scoring

SPEC = "spec.yaml"


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreReference(_Spec):
    """A block store and the model scores a run uses: where, and with which fingerprints."""

    path: str
    fingerprint: str
    scores: tuple[ScoresReference, ...] = ()


class OptimizerSpec(_Spec):
    """AdamW; weight decay is decoupled and applies to matrices only. `None` clips nothing."""

    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)


class EvaluationSpec(_Spec):
    """What is measured at `num_points` fixed points of progress, the same for every arm."""

    num_points: int = Field(default=16, ge=1)
    num_blocks: int = Field(default=96, ge=1, description="held-out blocks, even over bands")
    num_bands: int = Field(default=5, ge=1)
    num_tasks: int = Field(default=0, ge=0, description="task items a level and split")
    num_samples: int = Field(default=3, ge=0)


class RunSpec(_Spec):
    """One run: rung x arm x seed, complete. Equal specifications give equal bits on one machine."""

    store: StoreReference
    arm: str = Field(min_length=1)
    rung: str = Field(min_length=1)
    seed: int = Field(ge=0)
    shape: Shape
    recipe: Recipe
    budget_flops: float = Field(gt=0, allow_inf_nan=False)
    batch_blocks: int = Field(ge=1)
    micro_batch_blocks: int | None = Field(default=None, ge=1)
    optimizer: OptimizerSpec = OptimizerSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    checkpoint_every_fraction: float = Field(default=0.1, gt=0, le=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    keep_checkpoints_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    scoring: Scoring = Scoring()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False


def run_id(spec: RunSpec) -> str:
    """16 hex digits naming the run: a hash of the whole specification but for the store's path.

    Settings that came later count only where they are used, so that older runs keep their names.
    """
    content = spec.model_dump(mode="json", exclude={"store": {"path"}})
    if not spec.store.scores:
        del content["scoring"], content["store"]["scores"]
    if not spec.keep_checkpoints_at:
        del content["keep_checkpoints_at"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def write_spec(folder: Path, spec: RunSpec) -> None:
    """Write `spec.yaml` aside and rename it, so that it is complete or absent."""
    content = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_whole(folder / SPEC, content)


def read_spec(folder: Path) -> RunSpec:
    """Read `spec.yaml`.

    Raises:
        RecordError: it is missing, is no YAML, or says something a run cannot mean.
    """
    path = folder / SPEC
    try:
        return RunSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecordError(f"is no run folder: no {SPEC} in it", where=str(folder)) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise RecordError("is not a run specification", where=str(path), got=reason) from None


def write_whole(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".aside")
    with aside.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
