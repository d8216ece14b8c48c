"""Settings from YAML, whatever the file holds, and changes laid over them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gradatim.changes import with_changes
from gradatim.errors import SpecError
from gradatim.settings import read_yaml, read_yaml_file
from gradatim.study.spec import StudySpec, load_study
from test_study_spec import STUDY

DEEP = 3_000
ALIAS_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("<<: [{a: 1, b: 1}, {a: 2}]\nb: 5\n", {"a": 1, "b": 5}),
        ("a: {p: &p {<<: {x: 1}, x: 2}}\nb: {<<: *p}\n", {"a": {"p": {"x": 2}}, "b": {"x": 2}}),
        ("weights: {1: 5, 2.5: 3}\n", {"weights": {"1": 5, "2.5": 3}}),
        ("'on': 1\n", {"on": 1}),
        ("", {}),
    ],
)  # fmt: skip
def test_yaml_says_what_it_seems_to_say(text: str, values: dict[str, Any]) -> None:
    assert read_yaml(text, where="x") == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms:\n  on: {}\n", r"x, line 2: .*does not take on for a name; quote it: 'on'"),
        ("arms:\n  null: {}\n", r"x, line 2: .*quote it: 'null'"),
        ("2026-01-01: {}\n", r"x, line 1: .*quote it: '2026-01-01'"),
        ("a: 1\nb: {c: 1, c: 2}\n", r"x, line 2: is not usable YAML: c is given twice"),
        ("1: a\n'1': b\n", r"x, line 2: .*1 is given twice"),
        ("? [a, b]\n: 1\n", r"x, line 1: .*a key is no text"),
        ("a: " * DEEP, r"^x"),
        ("[" * DEEP, r"^x: is nested too deep"),
        ("{a: " * DEEP, r"^x: is nested too deep"),
        ("a: &a [*a]\n", r"x, line 1: .*a value holds itself"),
        (ALIAS_BOMB, r"x, line 6: .*unfold to more than 100,000 values"),
        ("a: 2026-13-45\n", r"x: is not usable YAML: month must be in 1..12"),
        ("a: " + 5_000 * "9", r"x: is not usable YAML: Exceeds the limit"),
        ("a: !!python/object:os.system x\n", r"x, line 1: .*could not determine a constructor"),
        ("a: \x00\n", r"^x: is not usable YAML: unacceptable character"),
        ("<<: 3\n", r"x, line 1: .*expected a mapping or list of mappings for merging"),
    ],
)
def test_yaml_that_cannot_be_meant_is_one_line(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as raised:
        read_yaml(text, where="x")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_file_of_settings_is_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(SpecError, match=rf"{path}: is no file of settings"):
            read_yaml_file(path)
    (tmp_path / "latin.yaml").write_bytes(b"question: Gr\xfc\xdfe\n")
    with pytest.raises(SpecError, match=r"latin\.yaml: cannot be read; got 'utf-8' codec"):
        read_yaml_file(tmp_path / "latin.yaml")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2 * 10**9)
    with pytest.raises(SpecError, match=r"large\.yaml: is too large for settings"):
        read_yaml_file(tmp_path / "large.yaml")
    with pytest.raises(SpecError, match=r"cannot be read|no such file"):
        read_yaml_file(Path("a\0b"))


# Changes


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("budget.tokens=4e6", ("budget", "tokens"), "4e6"),
        ("seeds=[3, 4]", ("seeds",), [3, 4]),
        ("evaluation.num_points=3", ("evaluation", "num_points"), 3),  # made where it was not there
        ("recipe.rate.peak=0.01", ("recipe", "rate", "peak"), 0.01),
        ("rungs.1=50k", ("rungs", 1), "50k"),
        ("arms.of.age.data.kind=uniform", ("arms", "of.age", "data", "kind"), "uniform"),
        ("arms.flat={rate: {kind: constant}}", ("arms", "flat", "rate", "kind"), "constant"),
        ("question=a=b", ("question",), "a=b"),
        ("store.spectrum.num_bytes=300000", ("store", "spectrum", "num_bytes"), 300_000),
        ("question=", ("question",), None),
    ],
)
def test_a_change_is_laid_over_the_file(change: str, path: tuple[Any, ...], value: Any) -> None:
    values = STUDY | {"arms": {**STUDY["arms"], "of.age": {"data": {"kind": "ceiling"}}}}
    before = repr(values)
    found: Any = with_changes(StudySpec, values, [change], where="x")
    for part in path:
        found = found[part]
    assert found == value
    assert repr(values) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("budgett.tokens=1", r"x, --set budgett: unknown setting; .*Did you mean budget\?"),
        ("budget.token=1", r"x, --set budget.token: unknown setting; .*Did you mean tokens\?"),
        ("arms.celing.data.kind=x", r"--set arms.celing: nothing of that name; .*mean ceiling\?"),
        ("arms.ceiling.dat.kind=x", r"--set arms.ceiling.dat: unknown setting; .*mean data\?"),
        ("recipe.rate.pek=1", r"--set recipe.rate.pek: unknown setting; .*mean peak\?"),
        ("rungs.7=50k", r"--set rungs.7: no such place in the list; expected a place from 0 to 1"),
        ("rungs.x=50k", r"--set rungs.x: no such place in the list"),
        ("seeds.a=1", r"--set seeds: has no settings of its own here; expected .*; got 2"),
        ("name.a=1", r"--set name: has no settings of its own here"),
        ("budget", r"--set: is no change of a setting; expected PATH=VALUE"),
        ("=3", r"--set: is no change of a setting"),
        ("budget=[", r"--set budget, line 1: is not usable YAML"),
        ("a..b=1", r"--set a: unknown setting"),
    ],
)
def test_a_change_of_nothing_is_refused_with_what_is_near(change: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        with_changes(StudySpec, STUDY, [change], where="x")


def test_a_changed_study_is_validated_and_written_down_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(StudySpec.model_validate(STUDY).to_yaml())
    spec = load_study(path, ["seeds=3", "evaluation.num_points=5", "budget.tokens=7e3"])
    assert (spec.seeds, spec.evaluation.num_points, spec.budget.tokens) == ((0, 1, 2), 5, 7_000)
    (tmp_path / "again.yaml").write_text(spec.to_yaml())
    assert load_study(tmp_path / "again.yaml") == spec
    with pytest.raises(SpecError, match=r"study\.yaml with --set seeds=0: seeds: give 1 to 100"):
        load_study(path, ["seeds=0"])


class _Either(BaseModel):
    many: dict[str, list[_Either]] | None = None
    one: int = 0


def test_changes_reach_through_mappings_of_lists_of_models() -> None:
    values = {"many": {"a": [{"one": 1}]}}
    assert with_changes(_Either, values, ["many.a.0.one=2"], where="x") == {
        "many": {"a": [{"one": 2}]}
    }
    with pytest.raises(SpecError, match=r"--set many.a.0.on: unknown setting"):
        with_changes(_Either, values, ["many.a.0.on=2"], where="x")
