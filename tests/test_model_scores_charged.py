"""A curriculum over scores that a model made pays for them, out of the same budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradatim.blocks.model_scores import ScoreTable
from gradatim.compute import training_flops
from gradatim.errors import MismatchError, SpecError, StoreError
from gradatim.law.compare import compare
from gradatim.recipe import Costs, Recipe, ScoresReference, Scoring, scoring_costs
from gradatim.record import tables
from gradatim.record.spec import RunSpec, run_id
from gradatim.report.tables import ledger
from gradatim.study.spec import parse_study
from gradatim.timelines.rate import rate_factor
from gradatim.train.checkpoint import kept_steps, load_network
from gradatim.train.identity import store_reference
from gradatim.train.run import train
from tiny_runs import (
    BATCH_BLOCKS,
    BLOCK_TOKENS,
    SHAPE,
    HeldOutLoss,
    TinyStore,
    files_of,
    tiny_spec,
)

STEP_FLOPS = training_flops(SHAPE, BATCH_BLOCKS * BLOCK_TOKENS)
SCORED = {"kind": "ceiling", "metric": "ref/salt_ds"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@dataclasses.dataclass
class ScoredStore(TinyStore):
    """The tiny store with scores beside it: three steps' worth of scoring, two of training."""

    path: Path = Path("nowhere")
    scoring_flops: float = 3 * STEP_FLOPS
    scores_fingerprint: str = "one"

    def column(self, name: str, split: str | None = None) -> Any:
        if name == "ref/salt_ds":
            scores = np.random.default_rng(5).random(self.num_blocks).astype(np.float32)
            scores[3::7] = np.nan
            return scores if split is None else scores[self.ids(split)]
        return super().column(name, split)

    def score_table(self, name: str) -> ScoreTable:
        if name != "ref":
            raise StoreError("the store has no such table of scores", got=name)
        return ScoreTable(
            name="ref",
            store_fingerprint=self.fingerprint,
            splits=("train",),
            num_blocks=self.num_blocks,
            num_null={},
            columns={},
            settings={},
            sources=(),
            scoring_flops=self.scoring_flops,
            reference_flops=2 * STEP_FLOPS,
            fingerprint=self.scores_fingerprint,
        )


def scored_spec(store: ScoredStore, num_steps: int = 40, **changes: Any) -> RunSpec:
    """A run whose budget pays for so many steps, scores not counted."""
    recipe = Recipe.model_validate({"data": SCORED, "rate": {"kind": "cosine"}})
    return tiny_spec(
        num_steps,
        arm="salt_ds",
        recipe=recipe,
        store=store_reference(store, recipe),  # type: ignore[arg-type]
        **changes,
    )


# The accounts


def reference(scoring_flops: float = 8.0, reference_flops: float = 20.0) -> ScoresReference:
    return ScoresReference(
        name="ref", fingerprint="f", scoring_flops=scoring_flops, reference_flops=reference_flops
    )


def test_who_pays_written_out() -> None:
    whole = scoring_costs([reference()], Scoring())
    assert (whole.charged, whole.noted) == ({"scoring": 8.0, "reference": 20.0}, {})
    noted = scoring_costs([reference()], Scoring(charge_reference=False))
    assert (noted.charged, noted.noted) == ({"scoring": 8.0}, {"reference": 20.0})
    shared = scoring_costs([reference()], Scoring(num_sharing_runs=4))
    assert shared.charged == {"scoring": 2.0, "reference": 5.0}
    assert shared.noted == {
        "scoring, paid by 3 other runs": 6.0,
        "reference, paid by 3 other runs": 15.0,
    }
    assert scoring_costs([], Scoring()) == Costs({}, {})


def test_a_plan_with_scores_written_out() -> None:
    clock = scored_spec(ScoredStore(), 25).clock()
    # Of 25 steps' worth, 5 go to the scores: progress is (5 + steps) / 25.
    assert clock.num_steps == 20
    assert clock.budget_flops == 25 * STEP_FLOPS
    assert clock.waiting_points(4) == ()
    assert clock.evaluation_points(4) == {0: 0, 2: 0.25, 8: 0.5, 14: 0.75, 20: 1}
    assert clock.kept_steps((0.1, 0.6)) == {1, 10}
    half = scored_spec(ScoredStore(), 10).clock()
    assert half.waiting_points(4) == (0.25, 0.5)
    assert half.evaluation_points(4) == {0: 0, 3: 0.75, 5: 1}
    assert clock.progress(0) == 0.2
    assert clock.ledger().charged_flops == 5 * STEP_FLOPS
    assert clock.timeline_progress(0) == 0
    assert (clock.progress(10), clock.timeline_progress(10)) == (0.6, 0.5)


