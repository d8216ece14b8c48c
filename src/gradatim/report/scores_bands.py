"""Bands of one metric: their edges from its quantiles, and the band of every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import InputError, SpecError
from gradatim.report.scores_folder import Metric, ScoresFolder

MAX_BANDS = 100
TAIL_SHARE = 0.01


@dataclass(frozen=True)
class Bands:
    """Slices between quantiles, 1 the easiest; a value equal to an edge is in the easier band.

    Attributes:
        metric: whose values are cut.
        edges: difficulties (values turned so that higher is harder) between the bands, rising.
        tails: the difficulties at and below, at and above which the easiest and the hardest
            hundredth lie.
    """

    metric: Metric
    edges: NDArray[np.float64]
    tails: tuple[float, float]

    @classmethod
    def of(cls, folder: ScoresFolder, metric: Metric, num_bands: int) -> Self:
        """As many bands as asked, fewer where there are fewer values.

        The edges are those that the folder names for so many bands, else between its percentiles.

        Raises:
            SpecError: fewer than 1 or more than 100 bands, for there are 100 percentiles.
            InputError: no row has a value.
        """
        if not 1 <= num_bands <= MAX_BANDS:
            raise SpecError(
                "cannot be so many bands",
                where="num_bands",
                expected=f"1 to {MAX_BANDS}",
                got=f"{num_bands}",
            )
        if metric.quantiles is None:
            raise InputError(
                "no text has a value of this metric",
                where=f"metric {metric.name}",
                expected="at least one",
                remedy="Choose another metric.",
            )
        num_bands = min(num_bands, metric.num_values)
        named = folder.band_edges.get(metric.name, ())
        if num_bands == folder.num_bands and len(named) == num_bands - 1:
            edges = sorted(metric.sign * edge for edge in named)
        else:
            shares = np.arange(1, num_bands) / num_bands
            edges = [difficulty_at(metric, share) for share in shares]
        tails = (difficulty_at(metric, TAIL_SHARE), difficulty_at(metric, 1 - TAIL_SHARE))
        return cls(metric, np.array(edges, np.float64), tails)

    @property
    def num_bands(self) -> int:
        return len(self.edges) + 1

    def band_of(self, difficulty: NDArray[np.float64]) -> NDArray[np.int64]:
        """The band of each difficulty, from 1; 0 where it is NaN, which stands for null."""
        bands = 1 + np.searchsorted(self.edges, difficulty, side="left")
        return np.where(np.isnan(difficulty), 0, bands)

    def edges_of(self, band: int) -> tuple[float | None, float | None]:
        """Values at the easy and the hard edge of a band; None where it is open."""
        sign = self.metric.sign
        return (
            sign * float(self.edges[band - 2]) if band > 1 else None,
            sign * float(self.edges[band - 1]) if band < self.num_bands else None,
        )


def difficulty_at(metric: Metric, share: float) -> float:
    """The difficulty below which a share of the texts lies."""
    return metric.sign * metric.quantile(share if metric.is_harder_high else 1 - share)
