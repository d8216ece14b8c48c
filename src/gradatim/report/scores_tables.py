"""The numbers of the score report as tables; each is a CSV file beside the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl

from gradatim.report.scores_agreement import Agreement
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import Counts
from gradatim.report.scores_drawings import NUM_STEPS
from gradatim.report.scores_folder import NUM_QUANTILES, ScoresFolder
from gradatim.report.table_files import write_tables


@dataclass(frozen=True)
class ScoreTables:
    """Everything the page shows; the field names are the names of the CSV files."""

    quantiles: pl.DataFrame
    bands: pl.DataFrame
    distributions: pl.DataFrame
    agreement: pl.DataFrame

    @classmethod
    def of(cls, folder: ScoresFolder, bands: Bands, counts: Counts, agreement: Agreement) -> Self:
        return cls(
            quantiles=quantiles(folder),
            bands=band_table(bands, counts),
            distributions=distributions(counts),
            agreement=agreement.table(),
        )

    def write(self, folder: Path) -> None:
        """Write every table that has a row as CSV; a file of an earlier, empty one is removed."""
        write_tables(vars(self), folder)


def quantiles(folder: ScoresFolder) -> pl.DataFrame:
    """One row a metric.

    Returns:
        Columns metric, unit, higher_is, describes, num_values, share_null, method, rank_error, and
        p0 (minimum) to p100 (maximum), null where the metric has no value.
    """
    rows = [
        {
            "metric": metric.name,
            "unit": metric.unit,
            "higher_is": "harder" if metric.is_harder_high else "easier",
            "describes": metric.describes,
            "num_values": metric.num_values,
            "share_null": 1 - metric.num_values / folder.num_rows,
            "method": metric.method or None,
            "rank_error": metric.rank_error if metric.quantiles is not None else None,
            **{
                f"p{place}": metric.quantiles[place] if metric.quantiles is not None else None
                for place in range(NUM_QUANTILES)
            },
        }
        for metric in folder.metrics
    ]
    numbers = ("share_null", "rank_error", *(f"p{place}" for place in range(NUM_QUANTILES)))
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64))


def band_table(bands: Bands, counts: Counts) -> pl.DataFrame:
    """One row a band.

    Returns:
        Columns band, metric, easy_edge, hard_edge (values; null where open), num_rows, num_bytes,
        num_not_prose.
    """
    rows = [
        (band, bands.metric.name, *bands.edges_of(band), *(int(column[band - 1]) for column in by))
        for by in [(counts.band_rows, counts.band_bytes, counts.band_not_prose)]
        for band in range(1, bands.num_bands + 1)
    ]
    schema: dict[str, Any] = {"band": pl.Int64, "metric": pl.String}
    schema |= {"easy_edge": pl.Float64, "hard_edge": pl.Float64}
    schema |= dict.fromkeys(("num_rows", "num_bytes", "num_not_prose"), pl.Int64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def distributions(counts: Counts) -> pl.DataFrame:
    """Steps of every histogram that hold a value; the first and last have an open end.

    Returns:
        Columns metric, kind (source, level, all), group, from, to, num_rows.
    """
    schema: dict[str, Any] = dict.fromkeys(("metric", "kind", "group"), pl.String)
    schema |= {"from": pl.Float64, "to": pl.Float64, "num_rows": pl.Int64}
    return pl.DataFrame(list(_steps(counts)), schema=schema, orient="row")


def _steps(counts: Counts) -> Iterator[tuple[Any, ...]]:
    names = [(group.kind, label) for group in counts.groups for label in group.labels]
    for metric, found in counts.histograms.items():
        width = (found.high - found.low) / NUM_STEPS
        for row, (kind, group) in enumerate([*names, ("all", "")]):
            steps = found.counts[row].reshape(NUM_STEPS, -1).sum(axis=1).tolist()
            ends = [found.low + width * place for place in range(NUM_STEPS + 1)]
            outer = [
                (None, ends[0], int(found.below[row])),
                (ends[-1], None, int(found.above[row])),
            ]
            inner = list(zip(ends, ends[1:], steps, strict=False))
            for start, end, num_rows in [outer[0], *inner, outer[1]]:
                if num_rows:
                    yield metric, kind, group, start, end, num_rows
