"""Tables of the report against numbers worked out by hand from the records."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison
from gradatim.record.read import Record
from gradatim.report import tables
from gradatim.report.figures import log_ticks
from gradatim.report.palette import arms_of, slice_colours
from synthetic_study import NUM_POINTS, write_study

RUNGS = ("20k", "50k")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Record]:
    return write_study(tmp_path_factory.mktemp("runs"), rungs=RUNGS, num_seeds=2)


@pytest.fixture(scope="module")
def comparison(records: Sequence[Record]) -> Comparison:
    return compare(records)


def _final(records: Sequence[Record], arm: str, rung: str, seed: int) -> float:
    wanted = (arm, rung, seed)
    found = next(r for r in records if (r.spec.arm, r.spec.rung, r.spec.seed) == wanted)
    return float(found.events("evaluate")[-1]["bits_per_byte"]["all"])


def test_curves_hold_every_evaluation_of_every_run(records: Sequence[Record]) -> None:
    curves = pl.DataFrame(tables.curves(records))
    assert len(curves) == len(records) * (NUM_POINTS + 1)
    last = curves.filter(arm="staged", rung="50k", seed=1, point=NUM_POINTS)
    assert last["bits_per_byte"].item() == _final(records, "staged", "50k", 1)


def test_long_curves_are_thinned_and_keep_their_end(
    records: Sequence[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_POINTS", 6)
    curves = pl.DataFrame(tables.curves(records[:1]))
    assert len(curves) <= 6
    assert curves["progress"].max() == records[0].events("evaluate")[-1]["progress"]


def test_differences_are_paired_by_rung_seed_and_point(records: Sequence[Record]) -> None:
    paired = pl.DataFrame(tables.differences(tables.curves(records), "uniform"))
    assert set(paired["arm"]) == {"staged", "staged-shuffled", "staged-reversed"}
    found = paired.filter(arm="staged", rung="20k", seed=0, point=NUM_POINTS)["difference"].item()
    expected = _final(records, "staged", "20k", 0) - _final(records, "uniform", "20k", 0)
    assert found == pytest.approx(expected)


def test_the_last_mean_difference_is_that_of_the_comparison(
    records: Sequence[Record], comparison: Comparison
) -> None:
    means = tables.difference_means(tables.curves(records), "uniform")
    last = pl.DataFrame(means).filter(arm="staged", rung="50k", point=NUM_POINTS)
    difference = comparison.difference("staged", "uniform")
    assert difference is not None
    estimate = next(r.estimate for r in difference.rungs if r.rung == "50k")
    assert last.select("difference", "low", "high").row(0) == pytest.approx(
        (estimate.mean, estimate.low, estimate.high)
    )


def test_slices_are_in_their_natural_order(comparison: Comparison) -> None:
    slices = pl.DataFrame(tables.slices(comparison))
    order = slices.group_by("kind", maintain_order=True).agg(
        pl.col("slice").unique(maintain_order=True)
    )
    assert dict(order.iter_rows()) == {
        "band": ["1", "2", "3", "4", "5"],
        "level": ["a", "b", "c", "d", "e", "f"],
        "split": ["out_of_distribution"],
    }


def test_tasks_stand_beside_their_chance(comparison: Comparison) -> None:
    found = pl.DataFrame(tables.tasks(comparison))
    assert set(found["measure"]) == {"accuracy", "probability"}
    assert set(found.filter(slice="b")["chance"]) == {0.5}
    assert {"held_out", "out_of_distribution"} == set(found["split"])


def test_the_ledger_has_every_account_of_every_run(records: Sequence[Record]) -> None:
    ledger = pl.DataFrame(tables.ledger(records))
    assert len(ledger) == 2 * len(records)
    accounts = ledger.select("is_charged", "account").unique().sort("account")
    assert accounts.rows() == [(False, "evaluation"), (True, "train")]
    charged = ledger.filter(pl.col("is_charged"))
    totals = charged.group_by("rung").agg(pl.col("flops").n_unique())
    assert totals["flops"].to_list() == [1, 1]


def test_controls_wear_the_hue_of_their_method(comparison: Comparison) -> None:
    styles = arms_of(comparison).styles
    assert [s.name for s in styles] == ["uniform", "staged", "staged-shuffled", "staged-reversed"]
    assert styles[1].dash[1] == 0
    assert all(style.dash[1] > 0 for style in styles[2:])
    assert len({style.mark for style in styles[1:]}) == 3
    assert len({style.colours["light"] for style in styles}) == 4


@given(st.integers(1, 12))
def test_slices_have_as_many_colours_as_needed(num_slices: int) -> None:
    for theme in ("light", "dark"):
        assert len({colours[theme] for colours in slice_colours(num_slices)}) == num_slices


@given(st.floats(-9, 30), st.floats(0.02, 12))
def test_logarithmic_axes_have_a_few_round_ticks(low_log: float, span_log: float) -> None:
    low, high = 10**low_log, 10 ** (low_log + span_log)
    ticks = log_ticks(low, high)
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 9
    if span_log > 0.2:
        assert len(ticks) >= 2
