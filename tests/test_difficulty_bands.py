"""Bands by quantile, with ties and without values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradatim.difficulty.bands import band_edges, band_of
from gradatim.errors import InputError, SpecError

VALUES = st.lists(st.floats(-100, 100), min_size=1, max_size=60)


def test_bands_are_of_equal_size() -> None:
    difficulty = [5.0, 1.0, 4.0, 2.0, 3.0, 6.0]
    edges = band_edges(difficulty, 3)
    assert edges.tolist() == [2.0, 4.0]
    assert band_of(difficulty, edges).tolist() == [3, 1, 2, 1, 2, 3]


def test_one_band_holds_everything() -> None:
    assert band_of([1.0, 2.0], band_edges([1.0, 2.0], 1)).tolist() == [1, 1]


def test_ties_are_never_parted_and_bands_may_be_empty() -> None:
    difficulty = [1.0, 1.0, 1.0, 1.0, 1.0, 9.0]
    edges = band_edges(difficulty, 3)
    assert edges.tolist() == [1.0, 1.0]
    assert band_of(difficulty, edges).tolist() == [1, 1, 1, 1, 1, 3]


def test_texts_without_a_difficulty_are_in_band_zero() -> None:
    masked = np.ma.MaskedArray([1.0, 50.0, 2.0], [False, True, False])
    for difficulty in (masked, [1.0, np.nan, 2.0]):
        edges = band_edges(difficulty, 2)
        assert edges.tolist() == [1.0]
        assert band_of(difficulty, edges).tolist() == [1, 0, 2]


@given(VALUES, st.integers(1, 8))
def test_bands_rise_with_difficulty_and_hold_their_share(
    values: list[float], num_bands: int
) -> None:
    edges = band_edges(values, num_bands)
    bands = band_of(values, edges)
    assert len(edges) == num_bands - 1
    assert bands.min() >= 1
    assert bands.max() <= num_bands
    order = np.argsort(values, kind="stable")
    assert (np.diff(bands[order]) >= 0).all()
    for band in range(1, num_bands):
        assert (bands <= band).mean() >= band / num_bands - 1e-12
        below = np.asarray(values) < edges[band - 1]
        assert below.mean() < band / num_bands + 1e-12


def test_bands_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"bands of nothing.*got 1 texts, none with one"):
        band_edges([np.nan], 3)
    with pytest.raises(SpecError, match=r"num_bands: too few bands; expected 1 or more; got 0"):
        band_edges([1.0], 0)
