"""What a study will cost: sums, passes, memory, time, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradatim.blocks.store import Store
from gradatim.cli.running import plan_sentences
from gradatim.evaluate.evaluator import Evaluator
from gradatim.study import plan as planning
from gradatim.study.passes import passes_by_label, repetition_remarks
from gradatim.study.plan import StudyPlan, plan
from gradatim.study.run import run_study
from gradatim.study.spec import StudySpec
from gradatim.study.timing import Pace, paces
from study_of_seconds import small_study

PACE = Pace(
    step_seconds=0.5,
    token_seconds=1e-4,
    sampled_token_seconds=0.01,
    checkpoint_seconds=0.1,
    opening_seconds=2.0,
)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes the same time; nothing is measured."""
    monkeypatch.setattr(planning, "paces", lambda runs: {run.shape: PACE for run in runs})
    monkeypatch.setattr(planning, "machine_slots", lambda: (2, 1))


def planned(spec: StudySpec, store: Store | None) -> StudyPlan:
    return plan(spec, vocab_size=512, block_tokens=224, store=store)


@pytest.mark.usefixtures("paced")
def test_the_plan_adds_up_before_anything_is_spent(world_store: Store) -> None:
    spec = small_study(
        world_store.path, rungs=["10k", "20k"], seeds=3, controls="auto", baseline_budgets=[2]
    )
    found = planned(spec, world_store)
    assert found.num_runs == 2 * (4 + 1) * 3
    assert len(found.runs) == 2 * (4 + 1)
    assert found.flops == pytest.approx(sum(3 * run.flops for run in found.runs))
    for run in found.runs:
        assert run.num_steps == run.budget_multiple * 6_000 // (4 * 224)
        assert run.tokens == run.num_steps * 4 * 224
        assert run.memory_bytes > 16 * run.num_parameters
        assert run.passes == pytest.approx(run.num_steps * 4 / len(world_store.ids("train")))


@pytest.mark.usefixtures("paced")
def test_the_time_of_a_run_is_that_of_its_parts(world_store: Store) -> None:
    evaluation = {"num_points": 4, "num_blocks": 6, "num_tasks": 2, "num_samples": 3}
    spec = small_study(world_store.path, evaluation=evaluation, checkpoint_every_fraction=0.5)
    run = planned(spec, world_store).runs[0]
    evaluator = Evaluator(world_store, num_blocks=6, num_bands=5, num_tasks=2, num_samples=3)
    tokens = sum(map(evaluator.num_tokens, (0.0, 0.25, 0.5, 0.75, 1.0)))
    assert tokens > 5 * evaluator.num_tokens(0.25)  # tasks cost, at two points
    assert run.evaluation_seconds == pytest.approx(tokens * 1e-4 + 3 * 60 * 0.01)
    steps = 6_000 // (4 * 224)
    assert run.seconds == pytest.approx(2.0 + 0.5 * steps + 2 * 0.1 + run.evaluation_seconds)


@pytest.mark.usefixtures("paced")
def test_runs_lie_side_by_side_as_they_will_run(world_store: Store) -> None:
    found = planned(small_study(world_store.path, seeds=3), world_store)
    one = found.runs[0].seconds
    assert found.seconds == pytest.approx(3 * one)  # six runs, two at a time
    odd = planned(small_study(world_store.path, seeds=[0], baseline_budgets=[0.5]), world_store)
    half = next(run.seconds for run in odd.runs if run.budget_multiple == 0.5)
    assert odd.seconds == pytest.approx(one + half)


@pytest.mark.usefixtures("paced")
def test_a_store_that_is_not_built_yet_costs_time_too() -> None:
    store = {"spectrum": {"num_bytes": 2_000_000}, "block_tokens": 224}
    found = planned(small_study(None, store=store), None)
    assert found.build_seconds == pytest.approx(4.0)
    assert found.seconds > found.build_seconds
    run = found.runs[0]
    assert run.passes == pytest.approx(6_000 / (0.95 * 2_000_000 / 4), rel=0.15)
    assert "Building the store takes about 4 s of it" in plan_sentences(found)[0]


@pytest.mark.usefixtures("paced")
def test_what_is_read_very_often_is_told_and_warned_of(world_store: Store) -> None:
    stages = [
        {"until": 0.5, "weights": {"a": 1}},
        {"until": 1, "weights": {"a": 1, "b": 1}},
    ]
    arms = {"narrow": {"data": {"kind": "stages", "by": "level", "stages": stages}}}
    spec = small_study(world_store.path, arms=arms, budget={"tokens": 100_000})
    found = planned(spec, world_store)
    narrow = next(run for run in found.runs if run.arm == "narrow")
    (run,) = [r for r in spec.runs(world_store) if r.arm == "narrow"]
    draws, blocks = run.clock().num_draws, world_store.labels("level", "train")
    sizes = {f"level {name}": (blocks.codes == c).sum() for c, name in enumerate(blocks.names)}
    assert narrow.passes_by_label["level a"] == pytest.approx(
        0.75 * draws / sizes["level a"], rel=0.02
    )
    assert narrow.passes_by_label["level f"] == 0
    assert narrow.passes_by_label == passes_by_label(run, world_store)
    text = " ".join(plan_sentences(found))
    assert f"level a {narrow.passes_by_label['level a']:.2g}" in text
    assert "Beyond about 4 passes repeated text teaches less" in text
    few = planned(small_study(world_store.path), world_store)
    assert "repeated text" not in " ".join(plan_sentences(few))
    assert "differ in how often" not in " ".join(plan_sentences(few))


