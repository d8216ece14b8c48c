"""What a run is, which decides its bits and its name, and how it is run, which decides neither."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from gradatim.clock import Clock, lay_out
from gradatim.compute import Shape
from gradatim.errors import RecordError, check_version
from gradatim.files import hash_json, write_whole
from gradatim.recipe import Costs, Recipe, ScoresReference, Scoring, scoring_costs
from gradatim.record.lines import REMEDY

Share = Annotated[float, Field(ge=0, lt=1)]

SPEC = "spec.yaml"
TUNING = "tuning"  # the ledger's account of what a search for settings cost; noted, never charged
SCHEMA_VERSION = 2
"""Of the run folder: its specification, segments, events and checkpoints."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreReference(_Spec):
    """A block store and the model scores a run uses: where, and with which fingerprints.

    In a run's folder the path is kept twice, as seen from that folder and from the root, so that
    either may be moved with or without the other.
    """

    path: str
    fingerprint: str
    scores: tuple[ScoresReference, ...] = ()


class OptimizerSpec(_Spec):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

    Args:
        betas: decay of the first and of the second moment, a step.
        epsilon: added to the root of the second moment.
        weight_decay: decoupled, on matrices and embeddings only.
        clip_norm: largest norm of the whole gradient; null clips nothing.
    """

    betas: tuple[Share, Share] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0, le=1e6)
    clip_norm: float | None = Field(default=1.0, gt=0, allow_inf_nan=False)


class EvaluationSpec(_Spec):
    """What is measured at fixed points of progress, the same for every arm.

    Args:
        num_points: evaluations in a run, beside the one before its first step.
        num_blocks: held-out blocks, even over bands.
        num_bands: of difficulty, each given apart.
        num_tasks: task items a level and split, where the store has tasks.
        num_samples: texts generated at the end.
    """

    num_points: int = Field(default=16, ge=1, le=10_000)
    num_blocks: int = Field(default=96, ge=1, le=1_000_000)
    num_bands: int = Field(default=5, ge=1, le=100)
    num_tasks: int = Field(default=0, ge=0, le=1_000_000)
    num_samples: int = Field(default=3, ge=0, le=1_000)


class Control(_Spec):
    """What an arm is a control of, and of which kind, such as `shuffled`."""

    of: str
    kind: str


class Operation(_Spec):
    """How a run is run and what it is called: changing this changes no bit of it.

    Attributes:
        arm: its name in the study.
        control: where the arm is a control.
        budget_multiple: its budget over that of the study's arms; other than 1 are the runs of the
            baseline alone that tell what more compute buys.
        schedule: name of the rate schedule it is trained under, where its study has several.
        is_tuned: whether the arm has its own best rate here, not the study's.
        tuning_flops: spent on the search for that rate, which the ledger notes.
        checkpoint_every_fraction: of the run's FLOPs.
        checkpoint_every_minutes: and at least so often; None is by FLOPs alone.
        keep_checkpoints: how many of the last stay.
        keep_checkpoints_at: points of progress whose checkpoints stay for good.
    """

    arm: str = Field(min_length=1)
    control: Control | None = None
    budget_multiple: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    schedule: str | None = None
    is_tuned: bool = False
    tuning_flops: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    checkpoint_every_fraction: float = Field(default=0.1, ge=1e-4, le=1)
    checkpoint_every_minutes: float | None = Field(default=10.0, gt=0, allow_inf_nan=False)
    keep_checkpoints: int = Field(default=2, ge=1)
    keep_checkpoints_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()


class RunSpec(_Spec):
    """One run: rung x arm x seed, complete. Equal ones, operation aside, give equal bits.

    Attributes:
        device: kind of device it runs on; another gives other bits, so it is another run.
        precision: number format of its matrix products, as really used.
        operation: all that is not the run's identity.
    """

    store: StoreReference
    rung: str = Field(min_length=1)
    seed: int = Field(ge=0, lt=2**63)
    shape: Shape
    recipe: Recipe
    budget_flops: float = Field(gt=0, allow_inf_nan=False)
    batch_blocks: int = Field(ge=1, le=2**20)
    micro_batch_blocks: int | None = Field(default=None, ge=1)
    optimizer: OptimizerSpec = OptimizerSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    scoring: Scoring = Scoring()
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    operation: Operation

    @property
    def arm(self) -> str:
        """The name of its arm."""
        return self.operation.arm

    def identity(self) -> dict[str, Any]:
        """What decides the bits of the run, as JSON can carry it."""
        content = self.model_dump(mode="json", exclude={"operation": True, "store": {"path"}})
        if not self.store.scores:  # nobody pays for nothing
            del content["scoring"]
        return content

    def clock(self) -> Clock:
        """The run's steps, laid out.

        Raises:
            SpecError: the budget does not pay for a single step.
        """
        return lay_out(
            self.recipe,
            self.shape,
            budget_flops=self.budget_flops,
            batch_blocks=self.batch_blocks,
            costs=self._costs(),
        )

    def _costs(self) -> Costs:
        costs = scoring_costs(self.store.scores, self.scoring)
        if not self.operation.tuning_flops:
            return costs
        return Costs(costs.charged, {**costs.noted, TUNING: round(self.operation.tuning_flops)})


def run_id(spec: RunSpec) -> str:
    """16 hex digits naming the run: a hash of its identity."""
    canonical = json.dumps(spec.identity(), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def write_spec(folder: Path, spec: RunSpec) -> None:
    """Write `spec.yaml`, whole: with the run's id, and a checksum of all but the store's path."""
    content = {"schema_version": SCHEMA_VERSION, **spec.model_dump(mode="json")}
    content["run"] = run_id(spec)
    store = os.path.realpath(spec.store.path)
    from_here = os.path.relpath(store, os.path.realpath(folder))
    content["store"] |= {"path": from_here, "absolute_path": store}
    content["checksum"] = _checksum(content)
    write_whole(folder / SPEC, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_spec(folder: Path) -> RunSpec:
    """The specification in `spec.yaml`; raises as `read_named_spec` does."""
    return read_named_spec(folder)[0]


def read_named_spec(folder: Path) -> tuple[RunSpec, str | None]:
    """Read `spec.yaml`, and the run's id as it was when that was written.

    Raises:
        RecordError: it is missing, is no YAML, is of another version, or says something a run
            cannot mean.
    """
    path = folder / SPEC
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        is_mapping = isinstance(content, dict)
        checksum = content.pop("checksum", None) if is_mapping else None
        is_whole = checksum is None or checksum == _checksum(content)
        name = content.pop("run", None) if is_mapping else None
        if is_mapping:
            check_version(content.pop("schema_version", 1), SCHEMA_VERSION, path, RecordError)
            content["store"] = _with_one_path(content["store"], folder)
        spec = RunSpec.model_validate(content)
    except PermissionError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise RecordError(f"is no run folder: no {SPEC} in it", where=str(folder)) from None
    except (
        yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise RecordError(
            "is not a run specification", where=str(path), got=reason, remedy=REMEDY
        ) from None
    if not is_whole:
        raise RecordError("is damaged: it is not as it was written", where=str(path), remedy=REMEDY)
    return spec, name


def _with_one_path(store: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A store as a folder's specification names it, with the one path at which something lies."""
    if "absolute_path" not in store:
        return store
    from_here = Path(os.path.realpath(folder / store["path"]))
    path = str(from_here) if from_here.exists() else store["absolute_path"]
    rest = {name: value for name, value in store.items() if name != "absolute_path"}
    return rest | {"path": path}


def _checksum(content: dict[str, Any]) -> str:
    """Over a specification as JSON; a store may be moved, so its path is left out."""
    store = {name: value for name, value in content["store"].items() if "path" not in name}
    return hash_json(content | {"store": store})
