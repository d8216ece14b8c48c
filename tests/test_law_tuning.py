"""Verdicts when each arm has its own best rate: what is compared, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradatim.errors import MismatchError
from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison
from gradatim.law.sentences import TUNED
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec
from gradatim.record.tuning import Choice
from synthetic_records import make_record, run_spec

RUNGS = ("20k", "50k")


def tuned_spec(arm: str, rung: str, seed: int, **changes: Any) -> RunSpec:
    plain = run_spec(arm, rung, seed)
    rate = plain.recipe.rate.model_copy(update={"peak": 0.005})
    recipe = plain.recipe.model_copy(update={"rate": rate})
    operation = plain.operation.model_copy(update={"is_tuned": True, "tuning_flops": 5.0})
    return plain.model_copy(update={"recipe": recipe, "operation": operation} | changes)


def studied(
    shared: dict[str, float],
    own: dict[str, float],
    *,
    num_seeds: int = 3,
    first_tuned_seed: int = 0,
) -> list[Record]:
    """Runs with these effects at the study's settings, and of arms at their own best ones."""
    random = np.random.default_rng(2)
    records = []
    for rung in RUNGS:
        for seed in range(num_seeds):
            common = random.normal(0, 0.01)
            for arm, effect in {"uniform": 0.0, **shared}.items():
                final = 2 + common + effect + random.normal(0, 0.001)
                records.append(make_record(run_spec(arm, rung, seed), [3.0, final]))
            for arm, effect in own.items():
                final = 2 + common + effect + random.normal(0, 0.001)
                spec = tuned_spec(arm, rung, seed + first_tuned_seed)
                records.append(make_record(spec, [3.0, final]))
    return records


def chosen(arm: str, *, is_shared: bool = False, at_edge: tuple[str, ...] = ()) -> list[Choice]:
    settings = {"rate": 0.02 if is_shared else 0.005, "weight_decay": 0.1, "flops": 5.0}
    about = {"arm": arm, "is_shared": is_shared, "at_edge": at_edge}
    return [Choice.model_validate({"rung": rung, **settings, **about}) for rung in RUNGS]


def keys(comparison: Comparison) -> list[str]:
    return [sentence.key for sentence in comparison.robustness]


def test_each_arm_is_compared_under_its_own_best_settings() -> None:
    records = studied({"ceiling": -0.02}, {"uniform": -0.03})
    choices = [*chosen("uniform"), *chosen("ceiling", is_shared=True)]
    comparison = compare(records, choices=choices)
    plain = compare([r for r in records if not r.spec.operation.is_tuned])
    assert comparison.differences == plain.differences
    assert comparison.answer == plain.answer
    (found,) = comparison.tuned
    assert found.overall is not None
    assert found.overall.mean == pytest.approx(0.01, abs=0.002)  # -0.02, against -0.03
    # Without the choices an arm that has no tuned run is taken as it is.
    (same,) = compare(records).tuned
    assert same == found
    # An arm for which nothing was chosen is not compared.
    (lacking,) = compare(records, choices=chosen("uniform")).tuned
    assert lacking.overall is None
    assert plain.tuned == ()


@pytest.mark.parametrize(
    ("shared", "own", "key", "text"),
    [
        (-0.02, -0.02, "tuned_survives", "That `ceiling` is better than `uniform` survives when"),
        (0.02, 0.02, "tuned_survives", "That `ceiling` is worse than `uniform` survives when"),
        (-0.02, 0.0, "tuned_lost", "does not survive when each arm has its own best rate: the"),
        (-0.02, 0.02, "tuned_turned", "turns round when each arm has its own best rate"),
        (0.0, -0.02, "tuned_open", "`ceiling` minus `uniform`, not resolved at the study's, is −0"),
    ],
)
def test_of_every_claim_it_is_said_whether_it_survives(
    shared: float, own: float, key: str, text: str
) -> None:
    records = studied({"ceiling": shared}, {"uniform": 0.0, "ceiling": own})
    comparison = compare(records, choices=[*chosen("uniform"), *chosen("ceiling")])
    assert keys(comparison) == [key]
    assert text in comparison.robustness[0].text
    assert comparison.robustness[0].text in comparison.sentences()


def test_claims_about_causes_are_asked_too_and_others_are_not() -> None:
    effects = {"ceiling": -0.03, "ceiling-shuffled": -0.01, "ceiling-reversed": -0.03}
    own = {"uniform": 0.0, **effects, "ceiling-shuffled": -0.03}
    choices = [choice for arm in own for choice in chosen(arm)]
    comparison = compare(studied(effects, own), choices=choices)
    assert keys(comparison) == ["tuned_survives", "tuned_lost"]
    assert "better than `ceiling-shuffled` does not survive" in comparison.robustness[1].text


def test_edges_and_what_the_search_left_as_it_was_are_told() -> None:
    records = studied({"ceiling": -0.02}, {})
    shared = [*chosen("uniform", is_shared=True), *chosen("ceiling", is_shared=True)]
    comparison = compare(records, choices=shared)
    assert keys(comparison) == ["tuned_shared"]
    assert "`uniform` and `ceiling`" in comparison.robustness[0].text
    # Of an arm whose search failed nothing is said but that.
    assert keys(compare(records, choices=shared[:-1])) != ["tuned_shared"]
    assert keys(compare(records, choices=shared[:2])) == ["tuned_unjudged"]

    edged = [*chosen("uniform", is_shared=True), *chosen("ceiling", at_edge=("rate",))]
    tuned = studied({"ceiling": -0.02}, {"ceiling": -0.02})
    comparison = compare(tuned, choices=edged)
    assert keys(comparison) == ["tuned_survives", "tuned_edge"]
    expected = "The best rate of `ceiling` at rung 20k (0.005) and `ceiling` at rung 50k (0.005) is"
    assert comparison.robustness[1].text.startswith(expected)

    apart = studied({"ceiling": -0.02}, {"ceiling": -0.02}, first_tuned_seed=7)
    comparison = compare(apart, choices=[*chosen("uniform", is_shared=True), *chosen("ceiling")])
    assert keys(comparison) == ["tuned_unjudged"]


def test_every_sentence_is_said_here() -> None:
    assert TUNED.keys() == {
        *("tuned_survives", "tuned_lost", "tuned_turned", "tuned_open"),
        *("tuned_unjudged", "tuned_shared", "tuned_edge"),
    }


def test_tuned_runs_of_another_study_are_refused() -> None:
    records = studied({"ceiling": -0.02}, {})
    other = make_record(tuned_spec("uniform", "20k", 0, batch_blocks=8), [3.0, 2.0])
    with pytest.raises(MismatchError, match=r"uniform with its own best rate.* differ in batch_"):
        compare([*records, other])
