"""Arms under several schedules: what is computed, what is refused, and what may be said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from gradatim.errors import FitError, MismatchError, RecordError
from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison, Interaction, Sentence
from gradatim.law.interval import t_factor
from gradatim.law.sentences import CLAIMS, CROSSED
from gradatim.recipe import Recipe
from gradatim.record.read import Record
from gradatim.record.spec import RunSpec
from synthetic_records import make_record, run_spec

RATES = {"cosine": {"kind": "cosine"}, "wsd": {"kind": "wsd"}, "flat": {"kind": "constant"}}


def spec(arm: str, schedule: str, rung: str = "20k", seed: int = 0) -> RunSpec:
    plain = run_spec(arm, rung, seed)
    recipe = {"data": plain.recipe.data, "rate": RATES[schedule]}
    if arm == "other":
        recipe["data"] = {"kind": "ceiling", "ramp": 0.3}
    operation = plain.operation.model_copy(update={"schedule": schedule})
    changes = {"recipe": Recipe.model_validate(recipe), "operation": operation}
    return plain.model_copy(update=changes)


def records_of(
    finals: Mapping[str, Mapping[str, Mapping[str, tuple[float, ...]]]],
) -> list[Record]:
    """Final losses by schedule, arm and rung, of seeds from 0."""
    return [
        make_record(spec(arm, schedule, rung, seed), [value + 0.3, value])
        for schedule, arms in finals.items()
        for arm, rungs in arms.items()
        for rung, values in rungs.items()
        for seed, value in enumerate(values)
    ]


TWO = {
    "cosine": {
        "uniform": {"20k": (2.00, 2.03), "50k": (1.80, 1.78)},
        "ceiling": {"20k": (1.97, 1.98), "50k": (1.77, 1.76)},
    },
    "wsd": {
        "uniform": {"20k": (1.90, 1.92), "50k": (1.70, 1.69)},
        "ceiling": {"20k": (1.91, 1.93), "50k": (1.72, 1.70)},
    },
}


def test_an_interaction_by_hand() -> None:
    comparison = compare(records_of(TWO))
    assert [each.schedule for each in comparison.by_schedule] == ["cosine", "wsd"]
    (found,) = comparison.interactions
    assert (found.schedule, found.against) == ("wsd", "cosine")
    changes = {"20k": (0.01 + 0.03, 0.01 + 0.05), "50k": (0.02 + 0.03, 0.01 + 0.02)}
    for rung in found.difference.rungs:
        assert rung.by_seed == pytest.approx(changes[rung.rung])
    overall = found.difference.overall
    assert overall is not None
    assert overall.mean == pytest.approx(np.mean([np.mean(pair) for pair in changes.values()]))
    # A table of two arms and two seeds at each rung: the residual is half of a checkerboard.
    squares = [(pair[0] - pair[1]) ** 2 / 4 for pair in changes.values()]
    variance = sum(square * 2 / 2 for square in squares) / 2**2
    freedom = sum(squares) ** 2 / sum(square**2 for square in squares)
    assert overall.degrees_of_freedom == pytest.approx(freedom - 0.25)
    assert overall.standard_error == pytest.approx(math.sqrt(variance))
    half_width = t_factor(overall.degrees_of_freedom) * math.sqrt(variance)
    assert overall.high == pytest.approx(overall.mean + half_width)


def test_every_schedule_is_compared_with_its_own_baseline() -> None:
    comparison = compare(records_of(TWO))
    alone = {name: compare(records_of({name: finals})) for name, finals in TWO.items()}
    for each in comparison.by_schedule:
        assert each.schedule is not None
        found = each.difference("ceiling", "uniform")
        single = alone[each.schedule].difference("ceiling", "uniform")
        assert found is not None
        assert single is not None
        assert (found.overall, found.rungs) == (single.overall, single.rungs)
        # The level is shared by both schedules.
        assert single.adjusted_p_value is not None
        assert found.adjusted_p_value is not None
        assert found.adjusted_p_value > single.adjusted_p_value
        assert each.num_sharing == 2


def test_the_first_schedule_is_the_one_named_first() -> None:
    records = records_of(TWO)
    assert compare(records, schedules=["wsd", "cosine"]).schedule == "wsd"
    (found,) = compare(records, schedules=["wsd", "cosine"]).interactions
    (turned,) = compare(records).interactions
    assert found.difference.overall is not None
    assert turned.difference.overall is not None
    assert found.difference.overall.mean == pytest.approx(-turned.difference.overall.mean)


def test_what_cannot_be_crossed_is_refused() -> None:
    records = records_of(TWO)
    plain = make_record(run_spec("uniform"), [2.0, 1.9])
    with pytest.raises(MismatchError, match="belongs to no schedule, beside runs that do"):
        compare([*records, plain])
    half = [r for r in records if (r.spec.arm, r.spec.operation.schedule) != ("uniform", "wsd")]
    with pytest.raises(FitError, match="no finished run of the baseline 'uniform' under wsd"):
        compare(half)
    other = spec("uniform", "wsd").model_copy(update={"batch_blocks": 8})
    changed = make_record(other, [2.0, 1.9])
    wsd = [r for r in records if r.spec.operation.schedule == "wsd"]
    rest = [r for r in records if r not in wsd]
    with pytest.raises(MismatchError, match=r"under wsd.* and uniform under cosine.* batch_blocks"):
        compare([*rest, changed])
    ramp = Recipe.model_validate({"data": {"kind": "ceiling", "ramp": 0.3}, "rate": RATES["wsd"]})
    mixed = spec("ceiling", "wsd").model_copy(update={"recipe": ramp})
    uniform = [r for r in wsd if r.spec.arm == "uniform"]
    with pytest.raises(MismatchError, match="differ in recipe beside the rate"):
        compare([*rest, *uniform, make_record(mixed, [2.0, 1.9])])
    assert compare(records[:-1]).missing == ("ceiling under wsd, rung 50k, seed 1 has no record",)


# Averages of the weights


def averaged(record: Record, **finals: float) -> Record:
    """The same with evaluations of averages at its end."""
    *before, last = record.events("evaluate")
    more = [
        last | {"event": "evaluate_average", "weights": name, "bits_per_byte": {"all": value}}
        for name, value in finals.items()
    ]
    events = (*before, last, *more, *record.events("finish"))
    return Record(record.folder, record.spec, (), 0.0, events)


def test_an_average_of_the_weights_is_a_measure_of_its_own() -> None:
    records = [
        averaged(each, ema=1.5 + (0.01 if each.spec.arm == "ceiling" else 0.0) + each.spec.seed)
        for each in records_of({"cosine": TWO["cosine"]})
    ]
    found = compare(records, weights="ema").difference("ceiling", "uniform")
    assert found is not None
    assert found.overall is not None
    assert found.overall.mean == pytest.approx(0.01)
    plain = compare(records).difference("ceiling", "uniform")
    assert plain is not None
    assert plain.overall is not None
    assert plain.overall.mean == pytest.approx(-0.0325)
    shown = {(f.arm, f.rung, f.weights): f.mean for f in compare(records).averages}
    assert shown["ceiling", "20k", "ema"] == pytest.approx(2.01)
    assert shown["uniform", "50k", "weights"] == pytest.approx(1.79)
    assert compare(records_of(TWO)).averages == ()


def test_an_average_that_some_runs_lack_is_one_clear_error() -> None:
    first, *rest = records_of({"cosine": TWO["cosine"]})
    records = [first, *(averaged(each, ema=2.0) for each in rest)]
    with pytest.raises(RecordError, match="no average of the weights 'ema' was evaluated") as error:
        compare(records, weights="ema")
    assert "\n" not in str(error.value)


def test_a_run_is_judged_by_the_weights_that_it_hands_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Record, "outcome", property(lambda record: "ema"))
    records = [averaged(each, ema=1.0) for each in records_of({"cosine": TWO["cosine"]})]
    comparison = compare(records)
    assert {final.mean for final in comparison.finals} == {1.0}
    assert {f.weights for f in comparison.averages if f.is_outcome} == {"ema"}


# What may be said


def simulated(change: float, *, num_seeds: int = 4, sd: float = 0.004, seed: int = 0) -> Comparison:
    """`ceiling` is 0.04 better under cosine, and by `change` otherwise under the others."""
    random = np.random.default_rng(seed)
    records = []
    for rung in ("20k", "50k"):
        for number in range(num_seeds):
            common = random.normal(0, 2 * sd)
            for place, schedule in enumerate(RATES):
                for arm, effect in {"uniform": 0.0, "ceiling": -0.04, "other": 0.0}.items():
                    shift = effect + (change if arm == "ceiling" and place else 0.0)
                    final = 2 + shift + common + random.normal(0, sd)
                    records.append(make_record(spec(arm, schedule, rung, number), [3.0, final]))
    return compare(records)


def of(comparison: Comparison, sentence: Sentence) -> Interaction:
    return next(
        each
        for each in comparison.interactions
        if f"`{each.difference.arm}`" in sentence.text
        and f"under `{each.schedule}` than under `{each.against}`" in sentence.text
    )


def is_another(comparison: Comparison, sentence: Sentence, change: float) -> bool:
    found = of(comparison, sentence).difference
    assert found.overall is not None
    truth = change if found.arm == "ceiling" else 0.0
    is_more = sentence.key == "interaction_more"
    return truth != 0 and (truth < 0) == is_more == (found.overall.mean < 0)


TRUTHS: dict[str, Callable[[Comparison, Sentence, float], bool]] = {
    "by_schedule": lambda comparison, sentence, change: all(
        f"`{name}`" in sentence.text for name in RATES
    ),
    "interaction_more": is_another,
    "interaction_less": is_another,
    "interaction_open": lambda comparison, sentence, change: (
        of(comparison, sentence).difference.verdict == "not resolved"
    ),
    "interaction_unjudged": lambda comparison, sentence, change: all(
        len(rung.seeds) == 1 for rung in of(comparison, sentence).difference.rungs
    ),
}


def test_what_is_said_of_schedules_together_is_true() -> None:
    assert TRUTHS.keys() == CROSSED.keys()
    worlds: list[dict[str, Any]] = [
        {"change": change, "seed": seed} for change in (-0.03, 0.0, 0.03) for seed in range(10)
    ]
    worlds.append({"change": 0.0, "num_seeds": 1})
    said = [
        (comparison, sentence, world["change"])
        for world in worlds
        for comparison in [simulated(**world)]
        for sentence in comparison.crossing
    ]
    assert {sentence.key for _, sentence, _ in said} == CROSSED.keys()
    for key, is_true in TRUTHS.items():
        told = [each for each in said if each[1].key == key]
        false = [each[1].text for each in told if not is_true(*each)]
        assert len(false) <= (math.ceil(0.05 * len(told)) if key in CLAIMS else 0), false[:3]


def test_all_schedules_speak_in_turn() -> None:
    comparison = simulated(0.03)
    first, *others = comparison.sentences()
    assert first == (
        "`ceiling` against `uniform` at equal compute: better under `cosine`, `wsd`, `flat`."
    ) or first.startswith("`ceiling` against `uniform` at equal compute: better under `cosine`")
    assert any(text.startswith("Under `wsd`: ") for text in others)
    assert comparison.headline.startswith("Under `cosine`: at equal compute, `ceiling` ended 0.0")
