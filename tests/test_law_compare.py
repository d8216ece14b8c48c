"""Comparison: what is refused, what is computed, and what may be said in every case."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.errors import FitError, MismatchError, RecordError
from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison, Difference
from gradatim.law.interval import t_factor
from gradatim.recipe import Recipe
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.record.spec import EvaluationSpec, StoreReference
from synthetic_records import decaying, make_record, make_study, run_spec

Effect = float | Callable[[str, int], float]


def found(comparison: Comparison, arm: str, reference: str = "uniform", **what: str) -> Difference:
    difference = comparison.difference(arm, reference, **what)
    assert difference is not None
    return difference


# What is computed


def test_differences_by_hand() -> None:
    finals = {
        "uniform": {"20k": (2.00, 2.02), "50k": (1.80, 1.78)},
        "ceiling": {"20k": (1.97, 1.98), "50k": (1.77, 1.76)},
    }
    records = [
        make_record(run_spec(arm, rung, seed), decaying(value))
        for arm, rungs in finals.items()
        for rung, values in rungs.items()
        for seed, value in enumerate(values)
    ]
    comparison = compare(records)
    difference = found(comparison, "ceiling")
    assert [rung.rung for rung in difference.rungs] == ["20k", "50k"]
    assert difference.rungs[0].by_seed == pytest.approx((-0.03, -0.04))
    assert difference.rungs[1].by_seed == pytest.approx((-0.03, -0.02))
    overall = difference.overall
    assert overall is not None
    sd = 0.005  # of a run: a table of two arms and seeds, with a checkerboard of 0.0025 left over
    assert overall.mean == pytest.approx(-0.03)
    assert overall.degrees_of_freedom == pytest.approx(1.75)  # one at each of two rungs, less 1/4
    assert [noise.sd for noise in comparison.noise] == pytest.approx([sd, sd])
    standard_error = sd * math.sqrt(2 * 2 / 2) / 2  # two rungs, two pairs at each
    assert overall.standard_error == pytest.approx(standard_error)
    assert overall.high == pytest.approx(-0.03 + t_factor(1.75) * standard_error)
    assert difference.adjusted_p_value == overall.p_value


def test_rungs_come_in_order_of_size_and_controls_after_their_method() -> None:
    comparison = compare(
        make_study(
            {"ceiling-reversed": 0.0, "ceiling": 0.0, "ceiling-shuffled": 0.0},
            rungs=("100k", "20k", "1m"),
        )
    )
    assert comparison.rungs == ("20k", "100k", "1m")
    names = [arm.name for arm in comparison.arms]
    assert names == ["uniform", "ceiling", "ceiling-shuffled", "ceiling-reversed"]
    assert comparison.methods() == ["ceiling"]
    assert [arm.control for arm in comparison.controls("ceiling")] == ["shuffled", "reversed"]
    assert found(comparison, "ceiling", "ceiling-shuffled").rungs
    assert found(comparison, "ceiling-reversed").adjusted_p_value is None


def test_a_control_of_a_method_s_own_kind_is_told_by_what_it_lacks() -> None:
    comparison = compare(make_study({"odm": -0.03, "odm-static": 0.0, "odm-shuffled": 0.0}))
    assert [arm.control for arm in comparison.controls("odm")] == ["shuffled", "static"]
    assert "Its static control did worse" in comparison.headline
    assert "so the change of the weights has a part in it" in comparison.headline


def test_rungs_of_one_budget_come_in_order_of_size_too() -> None:
    rungs = ("1m", "20k", "100k")
    records = [make_record(run_spec("uniform", r, budget_flops=1e9), decaying(2.0)) for r in rungs]
    assert compare(records).rungs == ("20k", "100k", "1m")


@given(shift=st.floats(-0.9, 5))
@settings(max_examples=10, deadline=None)
def test_a_constant_added_to_every_arm_changes_no_difference(shift: float) -> None:
    effects: dict[str, Effect] = {"ceiling": -0.02, "ceiling-shuffled": 0.01}
    moved = [
        make_record(
            record.spec, [value + shift for value in tables.evaluations(record)["value"].to_list()]
        )
        for record in make_study(effects)
    ]
    before, after = compare(make_study(effects)), compare(moved)
    for one, other in zip(before.differences, after.differences, strict=True):
        assert one.overall is not None
        assert other.overall is not None
        assert other.overall.mean == pytest.approx(one.overall.mean, abs=1e-9)
        assert other.overall.high == pytest.approx(one.overall.high, abs=1e-9)
        assert other.verdict == one.verdict


def test_noise_shared_by_the_arms_of_a_seed_is_paired_away() -> None:
    records = make_study({"ceiling": -0.03}, noise=(0.0, 0.02, -0.02))
    overall = found(compare(records), "ceiling").overall
    assert overall is not None
    assert overall.standard_error is not None
    assert overall.standard_error < 0.001


def test_without_other_budgets_there_is_no_compute_ratio() -> None:
    assert compare(make_study({"ceiling": -0.05})).ratios == ()


def test_slices_and_tasks_are_compared_by_name() -> None:
    records = [
        make_record(
            run_spec(arm, "20k", seed),
            decaying(2.0 + seed / 1000 - (gain if seed == 1 else 0) / 100),
            slices={"band/1": gain, "band/2": -gain},
            accuracies=[0.3, 0.4, 0.45, 0.5, 0.5 - gain + (1 - gain) * seed / 1000],
        )
        for arm, gain in (("uniform", 0.0), ("ceiling", -0.1))
        for seed in range(3)
    ]
    comparison = compare(records)
    assert found(comparison, "ceiling", name="band/1").verdict == "better"
    assert found(comparison, "ceiling", name="band/2").verdict == "worse"
    accuracy = found(comparison, "ceiling", measure="accuracy", name="held_out/b")
    assert accuracy.overall is not None
    assert accuracy.overall.mean == pytest.approx(0.1001)
    assert (accuracy.verdict, accuracy.chance) == ("better", 0.25)
    said = [finding.text for finding in comparison.findings]
    assert any("better than `uniform` in accuracy on held_out/b (corrected for" in f for f in said)
    by_accuracy = compare(records, measure="accuracy", name="held_out/b")
    assert "0.1001 accuracy on held_out/b higher than `uniform`" in by_accuracy.headline


def test_what_is_paired_away_hides_no_small_difference() -> None:
    """The seeds scatter by 0.02, the arms of a seed by a hundredth of it."""
    comparison = compare(make_study({"ceiling": -0.001}, noise=(0.0, 0.02, -0.02), jitter=0.0001))
    assert found(comparison, "ceiling").verdict == "better"
    assert "`ceiling` ended 0.0010 bits per byte lower" in comparison.headline


def test_what_one_look_in_many_finds_is_taken_back() -> None:
    def borderline(rung: str, seed: int) -> float:
        return -0.010 + 0.0072 * (seed - 1)

    alone: dict[str, Effect] = {"ceiling": borderline}
    many = alone | {f"other{place}": borderline for place in range(4)}
    single = found(compare(make_study(alone, rungs=("20k", "50k"), jitter=0.0)), "ceiling")
    assert single.verdict == "better"
    crowd = compare(make_study(many, rungs=("20k", "50k"), jitter=0.001))
    among = found(crowd, "ceiling")
    assert among.overall is not None
    assert among.overall.p_value is not None
    assert among.adjusted_p_value == pytest.approx(5 * among.overall.p_value, rel=0.8)
    assert among.adjusted_p_value > among.overall.p_value


def test_it_survives_json_and_gives_tables() -> None:
    comparison = compare(make_study({"ceiling": -0.03, "ceiling-shuffled": 0.0}))
    assert Comparison.from_json(comparison.to_json()) == comparison
    table = comparison.table().filter(arm="ceiling", reference="uniform", rung="all rungs")
    assert table["difference"].to_list() == pytest.approx([-0.03], abs=1e-3)
    assert table["verdict"].to_list() == ["better"]
    assert comparison.table().height == 3 * 4
    assert comparison.ratio_table().height == 0
    assert comparison.finals_table().height == 27
    assert comparison.finals_table().filter(arm="uniform", rung="20k", seed=1)["value"][0] == 2.002


def test_which_arms_saw_the_same_blocks_is_recorded() -> None:
    hashes = {"uniform": "p", "ceiling": "p", "ceiling-shuffled": "q"}
    records = [
        make_record(run_spec(arm, "20k", seed), decaying(2.0), multiset_hash=f"{text}{seed}")
        for arm, text in hashes.items()
        for seed in range(2)
    ]
    comparison = compare(records)
    assert [set(map(frozenset, same.groups)) for same in comparison.same_blocks] == [
        {frozenset({"uniform", "ceiling"}), frozenset({"ceiling-shuffled"})}
    ] * 2
    assert any("differ in their order alone" in f.text for f in comparison.findings)
    different = [
        make_record(run_spec(arm, "20k", 0), decaying(2.0), multiset_hash=arm)
        for arm in ("uniform", "ceiling")
    ]
    assert any(f.key == "other_blocks" for f in compare(different).findings)


def test_arms_of_other_rates_differ_in_more_than_their_order() -> None:
    recipe = {"data": {"kind": "ceiling"}, "rate": {"kind": "wsd", "peak": 0.001}}
    records = [
        make_record(run_spec(arm, "20k", seed, **changes), decaying(2.0))
        for arm, changes in (
            ("uniform", {}),
            ("ceiling", {"recipe": Recipe.model_validate(recipe)}),
        )
        for seed in range(2)
    ]
    said = {finding.key for finding in compare(records).findings}
    assert "same_blocks" in said
    assert "order_alone" not in said


def test_shares_read_last_are_told_only_where_both_arms_noted_them() -> None:
    noted = {"level/a": 0.2, "level/b": 0.2, "level/c": 0.6}
    baseline: dict[str, dict[str, float]] | None
    for baseline, is_told in ((None, False), ({"level/a": 0.3, "level/b": 0.7}, True)):
        fed = {
            "ceiling": {"whole": noted, "last_quarter": noted},
            "uniform": baseline and {"whole": baseline, "last_quarter": baseline},
        }
        records = [
            make_record(
                run_spec(arm, "20k", seed),
                decaying(2.0 - 0.1 * (arm == "ceiling") + 0.001 * (seed % 2) * (arm == "ceiling")),
                slices={"level/a": 0.1, "level/b": 0.2, "level/c": 0.001 * seed},
                fed=fed[arm],
            )
            for arm in ("uniform", "ceiling")
            for seed in range(3)
        ]
        texts = [s.text for s in compare(records).answer if s.key == "fed"]
        assert bool(texts) is is_told
        assert not is_told or "60 % of level c (`uniform` 0 %)" in texts[0]


def test_the_mean_over_slices_is_named_by_its_own_kind() -> None:
    """One level alone, but two sources: the plain mean is that over sources."""
    records = [
        make_record(
            run_spec(arm, "20k", seed),
            decaying(2.0 - 0.1 * (arm == "ceiling") + 0.001 * (seed % 2) * (arm == "ceiling")),
            slices={"level/a": 0.0, "source/x": 0.1, "source/y": 0.001 * seed},
        )
        for arm in ("uniform", "ceiling")
        for seed in range(3)
    ]
    (text,) = [s.text for s in compare(records).answer if s.key == "balanced"]
    assert text.startswith("As the plain mean over sources,")


def test_more_slices_than_are_named_are_counted() -> None:
    shifts = dict.fromkeys((f"level/{level}" for level in "abcd"), 0.5)
    records = [
        make_record(
            run_spec(arm, "20k", seed),
            decaying(2.0 - 0.1 * (arm == "ceiling") + 0.001 * (seed % 2) * (arm == "ceiling")),
            slices={name: shift * (arm == "ceiling") for name, shift in shifts.items()},
        )
        for arm in ("uniform", "ceiling")
        for seed in range(4)
    ]
    (text,) = [s.text for s in compare(records).answer if s.key == "harm"]
    assert " and 2 more (corrected for the 4 slices looked at)" in text


def test_a_control_missing_at_a_rung_says_where_it_was_compared() -> None:
    records = make_study({"ceiling": -0.05, "ceiling-shuffled": 0.0}, rungs=("20k", "50k"))
    kept = [r for r in records if (r.spec.arm, r.spec.rung) != ("ceiling-shuffled", "50k")]
    assert "Its shuffled control (compared at rung 20k alone) did worse" in compare(kept).headline
    assert "alone" not in compare(records).headline


def test_unequal_numbers_of_seeds_are_told_as_a_range() -> None:
    records = make_study({"ceiling": 0.0})
    gone = {("50k", 2), ("100k", 1), ("100k", 2)}
    kept = [r for r in records if (r.spec.rung, r.spec.seed) not in gone]
    assert compare(kept).headline.startswith("With 1 to 3 seeds at rungs 20k, 50k and 100k")


# What is missing or refused


def test_missing_seeds_leave_the_pairs_there_are() -> None:
    records = make_study({"ceiling": -0.03})
    gone = {("ceiling", "50k", 1), ("uniform", "100k", 2)}
    kept = [r for r in records if (r.spec.arm, r.spec.rung, r.spec.seed) not in gone]
    comparison = compare(kept)
    difference = found(comparison, "ceiling")
    assert [rung.seeds for rung in difference.rungs] == [(0, 1, 2), (0, 2), (0, 1)]
    assert comparison.missing == (
        "ceiling, rung 50k, seed 1 has no record",
        "uniform, rung 100k, seed 2 has no record",
    )
    assert comparison.findings[-1].text.startswith("Missing: ceiling, rung 50k")


def test_unfinished_runs_and_infinite_losses_are_named_and_left_out() -> None:
    records = make_study({"ceiling": -0.03}, num_seeds=2)
    records.append(make_record(run_spec("ceiling", "20k", 2), [3.0], is_finished=False))
    records.append(make_record(run_spec("uniform", "20k", 2), [3.0, None]))
    comparison = compare(records)
    assert "ceiling, rung 20k, seed 2 is unfinished" in comparison.missing
    assert "uniform, rung 20k, seed 2 has no finite final bits_per_byte all" in comparison.missing
    assert found(comparison, "ceiling").rungs[0].seeds == (0, 1)


def test_one_seed_cannot_be_judged() -> None:
    comparison = compare(make_study({"ceiling": -0.03, "ceiling-shuffled": 0.0}, num_seeds=1))
    difference = found(comparison, "ceiling")
    assert difference.verdict == "cannot be judged"
    assert difference.overall is not None
    assert difference.overall.low is None
    assert comparison.headline == (
        "Whether `ceiling` differs from `uniform` cannot be judged from one seed: the difference "
        "at equal compute is −0.030 bits per byte, and nothing tells how far chance moves it."
    )
    assert any("at least two seeds in common" in finding.text for finding in comparison.findings)


def test_seeds_that_all_say_the_same_are_no_replicates() -> None:
    comparison = compare(make_study({"ceiling": -0.03}, noise=(0.0,), jitter=0.0))
    overall = found(comparison, "ceiling").overall
    assert overall is not None
    assert (overall.low, overall.p_value) == (None, None)
    assert "every seed gave the same (−0.030 bits per byte)" in comparison.headline


def test_an_arm_without_a_common_seed_cannot_be_judged() -> None:
    records = [make_record(run_spec("uniform", seed=seed), decaying(2.0)) for seed in range(2)]
    records += [make_record(run_spec("ceiling", seed=5), decaying(2.0))]
    comparison = compare(records)
    assert comparison.headline == ("`ceiling` cannot be judged: it shares no seed with `uniform`.")


def test_a_study_of_the_baseline_alone_says_so() -> None:
    comparison = compare(make_study({}))
    assert comparison.headline == "There is nothing to compare: only `uniform` has finished runs."
    assert [noise.sd for noise in comparison.noise] == [None] * 3


def test_a_comparison_without_its_baseline_is_refused() -> None:
    with pytest.raises(FitError, match="no finished run of the baseline 'uniform'; got finished"):
        compare([make_record(run_spec("ceiling"), decaying(2.0))])
    with pytest.raises(FitError, match="got finished runs of no arm"):
        compare([])
    with pytest.raises(FitError, match="no run measured accuracy all; got bits_per_byte all"):
        compare(make_study({}), measure="accuracy")


def test_unequal_compute_is_refused_and_one_step_is_not() -> None:
    spec = run_spec("ceiling")
    uniform = make_record(run_spec("uniform"), decaying(2.0))
    step_flops = spec.budget_flops / 100
    one_more = make_record(spec, decaying(1.9), flops=spec.budget_flops + step_flops)
    compare([uniform, one_more])
    two_more = make_record(spec, decaying(1.9), flops=spec.budget_flops + 2.1 * step_flops)
    with pytest.raises(MismatchError, match="unequal compute: uniform, rung 20k, seed 0 against"):
        compare([uniform, two_more])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"budget_flops": 1e9}, "budget_flops"),
        ({"batch_blocks": 8}, "batch_blocks"),
        ({"evaluation": EvaluationSpec(num_bands=3)}, "evaluation"),
        ({"store": StoreReference(path="/b", fingerprint="beef")}, "store"),
    ],
)
def test_runs_that_differ_in_more_than_their_arm_are_refused(
    change: dict[str, object], name: str
) -> None:
    records = make_study({"ceiling": 0.0}, num_seeds=1, rungs=("20k",))
    records.append(make_record(run_spec("stages", **change), decaying(2.0)))
    with pytest.raises(MismatchError, match=f"stages, rung 20k, seed 0 and .* differ in {name}"):
        compare(records)


def test_rungs_of_different_stores_are_refused() -> None:
    other = StoreReference(path="/b", fingerprint="beef")
    records = [make_record(run_spec("uniform", "20k"), decaying(2.0))]
    records += [make_record(run_spec("uniform", "50k", store=other), decaying(2.0))]
    with pytest.raises(MismatchError, match=r"rung 50k, seed 0 and .*rung 20k.* differ in store"):
        compare(records)


def test_the_same_store_elsewhere_is_the_same_store() -> None:
    moved = run_spec("ceiling", store=StoreReference(path="/elsewhere", fingerprint="f00d"))
    comparison = compare(
        [make_record(run_spec(), decaying(2.0)), make_record(moved, decaying(2.0))]
    )
    assert comparison.difference("ceiling", "uniform") is not None


def test_one_arm_with_two_recipes_is_refused() -> None:
    other = Recipe.model_validate({"data": {"kind": "ceiling", "start_fraction": 0.5}})
    records = make_study({"ceiling": 0.0}, num_seeds=1, rungs=("20k",))
    records.append(make_record(run_spec("ceiling", seed=1, recipe=other), decaying(2.0)))
    with pytest.raises(MismatchError, match="differ in recipe"):
        compare(records)


def test_two_records_of_one_run_are_refused() -> None:
    record = make_record(run_spec(), decaying(2.0))
    with pytest.raises(MismatchError, match="a second record of uniform, rung 20k, seed 0"):
        compare([record, record])


def at_budget(
    multiple: float, seed: int, *, arm: str = "uniform", flops: float | None = None, **made: bool
) -> Record:
    operation = {"arm": arm, "budget_multiple": multiple}
    budget_flops = flops or multiple * run_spec(arm).budget_flops
    spec = run_spec(arm, "20k", seed, operation=operation, budget_flops=budget_flops)
    return make_record(spec, [3.0, 3.0 - multiple / 4 + seed / 1000], **made)  # type: ignore[arg-type]


def test_runs_at_other_budgets_are_the_baselines_own_and_named_where_unfinished() -> None:
    records = make_study({"ceiling": -0.03}, rungs=("20k",))
    others = [at_budget(2.0, seed) for seed in range(3)]
    (ratio,) = compare([*records, *others]).ratios
    assert ratio.multiples == (1, 2)
    cut = compare([*records, *others[:2], at_budget(2.0, 2, is_finished=False)])
    assert cut.missing == ("uniform, rung 20k, seed 2, 2 times the budget is unfinished",)
    assert compare([*records, at_budget(2.0, 0, arm="ceiling")]).ratios == ()
    assert compare([*records, *others], baseline="ceiling").ratios == ()
    with pytest.raises(
        MismatchError, match="second record of uniform, rung 20k, seed 0, 2 times the"
    ):
        compare([*records, others[0], others[0]])
    with pytest.raises(MismatchError, match="another budget: uniform, rung 20k, seed 0, 2 times"):
        compare([*records, at_budget(2.0, 0, flops=1e9)])


def test_an_arm_may_be_called_like_a_budget() -> None:
    def arms(name: str) -> list[Record]:
        return [
            make_record(run_spec(arm, "20k", seed), decaying(2.0 + place * (seed % 2) / 1000))
            for place, arm in enumerate(("uniform", "ceiling", name))
            for seed in range(4)
        ] + [at_budget(2.0, seed) for seed in range(4)]

    (like,), (other,) = (compare(arms(name)).noise for name in ("2 budgets", "other"))
    assert like.degrees_of_freedom == other.degrees_of_freedom == 6
    assert like.sd == pytest.approx(other.sd)


def test_a_run_not_evaluated_at_its_end_is_refused() -> None:
    record = make_record(run_spec(), decaying(2.0))
    events = tuple(e for e in record._events if e["event"] == "finish" or e["progress"] < 1)
    cut = Record(record.folder, record.spec, (), 0.0, events)
    with pytest.raises(RecordError, match="the end of the run was not evaluated"):
        compare([cut])


def test_a_control_is_believed_by_its_recipe_and_not_by_its_name() -> None:
    impostor = run_spec("ceiling").recipe
    records = make_study({"ceiling": 0.0}, num_seeds=1, rungs=("20k",))
    records.append(make_record(run_spec("ceiling-shuffled", recipe=impostor), decaying(2.0)))
    comparison = compare(records)
    assert comparison.controls("ceiling") == []
    assert comparison.methods() == ["ceiling", "ceiling-shuffled"]
    assert any("ceiling-shuffled is no shuffled control" in text for text in comparison.missing)
