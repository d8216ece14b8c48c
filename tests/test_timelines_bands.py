"""Bands as labels of a mixture: the same bands as in evaluations, and stages over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.difficulty.bands import band_edges, band_of
from gradatim.errors import SpecError
from gradatim.timelines.data.bands import bands, labels_by
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.stages import Stages

NAN = float("nan")


def table_of(*ages: float) -> BlockTable:
    return BlockTable(np.arange(len(ages), dtype=np.uint32), {"reading_age": np.array(ages)})


def test_bands_are_called_by_their_number_the_easiest_first() -> None:
    names, codes = bands(np.array([9.0, 1.0, NAN, 5.0, 7.0, 3.0, np.inf]), 2)
    assert names == ("", "1", "2")
    assert [names[code] for code in codes] == ["2", "1", "", "1", "2", "1", ""]


@given(
    st.lists(st.sampled_from([1.0, 2.0, 2.5, 4.0, 7.0, NAN]), min_size=1, max_size=40),
    st.integers(2, 12),
)
def test_they_are_the_bands_of_evaluations(ages: list[float], num_bands: int) -> None:
    values = np.array(ages, np.float32)
    if np.isnan(values).all():
        return
    codes = bands(values, num_bands)[1]
    np.testing.assert_array_equal(codes, band_of(values, band_edges(values, num_bands)))


def test_no_bands_of_nothing() -> None:
    with pytest.raises(SpecError, match="no block has a value of this metric"):
        bands(np.array([NAN, NAN]), 3)


def test_labels_of_levels_are_those_of_the_table() -> None:
    level = (("a", "b"), np.array([1, 0]))
    table = BlockTable(np.arange(2, dtype=np.uint32), labels={"level": level})
    assert labels_by(table, "level")[0] == ("a", "b")


def test_stages_over_bands_draw_from_them_and_never_blocks_of_unknown_difficulty() -> None:
    spec = Stages.model_validate(
        {
            "by": "band",
            "num_bands": 2,
            "stages": [
                {"until": 0.5, "weights": {1: 1}},
                {"until": 1, "weights": {1: 1, 2: 3}},
            ],
        }
    )
    assert (spec.metrics, spec.groupings) == (("reading_age",), ())
    curriculum = make_curriculum(spec, table_of(5, 6, NAN, 7, 8), num_draws=16, seed=0)
    assert set(curriculum.draw(0.0, 8).tolist()) == {0, 1}
    assert sorted((curriculum.draw(0.6, 8) >= 3).tolist()) == [False] * 2 + [True] * 6
    assert "until 100%: 2 75%, 1 25%" in curriculum.plan["sentence"]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"by": "band"}, "needs num_bands"),
        ({"by": "level", "num_bands": 3}, "not of `by: level`"),
        ({"by": "band", "num_bands": 3}, "there is no band '4'; the bands are 1 to 3"),
    ],
)
def test_bands_that_cannot_be_are_refused(settings: dict[str, object], error: str) -> None:
    stages = [{"until": 1, "weights": {"4": 1}}]
    with pytest.raises(ValidationError, match=error):
        Stages.model_validate({"stages": stages, **settings})


def test_a_band_that_ties_left_empty_is_refused() -> None:
    stages = [{"until": 1, "weights": {"2": 1}}]
    spec = Stages.model_validate({"by": "band", "num_bands": 3, "stages": stages})
    with pytest.raises(SpecError, match="no block has this band"):
        make_curriculum(spec, table_of(5, 5, 5), num_draws=4, seed=0)