def test_scores_that_leave_nothing_to_train_on_are_refused_with_what_they_cost() -> None:
    with pytest.raises(SpecError, match=r"leave nothing to train on; expected more than .* for sc"):
        scored_spec(ScoredStore(), 5).clock()


# A run


def test_a_run_pays_for_its_scores(tmp_path: Path) -> None:
    store = ScoredStore()
    record = train(
        scored_spec(store, 25),
        tmp_path,
        store,  # type: ignore[arg-type]
        evaluate=HeldOutLoss(store),
    )
    assert record.start is not None
    assert record.finish is not None
    assert record.start["scores"] == {"ref": "one"}
    assert record.finish["ledger"] == {
        "scoring": 3 * STEP_FLOPS,
        "reference": 2 * STEP_FLOPS,
        "train": 20 * STEP_FLOPS,
    }
    assert record.finish["progress"] == 1
    assert record.finish["matches_plan"] is True
    steps = tables.steps(record)
    assert steps["progress"].to_list() == pytest.approx([(5 + k) / 25 for k in range(1, 21)])
    # A schedule begins where training begins, however much was spent before.
    rates = [rate_factor(record.spec.recipe.rate, (k + 0.5) / 20) for k in range(20)]
    peak = steps["learning_rate"][0] / rates[0]
    assert steps["learning_rate"].to_list() == pytest.approx([peak * rate for rate in rates])
    rows = [row for row in ledger([record]) if row["is_charged"]]
    assert {row["account"]: row["flops"] for row in rows} == record.finish["ledger"]


def test_the_points_of_evaluation_are_those_of_every_arm(tmp_path: Path) -> None:
    store = ScoredStore()
    costly = train(
        scored_spec(store, 10),
        tmp_path / "costly",
        store,  # type: ignore[arg-type]
        evaluate=HeldOutLoss(store),
    )
    free = train(
        tiny_spec(10, {"kind": "uniform"}, arm="uniform"),
        tmp_path / "free",
        store,  # type: ignore[arg-type]
        evaluate=HeldOutLoss(store),
    )
    events, others = costly.events("evaluate"), free.events("evaluate")
    assert [event["progress"] for event in events] == pytest.approx([0, 0.25, 0.5, 0.8, 1])
    assert len(events) == len(others)
    waiting = [event["bits_per_byte"]["all"] for event in events[:3]]
    assert len(set(waiting)) == 1  # an untrained network waits for its scores
    assert [event["flops"] for event in events[:3]] == [0, 2.5 * STEP_FLOPS, 5 * STEP_FLOPS]
    assert [event["step"] for event in events] == [0, 0, 0, 3, 5]
    assert costly.finish is not None
    assert free.finish is not None
    assert costly.finish["noted"] == free.finish["noted"]


def test_arms_stay_compute_matched(tmp_path: Path) -> None:
    store = ScoredStore(scoring_flops=3.4 * STEP_FLOPS)
    records = []
    for seed in (0, 1):
        for spec in (
            scored_spec(store, 30, seed=seed),
            tiny_spec(30, {"kind": "uniform"}, arm="uniform", seed=seed),
        ):
            folder = tmp_path / f"{spec.arm}-{seed}"
            records.append(train(spec, folder, store, evaluate=HeldOutLoss(store)))  # type: ignore[arg-type]
    charged = [record.finish["flops"] for record in records if record.finish]
    assert max(charged) - min(charged) < STEP_FLOPS
    assert [record.finish["step"] for record in records if record.finish] == [25, 30, 25, 30]
    comparison = compare(records)
    assert {arm.name for arm in comparison.arms} == {"uniform", "salt_ds"}
    dear = scored_spec(store, 30, seed=0, scoring=Scoring(num_sharing_runs=2))
    records[0] = train(dear, tmp_path / "dear", store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]
    with pytest.raises(MismatchError, match="differ in scoring"):
        compare(records)


def test_a_run_with_scores_stopped_and_called_again_leaves_the_same_record(tmp_path: Path) -> None:
    store = ScoredStore()
    spec = scored_spec(store, 25)
    for name, stops in (("whole", []), ("stopped", [1, 7, 3])):
        for stop in [*stops, None]:
            train(
                spec,
                tmp_path / name,
                store,  # type: ignore[arg-type]
                evaluate=HeldOutLoss(store),
                stop_after_steps=stop,
            )
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "stopped")


