"""What can be known to go wrong before the first FLOP: asked by `plan`, and as a study starts.

A store that is built is asked for everything: each arm's curriculum is made against its blocks as
every rung will make it. Of one that is not, only what its settings tell can be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gradatim.blocks.build import check_large_enough
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.corpus.hub import HUB_PREFIX
from gradatim.corpus.locations import find_files
from gradatim.corpus.spectrum.generate import LEVELS
from gradatim.errors import GradatimError, SpecError
from gradatim.evaluate.bits_per_byte import held_out_set
from gradatim.record.spec import Control, RunSpec
from gradatim.settings import near, one_of
from gradatim.streams import run_key
from gradatim.study.spec import StudySpec
from gradatim.study.tuning import search
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.lag import check_lag
from gradatim.train.order import DIFFICULTIES, block_table


def check_on_store(spec: StudySpec, store: Store) -> None:
    """Refuse a study that its store cannot serve.

    Raises:
        SpecError: a budget that pays for no step, or an arm that asks for a metric, label or number
            of blocks that the store does not have; named with the arm.
        StoreError: an arm uses scores that are not beside the store, or no block is held out.
    """
    evaluation = spec.evaluation
    held_out_set(store, num_blocks=evaluation.num_blocks, num_bands=evaluation.num_bands)
    runs = spec.runs(store)
    for run in runs:
        if run.seed != spec.seeds[0]:
            continue
        with named_arm(run.arm, run.operation.control, run.rung):
            _check_run(run, store)
    if spec.tune is None:
        return
    for (_, rung, arm), (trial, *_) in search(spec.tune, runs).items():
        with named_arm(arm, trial.operation.control, f"{rung}, trial of tune"):
            _check_run(trial, store)


def _check_run(run: RunSpec, store: Store) -> None:
    clock = run.clock()
    check_lag(run.recipe.data, clock.num_steps)
    make_curriculum(
        run.recipe.data,
        block_table(store, run.recipe.data.metrics),
        num_draws=clock.num_draws,
        seed=run_key(run.seed, run.rung),
    )


def check_before_store(spec: StudySpec, store: StoreSpec) -> None:
    """Refuse a study of which the settings alone say that the store will not serve it.

    Raises:
        InputError: the corpus is not there, or too small to hold text out.
        SpecError: an arm asks for a metric or label that the store will not have, or for a batch
            without a block.
    """
    if store.corpus is not None:
        location = store.corpus.location
        for part in (location,) if isinstance(location, str) else location:
            if not part.startswith(HUB_PREFIX):
                find_files(part)
        check_large_enough(store)
    for arm, planned in spec.planned_arms().items():
        data = planned.recipe.data
        with named_arm(arm, planned.control, None):
            planned.recipe.rate.batch_sizes(spec.batch_blocks)
            for metric in data.metrics:
                _check_metric(metric, (*DIFFICULTIES, *store.difficulty_columns))
            if store.spectrum is not None:
                _check_levels(data)


def _check_metric(metric: str, known: Sequence[str]) -> None:
    if "/" in metric:
        raise SpecError(
            "scores lie beside a store, and this study's is not built yet",
            where="data.metric",
            got=metric,
            remedy="Build it with `gradatim build`, score its blocks, and name it in store_path",
        )
    if metric not in known:
        raise SpecError(
            "no such metric in the block store",
            where="data.metric",
            expected=one_of(known),
            got=metric,
            remedy=near(metric, known),
        )


def _check_levels(data: DataTimeline) -> None:
    for where, by, label in data.named_labels():
        if by == "level" and label not in LEVELS:
            raise SpecError(
                "no block has this level", where=where, expected=one_of(LEVELS), got=label
            )


@contextmanager
def named_arm(arm: str, control: Control | None, rung: str | None) -> Iterator[None]:
    """Says of which arm an error speaks, and at which rung."""
    try:
        yield
    except GradatimError as error:
        place = f"arms.{control.of}, its control {control.kind}" if control else f"arms.{arm}"
        error.where = f"{place}{f', rung {rung}' if rung else ''}: {error.where}"
        raise type(error)(**vars(error)) from None
