"""What a study's folder says of its runs, wherever it lies and whatever arms are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradatim import verbs
from gradatim.blocks.store import Store
from gradatim.errors import MismatchError, RecordError
from gradatim.law.compare import compare
from gradatim.law.fit import fit
from gradatim.record.spec import read_spec, run_id
from gradatim.study.feeding import feeding
from gradatim.study.folder import (
    StudyIndex,
    check_same_study,
    folder_name,
    read_study,
    run_folders,
    study_lock,
    write_study_file,
)
from gradatim.study.run import run_study
from gradatim.study.single import open_store
from study_of_seconds import small_study
from tiny_runs import tiny_spec

# Names


@pytest.mark.parametrize(
    ("arm", "shown"),
    [
        ("ceiling", "ceiling"),
        ("a/../../b", "a_.._.._b"),
        ("..", "tiny"),  # nothing of it stays: a name neither hides nor climbs
        ("\x1b[31mred\x00", "31mred_"),
        ("-rf", "rf"),
        ("x" * 5_000, "x" * 40),
        ("lünne 読む", "l_nne_"),
        ("=1+1", "1_1"),
    ],
)
def test_a_run_s_folder_says_which_run_it_is_and_is_safe(arm: str, shown: str) -> None:
    spec = tiny_spec(operation={"arm": arm})
    name = folder_name(spec)
    assert name.startswith(shown)
    assert name.endswith(f"tiny-s1-{run_id(spec)[:6]}")
    assert len(name.encode()) < 200
    assert os.path.basename(name) == name  # noqa: PTH119


def test_a_run_is_found_by_its_id_whatever_its_folder_is_called(
    world_store: Store, tmp_path: Path
) -> None:
    first = run_study(small_study(world_store.path), world_store, tmp_path)
    run = next(record for record in first.records if record.spec.arm == "ceiling")
    assert run.folder.name == folder_name(run.spec)
    shutil.move(run.folder, run.folder.with_name("mine"))

    renamed = {"of age": {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3}}}
    second = run_study(small_study(world_store.path, arms=renamed), world_store, tmp_path)
    assert {record.folder.name for record in second.records} >= {"mine"}
    assert len(list((tmp_path / "runs").iterdir())) == 2  # nothing was trained again
    again = next(record for record in second.records if record.folder.name == "mine")
    assert again.spec.arm == "of age"
    assert again.finish == run.finish
    assert run_folders(tmp_path)[run_id(run.spec)].name == "mine"


def test_names_from_hell_train_and_are_read_back(world_store: Store, tmp_path: Path) -> None:
    names = ["__proto__", "[/bold]", "a/../b", "\x1b[31m", "x" * 5_000]
    arms = {
        name: {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3 + place / 20}}
        for place, name in enumerate(names)
    }
    spec = small_study(world_store.path, arms=arms, budget={"tokens": 2_000})
    result = run_study(spec, world_store, tmp_path)
    assert result.failures == ()
    assert {record.spec.arm for record in result.records} == {"uniform", *names}
    assert all(record.folder.parent == tmp_path / "runs" for record in result.records)
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["arms"].keys() == arms.keys()


# The baseline's other budgets


def test_other_budgets_of_the_baseline_are_in_the_index_and_give_the_ratio(
    world_store: Store, tmp_path: Path
) -> None:
    spec = small_study(world_store.path, baseline_budgets=[0.5, 2], seeds=2)
    run_study(spec, world_store, tmp_path)
    index = StudyIndex.read(tmp_path)
    of_arm = {(run.arm, run.budget_multiple) for run in index.runs}
    assert of_arm == {("uniform", 1), ("ceiling", 1), ("uniform", 0.5), ("uniform", 2)}
    assert "uniform, rung 10k, seed 1, 2 times the budget" in map(str, index.runs)
    assert sum("uniform-x0.5-10k-s1" in run.folder for run in index.runs) == 1
    records, missing = read_study(tmp_path)
    assert (len(records), missing) == (8, [])

    whole = [record for record in records if record.spec.operation.budget_multiple == 1]
    found, alone = compare(records), compare(whole)
    assert found.finals == alone.finals
    assert [ratio.multiples for ratio in found.ratios] == [(0.5, 1.0, 2.0)]
    assert alone.ratios == ()
    assert fit(records) == fit(whole)
    assert feeding(records, world_store) == feeding(whole, world_store)


# Moved


def test_a_study_may_be_moved(world_store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(world_store.path, "out/small/store")
    store = Store.open(Path("out/small/store"))
    run_study(small_study(store.path), store, Path("out/small"))
    shutil.move("out/small", tmp_path / "there")
    monkeypatch.chdir("/")
    assert verbs.report(tmp_path / "there").exists()
    records, _missing = read_study(tmp_path / "there")
    assert Path(records[0].spec.store.path) == tmp_path / "there" / "store"

    # Another store in the place of the study's is seen.
    description = tmp_path / "there" / "store" / "store.json"
    description.unlink()
    with pytest.raises(Exception, match=r"store"):
        open_store(records[0].spec)


def test_a_study_may_be_moved_away_from_its_store_and_with_it(
    world_store: Store, tmp_path: Path
) -> None:
    shutil.copytree(world_store.path, tmp_path / "project" / "stores" / "world")
    store = Store.open(tmp_path / "project" / "stores" / "world")
    (tmp_path / "project" / "out").mkdir()
    run_study(small_study(store.path), store, tmp_path / "project" / "out" / "small")

    shutil.move(tmp_path / "project" / "out" / "small", tmp_path / "alone")
    (run, *_) = (tmp_path / "alone" / "runs").iterdir()
    assert Path(read_spec(run).store.path) == store.path
    shutil.move(tmp_path / "alone", tmp_path / "project" / "out" / "small")

    shutil.move(tmp_path / "project", tmp_path / "renamed")
    (run, *_) = (tmp_path / "renamed" / "out" / "small" / "runs").iterdir()
    spec = read_spec(run)
    assert Path(spec.store.path) == tmp_path / "renamed" / "stores" / "world"
    assert open_store(spec).fingerprint == store.fingerprint


# What is not ours


def test_a_study_file_that_gradatim_did_not_write_is_never_written_over(
    world_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text("# mine, with remarks\nname: small\n")
    with pytest.raises(MismatchError, match=r"study\.yaml: was not written by gradatim"):
        run_study(small_study(world_store.path), world_store, tmp_path)
    assert (tmp_path / "study.yaml").read_text() == "# mine, with remarks\nname: small\n"
    assert not (tmp_path / "study.json").exists()

    (tmp_path / "study.yaml").unlink()
    write_study_file(tmp_path, "name: one\n")
    write_study_file(tmp_path, "name: two\n")
    with (tmp_path / "study.yaml").open("a") as file:
        file.write("seeds: 3\n")
    with pytest.raises(MismatchError, match="or was changed since, and is not written over"):
        write_study_file(tmp_path, "name: three\n")


def test_a_folder_has_one_study_at_a_time(world_store: Store, tmp_path: Path) -> None:
    with (
        study_lock(tmp_path),
        pytest.raises(RecordError, match=rf"the study is running: process {os.getpid()} is at it"),
    ):
        run_study(small_study(world_store.path), world_store, tmp_path)
    assert not (tmp_path / "study.json").exists()


def test_a_folder_belongs_to_one_study(tmp_path: Path) -> None:
    first = StudyIndex("one", None, "cpu, float32", ())
    first.write(tmp_path)
    check_same_study(first, tmp_path)
    with pytest.raises(MismatchError, match="another study lies there; expected one; got two"):
        check_same_study(StudyIndex("two", None, "cpu, float32", ()), tmp_path)
