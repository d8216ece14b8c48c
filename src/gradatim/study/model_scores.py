"""Runs as rulers: model scores of a store's blocks, by the weights a run left.

One run gives the loss columns and `salt_ds`. A second one gives a difference: `learnability`, where
both are checkpoints of the same run, else `excess_loss`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from gradatim.blocks.model_scores import ScoreSource, ScoreTable
from gradatim.blocks.store import Store
from gradatim.compute import num_parameters
from gradatim.difficulty.model_scores import EXCESS_LOSS, LEARNABILITY
from gradatim.errors import GradatimError, MismatchError, RecordError, SpecError
from gradatim.evaluate.model_scores import (
    Comparison,
    Model,
    ModelScoresSpec,
    OnProgress,
    score_store,
)
from gradatim.evaluate.token_scorer import NetworkScorer
from gradatim.model.network import Network
from gradatim.record.spec import RunSpec, read_spec, run_id
from gradatim.train.checkpoint import (
    Checkpoint,
    read_checkpoint,
    restore_weights,
    weights_of,
)
from gradatim.train.device import compute_dtype, flushed_denormals, own_device

Moment = int | float | Literal["last"]
"""A checkpoint of a run: the steps complete, a progress (a float, 0 to 1), or the last one."""


@dataclass(frozen=True)
class RunAt:
    """A run folder and which of its checkpoints is meant."""

    folder: Path
    at: Moment = "last"


def score_with_run(
    store_path: Path | str,
    run: RunAt,
    second: RunAt | None = None,
    *,
    spec: ModelScoresSpec,
    replace: bool = False,
    on_progress: OnProgress | None = None,
) -> ScoreTable:
    """Score a store's blocks with the weights of a run; killed and called again it goes on.

    Writes `STORE/scores/NAME.parquet` and `NAME.json`; a recipe then says `metric: NAME/COLUMN`.

    Args:
        store_path: a block store; the run's own, or one with the same tokenizer.
        run: whose losses the columns are.
        second: subtracted from it. With a second checkpoint of the same run the difference is
            `learnability` (give the early one first), else `excess_loss` (give the current or small
            model first, then the reference or the large one).
        spec: name of the table, columns, splits, batch.
        replace: overwrite a table of that name that was made otherwise.
        on_progress: called after every batch with "scoring", blocks done and blocks in all.

    Raises:
        MismatchError: the run reads another vocabulary, or a table of that name was made otherwise.
        RecordError: no run, or no such checkpoint in it.
        SpecError: the run's context is shorter than a block, or the checkpoints are not in order.
        StoreError: no store, or another process is making this table.
    """
    store = Store.open(store_path)
    loaded = _Loaded.of(run, store)
    other = _Loaded.of(second, store) if second else None
    comparison: Comparison = EXCESS_LOSS
    if other and other.run == loaded.run:
        comparison = LEARNABILITY
        if loaded.checkpoint.step >= other.checkpoint.step:
            raise SpecError(
                "learnability is an early checkpoint's loss minus a late one's",
                where="checkpoints",
                expected="the first at an earlier step than the second",
                got=f"{loaded.checkpoint.step} and {other.checkpoint.step}",
            )
    roles = ("early", "late") if comparison == LEARNABILITY else ("current", "reference")
    if not other:
        roles = ("reference", "")
    with flushed_denormals():
        return score_store(
            store,
            spec,
            loaded.model(store, spec.splits, role=roles[0], top_k=spec.settings.top_k),
            other.model(store, spec.splits, role=roles[1], top_k=None) if other else None,
            comparison=comparison,
            reference_flops=_training_flops(loaded, other),
            replace=replace,
            on_progress=on_progress,
        )


def checkpoint_step(folder: Path, at: Moment) -> int | None:
    """The step of the checkpoint that is meant; None is the latest.

    A progress means the first step that reaches it, whose checkpoint must have been kept.
    """
    if at == "last":
        return None
    if isinstance(at, int):
        return at
    if not 0 < at <= 1:
        raise SpecError(
            "is no progress",
            where="checkpoint",
            expected="a number above 0, at most 1",
            got=f"{at}",
        )
    spec = read_spec(folder)
    return next(iter(spec.clock().kept_steps((at,))))


def parse_moment(text: str) -> Moment:
    """A checkpoint as the command line names it: `last`, steps (`120`), or a progress (`0.1`).

    Raises:
        SpecError: it is none of them.
    """
    if text == "last":
        return "last"
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise SpecError(
            "names no checkpoint",
            where="checkpoint",
            expected="last, a number of steps such as 120, or a progress such as 0.1",
            got=repr(text),
        ) from None


@dataclass(frozen=True)
class _Loaded:
    """A run's network as one of its checkpoints holds it, with the weights that it hands out."""

    run: str
    spec: RunSpec
    checkpoint: Checkpoint
    network: Network

    @classmethod
    def of(cls, run: RunAt, store: Store) -> _Loaded:
        spec = read_spec(run.folder)
        _check_reads(spec, store, run.folder)
        checkpoint = read_checkpoint(run.folder, checkpoint_step(run.folder, run.at))
        if checkpoint is None:
            raise RecordError("the run has no checkpoint yet", where=str(run.folder))
        network = Network(spec.clock().stretch_of(checkpoint.step).shape)
        restore_weights(network, checkpoint.groups[weights_of(spec, run.folder)])
        network.requires_grad_(False)
        return cls(run_id(spec), spec, checkpoint, network)

    def model(
        self, store: Store, splits: tuple[str, ...], *, role: str, top_k: int | None
    ) -> Model:
        device = own_device()
        dtype = compute_dtype(self.spec.precision, device)
        scorer = NetworkScorer(
            self.network.to(device), separator_id=store.separator_id, top_k=top_k, dtype=dtype
        )
        num_blocks = sum(len(store.ids(split)) for split in splits)
        source = ScoreSource(
            role=role,
            run=self.run,
            step=self.checkpoint.step,
            weights=_hash_weights(self.network),
            precision=str(dtype).removeprefix("torch."),
            num_parameters=num_parameters(self.network.shape),
            scoring_flops=scorer.scoring_flops(num_blocks, store.block_tokens),
            training_flops=sum(self.checkpoint.ledger["charged"].values()),
        )
        return Model(scorer, source)


