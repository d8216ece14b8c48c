"""The recipe: to a file and back, errors that help, and the rate over progress."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.errors import SpecError
from gradatim.recipe import Recipe
from gradatim.settings import read_yaml
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.stages import Stages
from gradatim.timelines.rate import Rate, rate_factor

STAGED = Stages(stages=[{"until": 0.5, "weights": {"a": 1}}, {"until": 1, "weights": {"b": 2}}])
RECIPES = [
    Recipe(),
    Recipe(data=Ceiling(ramp=0.3, pacing="root"), rate=Rate(kind="wsd", peak=3e-3)),
    Recipe(data=Ceiling(control="shuffled", sample="budget"), rate=Rate(kind="constant")),
    Recipe(data=STAGED, rate=Rate(end_ratio=0.0, warmup_fraction=0.0)),
]


def from_yaml(text: str) -> Recipe:
    return Recipe.parse(read_yaml(text, where="x.yaml"), where="x.yaml")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.data.kind)
def test_a_recipe_goes_to_yaml_and_back(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(path) == recipe
    assert Recipe.load(path).fingerprint == recipe.fingerprint


def test_the_empty_recipe_is_the_plain_baseline() -> None:
    recipe = from_yaml("")
    assert recipe == Recipe()
    kinds = (recipe.data.kind, recipe.objective.kind, recipe.network.kind, recipe.rate.kind)
    assert kinds == ("uniform", "next_token", "fixed", "cosine")


def test_fingerprints_tell_recipes_apart_and_not_their_spelling() -> None:
    assert len({recipe.fingerprint for recipe in RECIPES}) == len(RECIPES)
    short = from_yaml("data: {kind: ceiling}\nrate: {peak: 1e-3}")
    long = from_yaml("rate: {peak: 0.001, kind: cosine}\ndata: {pacing: linear, kind: ceiling}")
    assert short.fingerprint == long.fingerprint
    one, other = (
        Stages(stages=[{"until": 1, "weights": weights}])
        for weights in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert Recipe(data=one).fingerprint == Recipe(data=other).fingerprint


def test_the_recipe_in_the_docs_can_be_meant() -> None:
    page = Path(__file__).parents[1] / "docs" / "concepts.md"
    text = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert from_yaml(text).data == Ceiling()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dta: {}", "x.yaml: dta: unknown setting; expected one of data, objective, network, rate"),
        ("dta: {}", "got dta. Did you mean data?"),
        ("data: {kind: celing}", "x.yaml: data.kind: unknown kind; expected one of uniform,"),
        ("data: {kind: celing}", "got celing. Did you mean ceiling?"),
        ("data: {pacing: root}", "x.yaml: data.kind: unknown kind; expected one of"),
        ("data: {kind: ceiling, start: 1}", "x.yaml: data.start: unknown setting; expected one of"),
        ("data: {kind: ceiling, start_fractoin: 1}", "Did you mean start_fraction?"),
        (
            "data: {kind: ceiling, pacing: linaer}",
            "x.yaml: data.pacing: unknown value; expected one of linear, root, quadratic, "
            "inverse_quadratic, step; got 'linaer'. Did you mean linear?",
        ),
        ("data: {kind: stages}", "x.yaml: data.stages: setting is missing"),
        (
            "data: {kind: stages, stages: [{until: 1, weight: {a: 1}}]}",
            "x.yaml: data.stages.0.weight: unknown setting; expected one of until, weights; "
            "got weight. Did you mean weights?",
        ),
        (
            "data: {kind: stages, stages: [{until: 1, weights: {a: -1}}]}",
            "x.yaml: data.stages.0.weights.a: wrong value; expected greater than 0; got -1",
        ),
        (
            "data: {kind: stages, stages: [{until: .5, weights: {a: 1}}]}",
            "x.yaml: data: `until` must rise from stage to stage and end at 1; got 0.5",
        ),
        ("network: {kind: grown}", "x.yaml: network.kind: unknown value; expected fixed; got"),
        ("objective: 3", "x.yaml: objective: wrong value; expected a mapping, `setting: value`"),
        ("rate: {peak: fast}", "x.yaml: rate.peak: wrong value; expected a valid number"),
        ("rate: {peak: .inf}", "x.yaml: rate.peak: wrong value; expected a finite number"),
        (
            "rate: {kind: wsd, warmup_fraction: 0.5, decay_fraction: 0.6}",
            "x.yaml: rate: warmup_fraction + decay_fraction is 1.1, more than the run",
        ),
        (
            "rate: {kind: constant, end_ratio: 0.5}",
            "x.yaml: rate: end_ratio means nothing to a constant rate; leave it out",
        ),
        (
            "rate: {kind: inverse_sqrt, end_ratio: 0.1}",
            "end_ratio means nothing to an inverse_sqrt rate without a decay_fraction; leave it",
        ),
        (
            "rate: {kind: inverse_sqrt, warmup_fraction: 0}",
            "rate: warmup_fraction must be above 0: inverse_sqrt falls from there",
        ),
        (
            "rate: {kind: inverse_sqrt, decay_fraction: 0.2, end_ratio: 0.5}",
            "rate: end_ratio 0.5 is above the 0.158 at which the decay begins; lower it",
        ),
        ("rate: {peak: 1, peak: 2}", "x.yaml, line 1: is not usable YAML: peak is given twice"),
        ("rate:\n  kind: [", "x.yaml, line 2: is not usable YAML"),
        ("- a", "x.yaml: is not a set of settings; expected a mapping"),
        ("!!python/object/apply:os.getcwd []", "x.yaml, line 1: is not usable YAML"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_yaml(text)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: no such file"):
        Recipe.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"bytes\.yaml: cannot be read.*decode"):
        Recipe.load(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("rate", "factors"),
    [
        (Rate(kind="constant", warmup_fraction=0.1), [0, 0.5, 1, 1, 1, 1, 1, 1]),
        (Rate(kind="constant", warmup_fraction=0.0), [1, 1, 1, 1, 1, 1, 1, 1]),
        (
            Rate(kind="cosine", warmup_fraction=0.1, end_ratio=0.2),
            [0, 0.5, 1, 0.946410, 0.6, 0.4, 0.253590, 0.2],
        ),
        (
            Rate(kind="wsd", warmup_fraction=0.1, decay_fraction=0.3, end_ratio=0.0),
            [0, 0.5, 1, 1, 1, 1, 0.5, 0],
        ),
        (
            Rate(kind="wsd", warmup_fraction=0.1, decay_fraction=0.3, end_ratio=0.4),
            [0, 0.5, 1, 1, 1, 1, 0.7, 0.4],
        ),
        (
            Rate(kind="linear", warmup_fraction=0.1),
            [0, 0.5, 1, 0.833333, 0.5, 0.333333, 0.166667, 0],
        ),
        (
            Rate(kind="linear", warmup_fraction=0.1, end_ratio=0.4),
            [0, 0.5, 1, 0.9, 0.7, 0.6, 0.5, 0.4],
        ),
        (
            Rate(kind="inverse_sqrt", warmup_fraction=0.1),
            [0, 0.5, 1, 0.632456, 0.426401, 0.377964, 0.342997, 0.316228],
        ),
        (
            Rate(kind="inverse_sqrt", warmup_fraction=0.1, decay_fraction=0.3, end_ratio=0.1),
            [0, 0.5, 1, 0.632456, 0.426401, 0.377964, 0.238982, 0.1],
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Rate) else "",
)
def test_rates_follow_a_table_worked_out_by_hand(rate: Rate, factors: list[float]) -> None:
    # after the warm-up: a sixth, a half, two thirds, five sixths and the whole of the rest
    places = [0.0, 0.05, 0.1, 0.25, 0.55, 0.7, 0.85, 1.0]
    assert [rate_factor(rate, place) for place in places] == pytest.approx(factors, abs=1e-6)


@settings(deadline=None)
@given(
    rate=st.builds(
        Rate,
        kind=st.sampled_from(["cosine", "wsd", "linear"]),
        warmup_fraction=st.floats(0, 0.8),
        end_ratio=st.floats(0, 1),
    ),
    progress=st.floats(0, 1),
)
def test_a_rate_is_between_nothing_and_its_peak(rate: Rate, progress: float) -> None:
    assert 0.0 <= rate_factor(rate, progress) <= 1.0 + 1e-12
    assert rate_factor(rate, 1.0) == pytest.approx(rate.end_ratio)
    if progress >= rate.warmup_fraction:
        assert rate_factor(rate, progress) >= rate.end_ratio - 1e-12


def test_degenerate_rates_are_defined_everywhere() -> None:
    assert rate_factor(Rate(kind="cosine", warmup_fraction=1.0), 1.0) == pytest.approx(0.1)
    assert rate_factor(Rate(kind="wsd", decay_fraction=0.0), 1.0) == 1.0
    assert rate_factor(Rate(kind="wsd", warmup_fraction=0, decay_fraction=1), 0.0) == 1.0