@pytest.mark.usefixtures("paced")
def test_unequal_repetition_is_warned_of_and_what_losses_decide_is_bounded(
    world_store: Store,
) -> None:
    stages = [{"until": 1, "weights": {"a": 3, "b": 1}}]
    arms = {
        "narrow": {"data": {"kind": "stages", "by": "level", "stages": stages}},
        "odm": {"data": {"kind": "bandit", "by": "level"}},
    }
    spec = small_study(world_store.path, arms=arms, budget={"tokens": 100_000}, controls="auto")
    found = planned(spec, world_store)
    text = " ".join(plan_sentences(found))
    narrow, odm, uniform = (
        next(run for run in found.runs if run.arm == arm) for arm in ("narrow", "odm", "uniform")
    )
    alike = dict.fromkeys(uniform.passes_by_label, uniform.passes)
    assert uniform.passes_by_label == pytest.approx(alike)
    assert odm.passes_by_label == {}
    most = max(narrow.passes_by_label.values())
    assert f"is read {most:.2g} times by narrow and {uniform.passes:.2g} by uniform" in text
    codes = world_store.labels("level", "train").codes
    bound = odm.num_steps * 4 / min((codes == code).sum() for code in set(codes.tolist()))
    assert "odm draws by its losses, so how often it reads each part is known once it" in text
    assert f"at most {bound:.2g} times (level " in text
    assert "Rungs differ" not in text
    once = planned(
        small_study(world_store.path, arms={"odm": arms["odm"]}, sample="budget"), world_store
    )
    read = [(run.passes_by_label["level a"], run.most_passes) for run in once.runs]
    assert read == [(pytest.approx(once.runs[0].passes), None)] * 2
    assert "differ in how often" not in " ".join(plan_sentences(once))


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        ({("s", "u"): 0.2, ("m", "u"): 0.9}, None),  # nothing is read twice
        ({("s", "u"): 1.1, ("m", "u"): 1.3}, None),
        (
            {("s", "u"): 0.5, ("m", "u"): 3.0},
            "Rungs differ in how often they repeat text: band 1 is read by u 3 times at m and 0.5 "
            "at s.",
        ),
        (
            {("s", "u"): 1.0, ("s", "v"): 2.5},
            "Arms differ in how often they repeat text: at rung s, band 1 is read 2.5 times by v "
            "and 1 by u.",
        ),
    ],
)
def test_repetition_begins_beyond_one_pass(
    passes: dict[tuple[str, str], float], said: str | None
) -> None:
    of_label = {place: {"band 1": value, "band 2": 1.0} for place, value in passes.items()}
    found = list(repetition_remarks(of_label, ["u", "v"], ["s", "m"]))
    assert [text[: len(said or "")] for text in found] == ([said] if said else [])


@pytest.mark.usefixtures("paced")
def test_too_little_memory_is_said_before_anything_is_spent(
    world_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_study(world_store.path, rungs=["7b"], budget={"tokens": 1_000})
    text = " ".join(plan_sentences(planned(spec, world_store)))
    assert "A run of rung 7b needs about" in text
    assert "GiB of memory; this machine has" in text
    small = planned(small_study(world_store.path), world_store)
    assert "memory" not in " ".join(plan_sentences(small))


@pytest.mark.usefixtures("paced")
def test_a_hook_for_more_sentences(world_store: Store) -> None:
    found = planned(small_study(world_store.path), world_store)
    assert plan_sentences(replace(found, remarks=("One more.",)))[1:] == ["One more."]


def test_paces_are_measured_where_they_can_be_and_estimated_else(
    world_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = small_study(world_store.path, rungs=["10k", "25m"]).runs(world_store)
    small, large = (next(r for r in runs if r.rung == rung) for rung in ("10k", "25m"))
    found = paces([small, large], num_processes=2)
    timed, estimated = found[small.shape], found[large.shape]
    assert timed.reason is None
    assert estimated.reason == "too large to be timed"
    for pace in (timed, estimated):
        values: list[Any] = [v for k, v in vars(pace).items() if k != "reason"]
        assert all(value > 0 for value in values)
    assert timed.step_seconds < estimated.step_seconds
    lost = small.model_copy(update={"store": small.store.model_copy(update={"path": "/nowhere"})})
    (pace,) = paces([lost], num_processes=1).values()
    assert pace.reason is not None
    assert "nowhere" in pace.reason


def test_what_was_planned_is_what_happens(world_store: Store, tmp_path: Path) -> None:
    """Within a factor that a busy machine leaves room for."""
    spec = small_study(world_store.path, budget={"tokens": 60_000})
    found = planned(spec, world_store)
    result = run_study(spec, world_store, tmp_path)
    for record in result.records:
        run = next(run for run in found.runs if run.arm == record.spec.arm)
        assert record.finish is not None
        assert (run.num_steps, run.flops) == (record.finish["step"], record.finish["flops"])
        assert run.seconds / 4 < record.seconds < 4 * run.seconds
