"""One run, from its specification to its record: the store, the evaluator and the loop together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradatim.blocks.store import Store
from gradatim.changes import with_changes
from gradatim.compute import rung_shape, training_flops
from gradatim.errors import MismatchError, SpecError
from gradatim.evaluate.evaluator import Evaluator
from gradatim.recipe import Recipe
from gradatim.record.naming import cell_name
from gradatim.record.read import Record
from gradatim.record.spec import Operation, RunSpec
from gradatim.settings import near, one_of, validated
from gradatim.study.arms import BASELINE
from gradatim.study.spec import parse_study
from gradatim.train.device import kind_and_format
from gradatim.train.identity import store_reference
from gradatim.train.run import train

BATCH_BLOCKS = 16
"""Of a run alone, where nobody says otherwise."""


def open_store(spec: RunSpec) -> Store:
    """The run's block store.

    Raises:
        MismatchError: the store at that path is another one than the specification names.
    """
    store = Store.open(Path(spec.store.path))
    if store.fingerprint != spec.store.fingerprint:
        raise MismatchError(
            "the block store has changed",
            where=spec.store.path,
            expected=f"fingerprint {spec.store.fingerprint}",
            got=store.fingerprint,
            remedy="Rebuild the store as it was, or start the run in a new folder",
        )
    return store


def open_evaluator(spec: RunSpec) -> Evaluator:
    """The evaluation of a run, on its store; raises as `open_store` does."""
    return Evaluator(open_store(spec), **spec.evaluation.model_dump(exclude={"num_points"}))


def run(
    spec: RunSpec,
    folder: Path,
    *,
    on_progress: Callable[[float, float], None] | None = None,
    is_stopping: Callable[[], bool] | None = None,
) -> Record:
    """Train one run in `folder`, or go on where it was left; a finished one is returned at once.

    Args:
        spec: the complete specification.
        folder: its run folder.
        on_progress: called with progress (0 to 1) and the last batch's loss in nats.
        is_stopping: asked before every step; once it says so, the run stops after that step.
    """
    store = open_store(spec)
    evaluator = Evaluator(store, **spec.evaluation.model_dump(exclude={"num_points"}))
    return train(
        spec, folder, store, evaluate=evaluator, on_progress=on_progress, is_stopping=is_stopping
    )


def run_of_recipe(
    values: Mapping[str, Any],
    store: Store,
    *,
    where: str,
    rung: str | None,
    tokens: float | None,
    seed: int,
    batch_blocks: int | None = None,
    changes: Sequence[str] = (),
) -> RunSpec:
    """One run of a recipe on a store.

    Args:
        values: of the recipe, as its file has them.
        store: whose vocabulary and block length the network gets.
        where: the file, for messages.
        rung: a name of the ladder.
        tokens: the budget, as FLOPs that train this rung on so many.
        seed: of initial weights and block order.
        batch_blocks: blocks in one step; 16 by default.
        changes: settings laid over the recipe.

    Raises:
        SpecError: a setting that cannot be meant, or no rung or budget.
    """
    if rung is None or tokens is None:
        raise SpecError(
            "a recipe alone says nothing of the network and the budget",
            where="rung" if rung is None else "tokens",
            remedy="Give both, or a study in place of the recipe",
        )
    recipe = Recipe.parse(with_changes(Recipe, values, changes, where=where), where=where)
    shape = rung_shape(rung, vocab_size=store.vocab_size, context_tokens=store.block_tokens)
    device, precision = kind_and_format("auto")
    settings = {
        "store": store_reference(store, recipe),
        "rung": rung,
        "seed": seed,
        "shape": shape,
        "recipe": recipe,
        "budget_flops": tokens * training_flops(shape, shape.context_tokens) / shape.context_tokens,
        "batch_blocks": BATCH_BLOCKS if batch_blocks is None else batch_blocks,
        "device": device,
        "precision": precision,
        "operation": Operation(arm=recipe.data.kind),
    }
    return validated(RunSpec, settings, where="train")


def run_of_study(
    values: Mapping[str, Any],
    store: Store,
    *,
    where: str,
    arm: str | None = None,
    rung: str | None = None,
    tokens: float | None = None,
    seed: int = 0,
    batch_blocks: int | None = None,
    changes: Sequence[str] = (),
) -> RunSpec:
    """One run of a study on a store, which takes the place of the study's own.

    Args:
        values: of the study, as its file has them.
        store: the one to train on.
        where: the file, for messages.
        arm: which, as plans and reports call it; by default the only one beside the baseline.
        rung: one of the study's; by default its only one.
        tokens: a budget in place of the study's.
        seed: in place of the study's.
        batch_blocks: in place of the study's.
        changes: settings laid over the study.

    Raises:
        SpecError: the study cannot be meant, has no such arm or rung, or several to choose from.
    """
    own: dict[str, Any] = {"store_path": str(store.path), "seeds": [seed]}
    own |= {} if tokens is None else {"budget": {"tokens": tokens}}
    own |= {} if batch_blocks is None else {"batch_blocks": batch_blocks}
    rest = {name: value for name, value in values.items() if name != "store"}
    study = parse_study(rest | own, where=where, changes=changes)
    runs = [run for run in study.runs(store) if run.operation.budget_multiple == 1]
    by_arm: dict[str, dict[str, RunSpec]] = {}
    for run in runs:
        by_arm.setdefault(cell_name(run.arm, run.operation.schedule), {})[run.rung] = run
    methods = [
        cell_name(name, schedule)
        for schedule in study.schedules or (None,)
        for name in study.arms
        if name != BASELINE
    ]
    rungs = by_arm[_chosen(arm, by_arm, methods, where=f"{where}: arm")]
    return rungs[_chosen(rung, rungs, list(rungs), where=f"{where}: rung")]


def _chosen(
    asked: str | None, known: Mapping[str, object], usual: Sequence[str], *, where: str
) -> str:
    """What is asked for, or the only one there usually is."""
    if asked is None:
        if len(usual) != 1:
            raise SpecError("which one?", where=where, expected=one_of(list(known)))
        return usual[0]
    if asked not in known:
        names = list(known)
        raise SpecError(
            "the study has none of that name",
            where=where,
            expected=one_of(names),
            got=asked,
            remedy=near(asked, names),
        )
    return asked