def _training_flops(loaded: _Loaded, other: _Loaded | None) -> float:
    """What the models cost in training; two checkpoints of a run cost what the later one did."""
    parts = [loaded, *([other] if other else [])]
    by_run: dict[str, float] = {}
    for part in parts:
        charged_flops = sum(part.checkpoint.ledger["charged"].values())
        by_run[part.run] = max(by_run.get(part.run, 0.0), charged_flops)
    return sum(by_run.values())


def _check_reads(spec: RunSpec, store: Store, folder: Path) -> None:
    """Refuse a run whose network cannot read the store.

    Raises:
        MismatchError: another vocabulary.
        SpecError: a context shorter than a block.
    """
    if spec.store.fingerprint != store.fingerprint and not _has_same_tokenizer(spec, store):
        raise MismatchError(
            "the run was trained on another store, whose tokens mean something else or are gone",
            where=str(folder),
            expected=f"the store {store.path}, or one with its tokenizer",
            got=spec.store.path,
            remedy="Score the store the run was trained on, or train on this one",
        )
    if spec.shape.context_tokens < store.block_tokens:
        raise SpecError(
            "the run's context is shorter than a block",
            where=str(folder),
            expected=f"at least {store.block_tokens} tokens",
            got=str(spec.shape.context_tokens),
        )


def _has_same_tokenizer(spec: RunSpec, store: Store) -> bool:
    try:
        trained_on = Store.open(spec.store.path)
    except GradatimError:
        return False
    is_the_one = trained_on.fingerprint == spec.store.fingerprint
    tokenizers = (each.description.tokenizer_fingerprint for each in (trained_on, store))
    return is_the_one and len(set(tokenizers)) == 1


def _hash_weights(network: Network) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(network.named_parameters()):
        digest.update(name.encode() + str(tuple(weight.shape)).encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
