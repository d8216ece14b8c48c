"""A run's state on disk, so written that a reader never sees half of one.

    checkpoints/
      step-00000120/  GROUP.safetensors for every group of tensors, curriculum.npz, state.json
      latest          the name of the newest complete folder

A checkpoint is written whole, and only then does `latest`, itself replaced in one step, point to
it. `state.json` holds a checksum of every other file and of itself, compared whenever a checkpoint
is read. No random generator needs saving: every draw of a run is a function of its seed and a
position.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gradatim.errors import RecordError, check_version
from gradatim.files import PARTIAL, hash_file, hash_json, write_whole, writing_whole
from gradatim.model.network import Network
from gradatim.model.tensors import save_tensors
from gradatim.record.spec import SCHEMA_VERSION, RunSpec, read_spec
from gradatim.timelines.data.saved import with_arrays, without_arrays

_PREFIX = "step-"
_IN_STATE = ("step", "ledger", "offsets", "hashes", "fingerprints")
_STATE, _CURRICULUM, _TENSORS = "state.json", "curriculum.npz", ".safetensors"

Groups = Mapping[str, Mapping[str, Tensor]]
"""Tensors by group (`weights`, `first_moment`, ...) and name."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if nothing had happened.

    Attributes:
        step: complete steps.
        groups: `weights`, the network's parameters by name, a tied one once; and whatever else of
            tensors the run needs to go on, such as moments, or may be evaluated with.
        curriculum: what `Curriculum.state()` gave: arrays and numbers, possibly nested.
        ledger: what `Ledger.state()` gave.
        offsets: how far the record's files are valid, bytes by file.
        fingerprints: of the store, the difficulty and the specification trained on.
        hashes: of the record's files as far as they are valid, by file.
    """

    step: int
    groups: Groups
    curriculum: Mapping[str, Any]
    ledger: Mapping[str, Any]
    offsets: Mapping[str, int]
    fingerprints: Mapping[str, str]
    hashes: Mapping[str, str] = field(default_factory=dict)


def write_checkpoint(
    run_folder: Path,
    checkpoint: Checkpoint,
    *,
    num_kept: int,
    kept_steps: Set[int] = frozenset(),
) -> Path:
    """Write a checkpoint, make it the latest, and remove what is not to be kept.

    Checkpoints of later steps, left where somebody pointed `latest` back, are removed too: the run
    comes to them again.

    Args:
        num_kept: how many of the last stay.
        kept_steps: those that stay however old they are.
    """
    target = _folder_of(run_folder, checkpoint.step)
    with writing_whole(target) as partial:
        partial.mkdir()
        for group, tensors in checkpoint.groups.items():
            save_tensors(_plain(tensors), partial / f"{group}{_TENSORS}")
        arrays: dict[str, NDArray[Any]] = {}
        state = {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(checkpoint, name) for name in _IN_STATE},
            "curriculum": without_arrays(checkpoint.curriculum, arrays),
        }
        with (partial / _CURRICULUM).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        state["checksums"] = {path.name: hash_file(path) for path in sorted(partial.iterdir())}
        state["checksum"] = hash_json(state)
        (partial / _STATE).write_text(json.dumps(state, indent=1))
    write_whole(target.parent / "latest", target.name)
    last = [p for p in _complete(target.parent) if _step_of(p) <= checkpoint.step]
    for folder in _complete(target.parent):
        is_kept = _step_of(folder) in kept_steps and folder in last
        if not is_kept and folder not in last[-max(1, num_kept) :]:
            shutil.rmtree(folder)
    return target


def latest_step(run_folder: Path) -> int | None:
    """Steps complete at the latest checkpoint, or None where there is none yet.

    Raises:
        RecordError: `latest` names no checkpoint, or cannot be read.
    """
    latest = run_folder / "checkpoints" / "latest"
    try:
        name = latest.read_bytes().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:  # it, or the folder it lies in, is something else
        raise RecordError(
            "cannot be read",
            where=str(latest),
            got=error.strerror,
            remedy="Remove the run folder to train anew",
        ) from None
    if not re.fullmatch(rf"{_PREFIX}\d{{8,}}", name) or not (latest.parent / name).exists():
        raise RecordError(
            "names no checkpoint",
            where=str(latest),
            expected=f"one of {', '.join(p.name for p in _complete(latest.parent))}",
            got=repr(name[:40]),
            remedy="Write the name of a checkpoint there, or remove the run folder to train anew",
        )
    return _step_of(Path(name))


def kept_steps(run_folder: Path) -> list[int]:
    """Steps of the complete checkpoints that a run still has, ascending."""
    return [_step_of(folder) for folder in _complete(run_folder / "checkpoints")]


def read_checkpoint(run_folder: Path, step: int | None = None) -> Checkpoint | None:
    """The latest checkpoint of a run, or None where there is none yet; or that of a given step.

    Raises:
        RecordError: there is none of that step, or `latest` names one that is missing or damaged.
    """
    if step is not None and step not in (kept := kept_steps(run_folder)):
        raise RecordError(
            "the run has no checkpoint of this step",
            where=str(run_folder),
            expected=f"one of {', '.join(map(str, kept))}" if kept else "a run with checkpoints",
            got=str(step),
            remedy="Train with keep_checkpoints_at to keep those of given points of progress",
        )
    which = "latest checkpoint" if step is None else "checkpoint"
    step = latest_step(run_folder) if step is None else step
    if step is None:
        return None
    folder = _folder_of(run_folder, step)
    try:
        state = json.loads((folder / _STATE).read_text())
        _check(folder, state)
        with np.load(folder / _CURRICULUM, allow_pickle=False) as arrays:
            curriculum = with_arrays(state["curriculum"], arrays)
        groups = {
            path.name.removesuffix(_TENSORS): load_file(path)
            for path in sorted(folder.glob(f"*{_TENSORS}"))
        }
        noted = {name: state[name] for name in _IN_STATE if name in state}
        checkpoint = Checkpoint(groups=groups, curriculum=curriculum, **noted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise RecordError(
            f"the {which} cannot be read",
            where=str(folder),
            got=f"{type(error).__name__}: {error}",
            remedy="Remove the run folder to train anew, or point `latest` to an older checkpoint",
        ) from error
    return checkpoint


def _check(folder: Path, state: Mapping[str, Any]) -> None:
    """Compare a checkpoint with its checksums.

    Raises:
        RecordError: it is of another version.
        ValueError: naming what is another.
    """
    check_version(state["schema_version"], SCHEMA_VERSION, folder, RecordError)
    content = {name: value for name, value in state.items() if name != "checksum"}
    if state["checksum"] != hash_json(content):
        raise ValueError(f"{_STATE} is not as it was written")
    if state["step"] != _step_of(folder):
        raise ValueError(f"{_STATE} is of step {state['step']}")
    for name, checksum in state["checksums"].items():
        if hash_file(folder / name) != checksum:
            raise ValueError(f"{name} is not as it was written")


@torch.no_grad()
def restore_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's weights into a network.

    Raises:
        RecordError: names or shapes are not this network's.
    """
    wanted = {name: p.shape for name, p in network.named_parameters()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    if wanted != found:
        differing = sorted(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise RecordError("the checkpoint holds another network", got=", ".join(differing[:5]))
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])


