"""One run, from its specification to its record: the store, the evaluator and the loop together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gradatim.blocks.store import Store
from gradatim.errors import MismatchError
from gradatim.evaluate.evaluator import Evaluator
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec
from gradatim.train.run import train


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