def test_what_is_shared_is_noted(tmp_path: Path) -> None:
    store = ScoredStore()
    scoring = Scoring(charge_reference=False, num_sharing_runs=3)
    record = train(
        scored_spec(store, 20, scoring=scoring),
        tmp_path,
        store,  # type: ignore[arg-type]
        evaluate=HeldOutLoss(store),
    )
    assert record.finish is not None
    assert record.finish["ledger"] == {"scoring": STEP_FLOPS, "train": 19 * STEP_FLOPS}
    noted = {k: v for k, v in record.finish["noted"].items() if k != "evaluate"}
    assert noted == {
        "scoring, paid by 2 other runs": 2 * STEP_FLOPS,
        "reference": 2 * STEP_FLOPS,
    }


# Identity


def test_scores_are_part_of_what_a_run_is() -> None:
    store = ScoredStore()
    spec = scored_spec(store)
    other = ScoredStore(scores_fingerprint="two")
    assert run_id(spec) != run_id(scored_spec(other))
    assert run_id(spec) != run_id(scored_spec(store, scoring=Scoring(num_sharing_runs=2)))


def test_who_would_pay_is_no_part_of_a_run_without_scores() -> None:
    assert run_id(tiny_spec()) == run_id(tiny_spec(scoring=Scoring(num_sharing_runs=2)))


def test_changed_scores_are_refused(tmp_path: Path) -> None:
    store = ScoredStore()
    spec = scored_spec(store, 25)
    train(spec, tmp_path, store, stop_after_steps=3)  # type: ignore[arg-type]
    store.scores_fingerprint = "two"
    with pytest.raises(
        MismatchError, match=r'store\.scores\.ref\.fingerprint: was "one", now "two"'
    ):
        train(spec, tmp_path, store)  # type: ignore[arg-type]


def test_a_reference_that_understates_the_cost_is_refused(tmp_path: Path) -> None:
    store = ScoredStore()
    spec = scored_spec(store, 25)
    cheap = spec.store.scores[0].model_copy(update={"scoring_flops": 0.0})
    cheaper = spec.model_copy(update={"store": spec.store.model_copy(update={"scores": (cheap,)})})
    with pytest.raises(MismatchError, match=r"store\.scores\.ref\.scoring_flops: was 0\.0, now "):
        train(cheaper, tmp_path, store)  # type: ignore[arg-type]


def test_scores_that_are_used_and_not_paid_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"store\.scores: the recipe uses scores .* expected ref;"):
        train(tiny_spec(25, SCORED), tmp_path, ScoredStore())  # type: ignore[arg-type]
    recipe = Recipe.model_validate({"data": {"kind": "ceiling", "metric": "gone/loss_mean"}})
    with pytest.raises(StoreError, match="no such table of scores; got gone"):
        store_reference(ScoredStore(), recipe)  # type: ignore[arg-type]


def test_a_study_charges_every_run_of_the_arm_and_its_controls() -> None:
    values = {
        "name": "salt",
        "store_path": "nowhere",
        "rungs": ["10k"],
        "arms": {"salt": {"data": SCORED}},
        "seeds": 2,
        "budget": {"tokens": 1e6},
        "batch_blocks": 4,
        "scoring": {"num_sharing_runs": 6, "charge_reference": False},
        "keep_checkpoints_at": [0.25],
    }
    runs = parse_study(values, where="test").runs(ScoredStore())  # type: ignore[arg-type]
    scored = {run.arm: len(run.store.scores) for run in runs}
    assert scored == {"uniform": 0, "salt": 1, "salt-shuffled": 1, "salt-reversed": 1}
    assert all(run.scoring == Scoring(num_sharing_runs=6, charge_reference=False) for run in runs)
    assert all(run.operation.keep_checkpoints_at == (0.25,) for run in runs)


# Checkpoints for good


def test_checkpoints_of_given_points_stay(tmp_path: Path) -> None:
    store = TinyStore()
    spec = tiny_spec(40, keep_checkpoints=1, keep_checkpoints_at=(0.01, 0.33))
    for stop in (5, 9, 3, None):
        train(spec, tmp_path / "stopped", store, stop_after_steps=stop)  # type: ignore[arg-type]
    train(spec, tmp_path / "whole", store)  # type: ignore[arg-type]
    assert kept_steps(tmp_path / "whole") == [1, 14, 40]
    assert kept_steps(tmp_path / "stopped") == [1, 14, 40]
    for step in (1, 14, 40):
        one, other = (load_network(tmp_path / name, step=step) for name in ("whole", "stopped"))
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    early, late = (load_network(tmp_path / "whole", step=step) for step in (1, 40))
    assert not torch.equal(early.embedding.weight, late.embedding.weight)
