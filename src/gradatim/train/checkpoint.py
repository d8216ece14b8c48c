"""A run's state on disk, so written that a reader never sees half of one.

    checkpoints/
      step-00000120/  weights.safetensors  optimizer.safetensors  curriculum.npz  state.json
      latest          the name of the newest complete folder

A checkpoint is written under another name, every file is forced to disk, the folder is renamed,
and only then does `latest`, itself replaced in one step, point to it. Whatever a kill leaves under
the other name is removed by the next process. No random generator needs saving: every draw of a
run is a function of its seed and a position.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gradatim.errors import RecordError
from gradatim.model.network import Network
from gradatim.record.spec import read_spec

SCHEMA_VERSION = 1

_PREFIX = "step-"
_PARTIAL = ".partial"
_ARRAY = "__array__"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if nothing had happened.

    Attributes:
        step: complete steps.
        weights: the network's parameters by name, a tied one once.
        optimizer: its state by name.
        curriculum: what `Curriculum.state()` gave: arrays and numbers, possibly nested.
        ledger: what `Ledger.state()` gave.
        offsets: how far the record's files are valid, bytes by file.
        fingerprints: of the store, the difficulty and the specification trained on.
    """

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    curriculum: Mapping[str, Any]
    ledger: Mapping[str, Any]
    offsets: Mapping[str, int]
    fingerprints: Mapping[str, str]


def write_checkpoint(
    run_folder: Path,
    checkpoint: Checkpoint,
    *,
    num_kept: int,
    kept_steps: Set[int] = frozenset(),
) -> Path:
    """Write a checkpoint, make it the latest, and remove all but the last and those to be kept.

    Args:
        num_kept: how many of the last stay.
        kept_steps: those that stay however old they are.
    """
    target = _folder_of(run_folder, checkpoint.step)
    root = target.parent
    root.mkdir(exist_ok=True)
    partial = target.with_name(target.name + _PARTIAL)
    for stale in (partial, target):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir()
    save_file(_plain(checkpoint.weights), partial / "weights.safetensors")
    save_file(_plain(checkpoint.optimizer), partial / "optimizer.safetensors")
    arrays: dict[str, NDArray[Any]] = {}
    state = {
        "schema_version": SCHEMA_VERSION,
        "step": checkpoint.step,
        "ledger": checkpoint.ledger,
        "offsets": checkpoint.offsets,
        "fingerprints": checkpoint.fingerprints,
        "curriculum": _without_arrays(checkpoint.curriculum, arrays),
    }
    with (partial / "curriculum.npz").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    (partial / "state.json").write_text(json.dumps(state, indent=1))
    for path in partial.iterdir():
        _force_to_disk(path)
    _force_to_disk(partial)
    partial.rename(target)
    _force_to_disk(root)
    _replace(root / "latest", target.name.encode())
    for old in _complete(root)[: -max(1, num_kept)]:
        if _step_of(old) not in kept_steps:
            shutil.rmtree(old)
    return target


def latest_step(run_folder: Path) -> int | None:
    """Steps complete at the latest checkpoint, or None where there is none yet."""
    latest = run_folder / "checkpoints" / "latest"
    return int(latest.read_text().removeprefix(_PREFIX)) if latest.exists() else None


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
        state = json.loads((folder / "state.json").read_text())
        with np.load(folder / "curriculum.npz", allow_pickle=False) as arrays:
            curriculum = _with_arrays(state["curriculum"], arrays)
        return Checkpoint(
            step=state["step"],
            weights=load_file(folder / "weights.safetensors"),
            optimizer=load_file(folder / "optimizer.safetensors"),
            curriculum=curriculum,
            ledger=state["ledger"],
            offsets=state["offsets"],
            fingerprints=state["fingerprints"],
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RecordError(
            f"the {which} cannot be read",
            where=str(folder),
            got=f"{type(error).__name__}: {error}",
            remedy="Remove the run folder to train anew, or point `latest` to an older checkpoint",
        ) from error


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


def load_network(run_folder: Path | str, *, step: int | None = None) -> Network:
    """The network of a run as its latest checkpoint, or that of a step, holds it, on the CPU.

    Raises:
        RecordError: the run has no such checkpoint, or it is damaged.
    """
    run_folder = Path(run_folder)
    checkpoint = read_checkpoint(run_folder, step)
    if checkpoint is None:
        raise RecordError("the run has no checkpoint yet", where=str(run_folder))
    network = Network(read_spec(run_folder).shape)
    restore_weights(network, checkpoint.weights)
    return network


def remove_partial(run_folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in (run_folder / "checkpoints").glob(f"*{_PARTIAL}"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _folder_of(run_folder: Path, step: int) -> Path:
    return run_folder / "checkpoints" / f"{_PREFIX}{step:08d}"


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix(_PREFIX))


def _complete(root: Path) -> list[Path]:
    return sorted(p for p in root.glob(f"{_PREFIX}*") if p.suffix != _PARTIAL)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _without_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """JSON of a nested state, each array moved into `arrays` and a reference left in its place."""
    if isinstance(value, np.ndarray):
        key = f"array_{len(arrays)}"
        arrays[key] = value
        return {_ARRAY: key}
    if isinstance(value, Mapping):
        return {str(key): _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _with_arrays(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The inverse of `_without_arrays`; tuples come back as lists."""
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return value


def _replace(path: Path, content: bytes) -> None:
    """Replace a small file in one step."""
    partial = path.with_name(path.name + _PARTIAL)
    partial.write_bytes(content)
    _force_to_disk(partial)
    partial.replace(path)
    _force_to_disk(path.parent)


def _force_to_disk(path: Path) -> None:
    """fsync a file or a folder by its path."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
