"""Whether what is resumed is what was started, and what differs where it is not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from gradatim.blocks.store import Store
from gradatim.errors import MismatchError, SpecError, differences
from gradatim.recipe import Recipe, ScoresReference
from gradatim.record.spec import SPEC, RunSpec, StoreReference, read_spec, run_id
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import DataTimeline
from gradatim.timelines.data.lag import check_lag


def fingerprints(spec: RunSpec, store: Store, table: BlockTable) -> dict[str, str]:
    """What a run depends on, each part hashed: its store, the difficulty in it, its specification.

    Difficulty has its own, since blocks may be scored anew in a store whose tokens stay.
    """
    difficulty = table_fingerprint(table, spec.recipe.data)
    return {"store": store.fingerprint, "difficulty": difficulty, "spec": run_id(spec)}


def store_reference(store: Store, recipe: Recipe) -> StoreReference:
    """A store as a run names it: with its fingerprint, and the scores that the recipe uses.

    Raises:
        StoreError: the store has no scores of that name.
    """
    scores = tuple(_scores_reference(store, name) for name in recipe.score_tables)
    path = os.path.realpath(store.path)
    return StoreReference(path=path, fingerprint=store.fingerprint, scores=scores)


def _scores_reference(store: Store, name: str) -> ScoresReference:
    table = store.score_table(name)
    return ScoresReference(
        name=name,
        fingerprint=table.fingerprint,
        scoring_flops=table.scoring_flops,
        reference_flops=table.reference_flops,
    )


def check_scores(spec: RunSpec, store: Store) -> list[str]:
    """What differs between the scores a specification names and those beside the store.

    Raises:
        SpecError: the recipe uses scores that the specification does not name, and so not pay for.
        StoreError: the store has no scores of a name.
    """
    unpaid = set(spec.recipe.score_tables) - {scores.name for scores in spec.store.scores}
    if unpaid:
        raise SpecError(
            "the recipe uses scores that the run does not name, so their cost is not charged",
            where="store.scores",
            expected=", ".join(spec.recipe.score_tables),
            got=", ".join(scores.name for scores in spec.store.scores) or "none",
            remedy="Make the reference with gradatim.train.identity.store_reference",
        )
    found: list[str] = []
    for was in spec.store.scores:
        now = _scores_reference(store, was.name)
        found += differences(was.model_dump(), now.model_dump(), path=f"store.scores.{was.name}")
    return found


def check_same_run(spec: RunSpec, folder: Path, store: Store) -> None:
    """Refuse a store or scores not the specification's, or a folder that holds another run.

    Raises:
        MismatchError: with every setting that differs.
        SpecError: the recipe uses scores that the specification does not name.
        StoreError: the store has no scores of a name.
    """
    found = check_scores(spec, store)
    found += differences(spec.store.fingerprint, store.fingerprint, "store.fingerprint")
    if (folder / SPEC).exists():
        before = read_spec(folder)
        if run_id(before) != run_id(spec):
            found += differences(before.identity(), spec.identity())
    refuse(found, folder)


def refuse(found: list[str], folder: Path) -> None:
    """Raise if anything differs.

    Raises:
        MismatchError: listing what was found.
    """
    if found:
        raise MismatchError(
            "the run cannot go on: what it was started with has changed: " + "; ".join(found),
            where=str(folder),
            remedy="Restore what changed, or train in a new folder",
        )


def check_machine(spec: RunSpec, device: torch.device, folder: Path) -> None:
    """Refuse another kind of device than the specification's, on which the bits would be others.

    Raises:
        MismatchError: naming both.
    """
    if device.type != spec.device:
        raise MismatchError(
            "the run belongs on another kind of device",
            where=str(folder),
            expected=spec.device,
            got=device.type,
            remedy="Go on where it was begun, or train in a new folder",
        )


def check_fit(spec: RunSpec, store: Store) -> None:
    """Refuse a shape that cannot read the store, and losses that come after the run's end.

    Raises:
        SpecError: context or vocabulary do not fit; naming the setting.
    """
    check_lag(spec.recipe.data, spec.clock().num_steps)
    shape = spec.shape
    if shape.context_tokens != store.block_tokens:
        raise SpecError(
            "the network's context is not the store's block",
            where="shape.context_tokens",
            expected=str(store.block_tokens),
            got=str(shape.context_tokens),
        )
    if shape.vocab_size < store.vocab_size:
        raise SpecError(
            "the store has tokens the network does not know",
            where="shape.vocab_size",
            expected=f"at least {store.vocab_size}",
            got=str(shape.vocab_size),
        )


def table_fingerprint(table: BlockTable, data: DataTimeline) -> str:
    """16 hex digits of the blocks and of the columns that a data timeline reads, by value."""
    digest = hashlib.blake2b(np.ascontiguousarray(table.ids, dtype="<u4").data, digest_size=8)
    for metric in data.metrics:
        digest.update(metric.encode())
        digest.update(np.ascontiguousarray(table.difficulty(metric), dtype="<f4").data)
    for by in data.groupings:
        names, codes = table.label(by)
        digest.update("\0".join([by, *names]).encode())
        digest.update(np.ascontiguousarray(codes).data)
    return digest.hexdigest()
