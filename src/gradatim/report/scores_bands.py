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
        if not metric.values:
            raise InputError(
                "no text has a value of this metric",
                where=f"metric {metric.name}",
                expected="at least one",
                remedy="Choose another metric.",
            )
        num_bands = min(num_bands, metric.num_values)
        edges = [metric.difficulty_at(band / num_bands) for band in range(1, num_bands)]
        named = (folder.about.get("bands") or {"edges": {}})["edges"].get(metric.name, ())
        if len(named) == len(edges):
            edges = sorted(metric.sign * float(edge) for edge in named)
        tails = (metric.difficulty_at(TAIL_SHARE), metric.difficulty_at(1 - TAIL_SHARE))
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

    def words(self, band: int) -> str:
        """`up to 6.3 years`, `6.3 to 7.1 years`, `above 15.2 years`; raw, easy edge first."""
        easy, hard = (
            None if edge is None else self.metric.shown(edge) for edge in self.edges_of(band)
        )
        is_rising = self.metric.is_harder_high
        if easy is None and hard is None:
            text = "all values"
        elif easy is None:
            text = f"up to {hard}" if is_rising else f"{hard} or more"
        elif hard is None:
            text = f"{'above' if is_rising else 'below'} {easy}"
        else:
            text = f"{easy} to {hard}"
        return f"{text} {self.metric.unit}".rstrip()
