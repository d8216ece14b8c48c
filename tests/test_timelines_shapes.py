"""Fixed orders against the rules of their sources; what their settings may mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gradatim.errors import SpecError
from gradatim.streams import Stream
from gradatim.timelines.data import arrangement
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.order import SHAPE_SETTINGS, Order
from ordered_blocks import SHAPES, table_of, whole

# The rules of the published shapes, in a few lines of lists


def reference(shape: str, values: list[int], folds: int, sections: int, share: float) -> list[int]:
    """Folds and zigzag of lists; stairs and saw put them around the borders of sections."""

    def walk(part: list[int]) -> list[int]:
        dealt = [part[k::folds] for k in range(folds)]
        turned = [fold[::-1] if k % 2 and shape in ("zigzag", "saw") else fold
                  for k, fold in enumerate(dealt)]  # fmt: skip
        return [value for fold in turned for value in fold]

    if shape in ("folds", "zigzag"):
        return walk(values)
    radius, done, found = round(len(values) * share), 0, list[int]()
    for border in (round(len(values) * k / sections) for k in range(1, sections)):
        first, last = max(done, border - radius), min(len(values), border + radius)
        found += values[done:first] + walk(values[first:last])
        done = last
    return found + values[done:]


@given(
    shape=st.sampled_from(["folds", "zigzag", "str", "saw"]),
    num_blocks=st.integers(1, 80),
    folds=st.integers(2, 9),
    sections=st.integers(2, 9),
    share=st.floats(0.01, 0.5),
)
@settings(deadline=None)
def test_published_shapes_follow_their_rule(
    shape: Any, num_blocks: int, folds: int, sections: int, share: float
) -> None:
    asked: dict[str, Any] = {
        "num_folds": folds,
        "num_sections": sections,
        "transition_fraction": share,
    }
    spec = Order(shape=shape, **{name: asked[name] for name in SHAPE_SETTINGS[shape]})
    expected = reference(shape, list(range(num_blocks)), folds, sections, share)
    assert whole(spec, table_of(num_blocks)) == expected


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 12), st.integers(0, 3))
@settings(deadline=None)
def test_an_arrangement_gives_each_place_once(num_blocks: int, a: int, b: int, seed: int) -> None:
    for places in (
        arrangement.interleaved_levels(num_blocks, a, b, lambda name: Stream(seed, name)),
        arrangement.shuffled_in_windows(num_blocks, a, Stream(seed, "x")),
        arrangement.shuffled_groups(num_blocks, b, Stream(seed, "x")),
    ):
        assert sorted(places.tolist()) == list(range(num_blocks))


# What it says, and what cannot be meant


def test_defaults_are_those_of_the_released_configurations() -> None:
    assert Order(shape="str").num_folds == 3
    assert Order(shape="saw").transition_fraction == 0.075
    assert Order(shape="folds").num_sections is None
    for shape in SHAPES:
        spec = Order(shape=shape)
        assert Order.model_validate(spec.model_dump()) == spec


def test_controls_differ_in_nothing_else_and_are_never_plain_shuffling() -> None:
    for shape in SHAPES:
        spec = Order(shape=shape)
        controls = spec.controls()
        assert list(controls) == (
            ["shuffled"] if shape == "grouped" else ["reversed", "pass_through"]
        )
        for name, control in controls.items():
            assert Order.model_validate(control.model_dump()) == control
            assert spec.model_dump() | {"control": name} == control.model_dump()
            assert control.controls() == {}
    assert "shuffled" in Order(epochs="swept").controls()


def test_a_plan_reads_as_a_sentence() -> None:
    def said(num_draws: int, num_unknown: int = 0, **settings: Any) -> str:
        table = table_of(100, num_unknown)
        plan = make_curriculum(Order(**settings), table, num_draws=num_draws, seed=0).plan
        return str(plan["sentence"])

    assert said(100) == ("in order of rising reading_age; 100 draws from 100 blocks, 1 epochs")
    assert said(50, shape="saw", control="reversed", sample="budget", window_blocks=5) == (
        "reversed control, the other way round, of: rising reading_age in 3 sections, 15% of the "
        "blocks around each border in 2 folds, rising and falling in turn, shuffled in windows of "
        "5 blocks; 50 draws from 50 blocks, each exactly once"
    )
    assert said(250, num_unknown=10, until=0.5, shape="descending").startswith(
        "in order of falling reading_age, until 50.0% of the run, and what is left at random; "
    )
    assert "3 passes, each ordered anew; 250 draws from 100 blocks, 2.5 epochs" in said(250)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": "sorted"}, "'ascending', 'descending'"),
        ({"shape": "folds", "num_sections": 3}, "shape folds does not read num_sections"),
        ({"shape": "ascending", "by": "level"}, "shape ascending does not read by"),
        ({"shape": "grouped", "window_blocks": 8}, "does not read window_blocks"),
        ({"control": "shuffled"}, "has the controls reversed, pass_through; got shuffled"),
        ({"shape": "grouped", "control": "reversed"}, "has the controls shuffled; got reversed"),
        ({"shape": "saw", "num_folds": 1}, "greater than or equal to 2"),
        ({"until": 0}, "greater than 0"),
    ],
)
def test_an_order_that_cannot_be_meant_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Order(**wrong)


@pytest.mark.parametrize("kind", ["order", "ceiling"])
def test_a_column_that_orders_nothing_is_refused(kind: str) -> None:
    def made(values: list[float], **settings: Any) -> None:
        table = BlockTable(np.arange(len(values), dtype=np.uint32), {"m": np.array(values)})
        spec = {"kind": kind, "metric": "m", **settings}
        made = TypeAdapter(DataTimeline).validate_python(spec)
        make_curriculum(made, table, num_draws=2, seed=0)

    with pytest.raises(SpecError, match=r"all blocks have the same value.*got m, 5 everywhere"):
        made([5.0, 5.0, math.nan])
    with pytest.raises(SpecError, match="no block has a value of this metric"):
        made([math.nan, math.inf])
    with pytest.raises(SpecError, match=r"no such metric.*one of m; got lexile"):
        made([1.0, 2.0], metric="lexile")


def test_labels_that_are_all_the_same_are_refused() -> None:
    labels = (["a"], np.zeros(4, np.uint8))
    table = BlockTable(np.arange(4, dtype=np.uint32), {}, {"source": labels})
    with pytest.raises(SpecError, match="all blocks have the same value of this metric"):
        make_curriculum(Order(shape="grouped", by="source"), table, num_draws=4, seed=0)
