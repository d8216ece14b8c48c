"""Bands: slices of a corpus between quantiles of difficulty."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradatim.errors import InputError, SpecError


def band_edges(difficulty: ArrayLike, num_bands: int) -> NDArray[np.float64]:
    """The num_bands − 1 values that part a corpus into bands of equal size.

    An edge is a difficulty that occurs, the lowest below or at which its share of the texts lies;
    equal difficulties are never parted, so many ties make bands unequal and can leave some empty.
    Masked and NaN entries are left out.

    Raises:
        SpecError: fewer than one band.
        InputError: no text has a difficulty.
    """
    if num_bands < 1:
        raise SpecError(
            "too few bands", where="num_bands", expected="1 or more", got=f"{num_bands}"
        )
    values = _values(difficulty)
    known = values[~np.isnan(values)]
    if known.size == 0:
        raise InputError(
            "bands of nothing",
            where="difficulty",
            expected="at least one text with a difficulty",
            got=f"{values.size} texts, none with one",
        )
    shares = np.arange(1, num_bands) / num_bands
    edges = np.quantile(known, shares, method="inverted_cdf", overwrite_input=True)
    return np.asarray(edges, np.float64)


def band_of(difficulty: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """The band of each text, from 1 (easiest) to len(edges) + 1; 0 where masked or NaN.

    A difficulty equal to an edge belongs to the band below it.
    """
    values = _values(difficulty)
    bands = 1 + np.searchsorted(np.asarray(edges, np.float64), values, side="left")
    return np.where(np.isnan(values), 0, bands)


def _values(difficulty: ArrayLike) -> NDArray[np.floating[Any]]:
    """As plain floats, single precision where they are, NaN where there is none."""
    if isinstance(difficulty, np.ma.MaskedArray):
        return np.where(difficulty.mask, np.nan, difficulty.data)
    values = np.asarray(difficulty)
    return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)
