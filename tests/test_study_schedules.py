"""Every arm under several schedules of the rate: the file, the runs, the folder, the plan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gradatim import verbs
from gradatim.blocks.store import Store
from gradatim.cli import app
from gradatim.errors import SpecError
from gradatim.record.spec import run_id
from gradatim.study import plan as planning
from gradatim.study.folder import StudyIndex, folder_name
from gradatim.study.plan import plan
from gradatim.study.run import run_study
from gradatim.study.spec import StudySpec, parse_study
from gradatim.study.timing import Pace
from study_of_seconds import small_study

SCHEDULES: dict[str, Any] = {
    "cosine": {"kind": "cosine", "peak": 0.004},
    "flat": {"kind": "constant", "peak": 0.004},
}


def crossed(store: Store, **changes: Any) -> StudySpec:
    return small_study(store.path, schedules=SCHEDULES, **changes)


def test_every_arm_is_trained_under_every_schedule(world_store: Store) -> None:
    spec = crossed(world_store, controls="auto", baseline_budgets=[0.5], seeds=2)
    runs = spec.runs(world_store)
    assert len({run_id(run) for run in runs}) == len(runs)
    assert len({folder_name(run) for run in runs}) == len(runs)
    arms = dict.fromkeys(run.arm for run in runs)
    assert list(arms) == ["uniform", "ceiling", "ceiling-shuffled", "ceiling-reversed"]
    under = {
        name: [run for run in runs if run.operation.schedule == name] for name in spec.schedules
    }
    for name, found in under.items():
        assert len(found) == (len(arms) + 1) * 2
        assert {run.recipe.rate for run in found} == {spec.schedules[name]}
        assert all(name in folder_name(run) for run in found)
    first, second = (
        [(run.arm, run.seed, run.recipe.data, run.operation.control) for run in found]
        for found in under.values()
    )
    assert first == second


def test_schedules_change_nothing_in_a_study_without_them(world_store: Store) -> None:
    rate = SCHEDULES["cosine"]
    plain = small_study(world_store.path, recipe={"rate": rate}).runs(world_store)
    crossing = [
        run for run in crossed(world_store).runs(world_store) if run.operation.schedule == "cosine"
    ]
    assert list(map(run_id, plain)) == list(map(run_id, crossing))
    assert {run.operation.schedule for run in plain} == {None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schedules": {"a": {"kind": "cosine"}, "b": {"end_ratio": 0.1}}},
            "^study.yaml: schedules.b: means the same as a; expected schedules that differ",
        ),
        (
            {"recipe": {"rate": {"peak": 0.1}}},
            "^study.yaml: recipe.rate: a study with schedules takes the rate from them",
        ),
        (
            {"arms": {"x": {"rate": {"kind": "constant"}}}},
            "^study.yaml: arms.x.rate: a study with schedules takes the rate from them",
        ),
        ({"schedules": {"a": {"lr": 1}}}, "^study.yaml: schedules.a.lr: unknown setting"),
        ({"schedules": {"a/b": {}}}, "^study.yaml: schedules: 'a/b' is no name for a schedule"),
    ],
)
def test_what_schedules_cannot_mean_is_said_in_one_line(
    world_store: Store, changes: dict[str, Any], message: str
) -> None:
    values = yaml.safe_load(crossed(world_store).to_yaml()) | changes
    with pytest.raises(SpecError, match=message) as raised:
        parse_study(values, where="study.yaml")
    assert "\n" not in str(raised.value)


def test_a_study_with_schedules_is_read_back_as_it_was(world_store: Store) -> None:
    spec = crossed(world_store)
    assert parse_study(yaml.safe_load(spec.to_yaml()), where="x") == spec


def test_the_plan_and_what_will_be_seen_count_every_schedule(
    world_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(0.5, 1e-4, 0.01, 0.1, 2.0)
    monkeypatch.setattr(planning, "paces", lambda runs: {run.shape: pace for run in runs})
    spec = crossed(world_store, seeds=2)
    found = plan(spec, vocab_size=512, block_tokens=224, store=world_store)
    assert found.num_runs == len(spec.runs(world_store))
    assert {run.schedule for run in found.runs} == {"cosine", "flat"}
    assert len(found.remarks) == len(set(found.remarks))
    file = tmp_path / "study.yaml"
    file.write_text(spec.to_yaml(), encoding="utf-8")
    shown = CliRunner().invoke(app, ["plan", str(file)], env={"COLUMNS": "200"}).stdout
    assert "ceiling under flat" in shown
    seen = verbs.sight(file).effect_seen
    plain = small_study(world_store.path, recipe={"rate": SCHEDULES["flat"]}, seeds=2)
    file.write_text(plain.to_yaml(), encoding="utf-8")
    alone = verbs.sight(file).effect_seen
    assert seen is not None
    assert alone is not None
    assert seen > alone  # the level is shared by the schedules


def test_a_study_with_schedules_runs_and_says_how_far_it_is(
    world_store: Store, tmp_path: Path
) -> None:
    spec = crossed(world_store)
    result = run_study(spec, world_store, tmp_path)
    assert not result.failures
    index = StudyIndex.read(tmp_path)
    assert {(run.arm, run.schedule) for run in index.runs} == {
        (arm, name) for arm in ("uniform", "ceiling") for name in SCHEDULES
    }
    shown = CliRunner().invoke(app, ["status", str(tmp_path)], env={"COLUMNS": "200"}).stdout
    for name in SCHEDULES:
        assert re.search(rf"ceiling under {name} .* finished", shown)
    told = json.loads(CliRunner().invoke(app, ["status", str(tmp_path), "--json"]).stdout)
    assert {run["schedule"] for run in told["runs"]} == set(SCHEDULES)
    assert len(list((tmp_path / "runs").glob("ceiling-flat-*"))) == 1
