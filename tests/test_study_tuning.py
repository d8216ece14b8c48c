"""Every arm's own best rate: what is searched, what is chosen, and how the study goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gradatim.blocks.store import Store
from gradatim.errors import RecordError, SpecError
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec, run_id
from gradatim.record.tuning import TUNING_FILE, Choice, read_choices, write_choices
from gradatim.study import plan as planning
from gradatim.study.folder import StudyIndex
from gradatim.study.plan import plan
from gradatim.study.run import StudyResult, run_study
from gradatim.study.spec import StudySpec, parse_study
from gradatim.study.timing import Pace
from gradatim.study.tuning import choices, search, tuned_runs
from killed_study import kill_study
from study_of_seconds import small_study

TUNE: dict[str, Any] = {"rate": [0.002, 0.02, 0.0002], "budget_fraction": 0.5}
RECIPE = {"rate": {"kind": "wsd", "peak": 0.002}}


def tuned_study(store: Store, **changes: Any) -> StudySpec:
    return small_study(store.path, **{"recipe": RECIPE, "tune": TUNE} | changes)


def ended(trial: RunSpec, bits_per_byte: float | None) -> Record:
    """A trial that ended so; None at a loss that is not finite."""
    place = {"step": 5, "progress": 1.0, "flops": 10.0}
    if bits_per_byte is None:
        return Record(Path("x"), trial, (), 0.0, ({"event": "not_finite", **place},))
    finish = {"event": "finish", "final_bits_per_byte": bits_per_byte, **place}
    return Record(Path("x"), trial, (), 0.0, (finish,))


def test_every_arm_is_searched_over_the_grid_on_a_seed_of_its_own(world_store: Store) -> None:
    tune = TUNE | {"weight_decay": [0.0, 0.1]}
    spec = tuned_study(world_store, tune=tune, seeds=[0, 4], baseline_budgets=[2])
    assert spec.tune is not None
    runs = spec.runs(world_store)
    found = search(spec.tune, runs)
    assert list(found) == [(None, "10k", "uniform"), (None, "10k", "ceiling")]
    for (_, _, arm), trials in found.items():
        own = next(run for run in runs if run.arm == arm)
        settings = [(t.recipe.rate.peak, t.optimizer.weight_decay) for t in trials]
        assert settings == [(r, d) for r in (0.0002, 0.002, 0.02) for d in (0.0, 0.1)]
        assert {trial.seed for trial in trials} == {5}
        assert {trial.budget_flops for trial in trials} == {own.budget_flops / 2}
        assert {trial.recipe.data for trial in trials} == {own.recipe.data}
    ids = [run_id(trial) for trials in found.values() for trial in trials]
    assert len(set(ids)) == len(ids)


def test_the_least_loss_is_chosen_and_an_edge_is_told(world_store: Store) -> None:
    spec = tuned_study(world_store)
    assert spec.tune is not None
    runs = spec.runs(world_store)
    searched = search(spec.tune, runs)
    uniform, ceiling = searched.values()
    records = {
        run_id(trial): ended(trial, value)
        for trials, values in ((uniform, (3.0, 2.0, None)), (ceiling, (2.5, 2.1, 2.0)))
        for trial, value in zip(trials, values, strict=True)
    }
    first, second = choices(searched, records, runs)
    assert (first.arm, first.rate, first.at_edge, first.is_shared) == ("uniform", 0.002, (), True)
    assert (second.arm, second.rate, second.at_edge) == ("ceiling", 0.02, ("rate",))
    assert not second.is_shared
    assert first.flops == second.flops == 30.0
    assert [trial.bits_per_byte for trial in first.trials] == [3.0, 2.0, None]

    (tuned,) = tuned_runs(runs, [first, second])
    (own,) = (run for run in runs if run.arm == "ceiling")
    assert tuned.recipe.rate == own.recipe.rate.model_copy(update={"peak": 0.02})
    assert (tuned.operation.is_tuned, tuned.operation.tuning_flops) == (True, 30.0)
    assert tuned.budget_flops == own.budget_flops
    assert tuned.clock().ledger().noted() == {"tuning": 30}
    assert tuned.clock().ledger().accounts() == own.clock().ledger().accounts()
    # A trial that has not ended leaves its arm without a choice.
    del records[run_id(ceiling[0])]
    assert [each.arm for each in choices(searched, records, runs)] == ["uniform"]


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({}, "tune: give a rate or a weight_decay to search over"),
        ({"rate": [0.1]}, "tune: rate: give two values or more, each once; got 0.1"),
        ({"rate": [0.1, 0.1]}, "each once; got 0.1, 0.1"),
        ({"rate": [0.1, -1]}, "tune.rate.1"),
        ({"rate": [0.1, 0.2], "seed": 0}, "tune.seed: 0 is a seed of the study; give another"),
        ({"rate": [0.1, 0.2], "budget_fraction": 0}, "tune.budget_fraction"),
        ({"rates": [0.1, 0.2]}, "tune.rates: unknown setting.*Did you mean rate"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(
    world_store: Store, tune: dict[str, Any], message: str
) -> None:
    values = yaml.safe_load(tuned_study(world_store).to_yaml()) | {"tune": tune}
    with pytest.raises(SpecError, match=message):
        parse_study(values, where="study.yaml")


def test_the_plan_counts_the_search(world_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(0.5, 1e-4, 0.01, 0.1, 2.0)
    monkeypatch.setattr(planning, "paces", lambda runs: {run.shape: pace for run in runs})
    sizes: dict[str, Any] = {"vocab_size": 512, "block_tokens": 224, "store": world_store}
    plain = plan(small_study(world_store.path, recipe=RECIPE), **sizes)
    found = plan(tuned_study(world_store), **sizes)
    assert found.num_runs == plain.num_runs + 2 * 3
    trials = [run for run in found.runs if run.is_search]
    assert {(run.arm, run.num_seeds) for run in trials} == {("uniform", 3), ("ceiling", 3)}
    assert found.flops == pytest.approx(plain.flops + sum(3 * run.flops for run in trials))
    assert any("at most 2 runs" in remark for remark in found.remarks)


def test_choices_are_kept_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    choice = Choice(arm="a", rung="10k", rate=0.1, weight_decay=0.0, is_shared=True, flops=1.0)
    assert read_choices(tmp_path) == ()
    write_choices(tmp_path, [choice])
    assert read_choices(tmp_path) == (choice,)
    (tmp_path / TUNING_FILE).write_text('{"schema_version": 1, "choices": [{}]}')
    with pytest.raises(RecordError, match=r"tuning\.json: is damaged"):
        read_choices(tmp_path)


def one_arm(store: Store) -> StudySpec:
    tune = {"rate": [0.02, 1e-5], "budget_fraction": 0.5}
    return tuned_study(store, arms={"uniform": {}}, tune=tune)


@pytest.fixture(scope="module")
def whole(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """A study that searched and trained undisturbed."""
    return run_study(one_arm(world_store), world_store, tmp_path_factory.mktemp("whole"))


def test_the_study_trains_under_what_the_search_chose(whole: StudyResult) -> None:
    assert not whole.failures
    kept = read_choices(whole.folder)
    assert [choice.arm for choice in kept] == ["uniform"]
    assert {choice.rate for choice in kept} == {0.02}
    tuned = [record for record in whole.records if record.spec.operation.is_tuned]
    assert [record.spec.arm for record in tuned] == ["uniform"]
    for record in tuned:
        assert record.finish is not None
        assert record.spec.recipe.rate.peak == 0.02
        choice = next(each for each in kept if each.arm == record.spec.arm)
        assert record.finish["noted"]["tuning"] == round(choice.flops)
        assert "tuning" not in record.finish["ledger"]
    index = StudyIndex.read(whole.folder)
    assert [run.is_tuned for run in index.runs] == [False, True]
    names = {str(run) for run in StudyIndex.read(whole.folder / "tuning").runs}
    assert "uniform at rate 0.02, weight decay 0.1, rung 10k, seed 1" in names


def test_killed_in_the_search_the_same_command_goes_on(
    world_store: Store, whole: StudyResult, tmp_path: Path
) -> None:
    spec, file, killed = one_arm(world_store), tmp_path / "study.yaml", tmp_path / "killed"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    kill_study(file, killed, "tuning/runs/*/checkpoints/latest")
    assert not (killed / TUNING_FILE).exists()
    again = run_study(spec, world_store, killed)
    assert read_choices(killed) == read_choices(whole.folder)
    for mine, theirs in zip(again.records, whole.records, strict=True):
        assert mine.finish is not None
        assert theirs.finish is not None
        assert mine.finish["hashes"] == theirs.finish["hashes"]


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": {"hot": {"rate": {"peak": 0.01}}}},
        {
            "recipe": {},
            "schedules": {"low": {"peak": 0.001}, "high": {"peak": 0.01}},
        },
    ],
    ids=["arms", "schedules"],
)
def test_what_differs_in_the_searched_rate_alone_is_refused(
    world_store: Store, changes: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=r"tune.rate: .* in the peak rate alone") as raised:
        tuned_study(world_store, **changes)
    assert "\n" not in str(raised.value)
