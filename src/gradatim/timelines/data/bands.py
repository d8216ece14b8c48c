"""Bands as labels: slices of the blocks between two quantiles of a difficulty.

The rule is that of the bands in evaluations and reports: an edge is a difficulty that occurs, the
lowest below or at which its share of the blocks lies, and what equals an edge is in the band below
it. So equal difficulties are never parted, and many ties make bands unequal or leave some empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gradatim.errors import SpecError
from gradatim.streams import parts
from gradatim.timelines.data.door import BlockTable, Labels

Grouping = Literal["level", "source", "band"]
"""What blocks can be grouped by: a label they carry, or the band of their difficulty."""

DEFAULT_METRIC = "reading_age"
"""Of bands, where nobody names another."""

NumBands = Annotated[int, Field(ge=2, le=100)]


def bands(difficulty: NDArray[np.floating[Any]], num_bands: int) -> Labels:
    """The band of each block: names "", "1" .. "n" with "1" the easiest, and a code a block.

    Blocks of unknown difficulty (not a number) have the code 0, whose name is empty as that of
    blocks without a level is.

    Args:
        difficulty: [blocks].
        num_bands: how many.

    Raises:
        SpecError: no block has a difficulty.
    """
    known = difficulty[np.isfinite(difficulty)]
    if len(known) == 0:
        raise SpecError(
            "no block has a value of this metric, so there are no bands",
            where="data.metric",
            remedy="Name a metric that the store has values of",
        )
    shares = np.arange(1, num_bands) / num_bands
    edges = np.quantile(known, shares, method="inverted_cdf", overwrite_input=True)
    codes = np.zeros(len(difficulty), dtype=np.uint8)
    for part in parts(len(codes)):
        values = difficulty[part]
        found = 1 + np.searchsorted(edges, values, side="left")
        codes[part] = np.where(np.isfinite(values), found, 0)
    return ("", *(str(band) for band in range(1, num_bands + 1))), codes


def labels_by(
    table: BlockTable, by: Grouping, *, metric: str = "reading_age", num_bands: int | None = None
) -> Labels:
    """Names and codes of the labels of a grouping; a level or source may be called "", no label.

    Args:
        table: the blocks.
        by: the grouping.
        metric: the difficulty of bands.
        num_bands: how many bands; needed for them.

    Raises:
        SpecError: the blocks carry no such labels, or no such metric.
    """
    if by != "band":
        return table.label(by)
    assert num_bands is not None
    return bands(table.difficulty(metric), num_bands)


def check_bands(
    by: Grouping, num_bands: int | None, metric: str, named: Iterable[str] = ()
) -> None:
    """Refuse bands without a number, a number or metric without bands, and bands there are not.

    Args:
        by: the grouping.
        num_bands: how many bands.
        metric: whose quantiles they are.
        named: the labels that settings name.

    Raises:
        ValueError: for pydantic to say where.
    """
    if by != "band":
        if num_bands is not None:
            raise ValueError(f"num_bands is a setting of `by: band`, not of `by: {by}`")
        if metric != DEFAULT_METRIC:
            raise ValueError(f"metric is a setting of `by: band`, not of `by: {by}`")
        return
    if num_bands is None:
        raise ValueError("`by: band` needs num_bands, the number of bands")
    known = [str(band) for band in range(1, num_bands + 1)]
    for label in named:
        if label not in known:
            raise ValueError(f"there is no band {label!r}; the bands are 1 to {num_bands}")