def load_network(
    run_folder: Path | str, *, step: int | None = None, weights: str | None = None
) -> Network:
    """The network of a run as its latest checkpoint, or that of a step, holds it, on the CPU.

    Args:
        run_folder: a run folder.
        step: of the checkpoint.
        weights: `weights`, those trained, or an average of them by name; by default what the run's
            recipe names as its outcome.

    Raises:
        RecordError: the run has no such checkpoint, keeps no such weights, or it is damaged.
    """
    run_folder = Path(run_folder)
    spec, checkpoint = read_spec(run_folder), read_checkpoint(run_folder, step)
    if checkpoint is None:
        raise RecordError("the run has no checkpoint yet", where=str(run_folder))
    network = Network(spec.clock().stretch_of(checkpoint.step).shape)
    restore_weights(network, checkpoint.groups[weights_of(spec, run_folder, weights)])
    return network


def weights_of(spec: RunSpec, run_folder: Path, weights: str | None = None) -> str:
    """The group that holds the wished weights of a run; by default its outcome.

    Raises:
        RecordError: the run keeps none of that name.
    """
    rate = spec.recipe.rate
    if weights is not None and weights not in rate.evaluated:
        raise RecordError(
            "the run keeps no weights of this name",
            where=str(run_folder),
            expected=f"one of {', '.join(rate.evaluated)}",
            got=repr(weights),
            remedy="Train with the average among `recipe.rate.averages`",
        )
    return weights or rate.outcome


def _folder_of(run_folder: Path, step: int) -> Path:
    return run_folder / "checkpoints" / f"{_PREFIX}{step:08d}"


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix(_PREFIX))


def _complete(root: Path) -> list[Path]:
    return sorted(p for p in root.glob(f"{_PREFIX}*") if p.suffix != PARTIAL)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
