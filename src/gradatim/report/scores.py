"""Scores to one HTML page that works offline, and its numbers as CSV.

The page is for the eyes: what the bands of a metric read like, how every metric lies over sources
and levels, and which metrics agree. Memory does not grow with the corpus: rows are streamed, in
three passes over the scores; of the corpus, only the texts that are shown are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradatim.report.figures import spread
from gradatim.report.html import resource, write_page
from gradatim.report.palette import colour_rules, slice_colours
from gradatim.report.parts import Figure
from gradatim.report.scores_agreement import measure_agreement
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import Histogram, by_frequency, count_rows, take_census
from gradatim.report.scores_folder import ScoresFolder
from gradatim.report.scores_sections import (
    agreement_results,
    band_results,
    distributions,
    metric_results,
    score_tables,
)
from gradatim.report.scores_wording import counted, cropped, reasons_words, share_words, words
from gradatim.report.wording import capitalised, count, data_size

_SPREAD_STEPS = 120


def report_scores(
    folder: Path,
    path: Path,
    *,
    texts: Callable[[Sequence[tuple[int, int]]], list[str]],
    metric: str = "reading_age",
    num_bands: int = 10,
) -> Path:
    """Write the page to `path`, and its numbers to the folder `<stem>-data` beside it.

    Args:
        folder: of scores.
        path: the HTML file; its folder is made.
        texts: the texts at (piece, row) pairs, in their order; `piece` is that of `parts` in
            `scores.json`, `row` counts from 0 within the piece. Called once.
        metric: whose bands are shown.
        num_bands: how many, 1 to 100; fewer are made where there are fewer values.

    Returns:
        The path written; the same arguments give the same bytes.

    Raises:
        InputError: damaged scores, or a metric without a value.
        SpecError: an unknown metric, or an impossible number of bands.
        StoreError: not a scores folder.
    """
    scores = ScoresFolder.read(folder)
    bands = Bands.of(scores, scores.metric(metric), num_bands)
    census = take_census(scores)
    counts = count_rows(scores, census, bands)
    agreement = measure_agreement(scores, census)
    places = counts.chosen.select("piece", "row").unique().sort("piece", "row").rows()
    shown = dict(zip(places, texts(places), strict=True))
    corpus = ", ".join(place.rstrip("/").rpartition("/")[2] for place in scores.about["corpus"])
    colours = colour_rules(slice=slice_colours(bands.num_bands))
    return write_page(
        Path(path),
        "scores.html",
        styles=[resource("style.css"), resource("scores.css"), colours],
        tables=score_tables(scores, bands, counts, agreement),
        title=f"How hard is this text? {capitalised(words(metric))} of {cropped(corpus)}",
        filters=[counted, share_words, reasons_words, data_size, count],
        name=words(metric),
        scores=scores,
        unit=scores.unit,
        metric=bands.metric,
        num_bands=bands.num_bands,
        arms={},
        sections={
            "answer": {
                "census": census,
                "reasons": by_frequency(census["reason"]),
                "spread": _spread(counts.histograms[metric], bands, counts.filled_bands),
            },
            **band_results(bands, counts, shown),
            "distributions": distributions(scores.filled_metrics, bands.metric, counts),
            "agreement": agreement_results(scores.unit, metric, agreement),
            "metrics": metric_results(scores),
        },
    )


def _spread(histogram: Histogram, bands: Bands, filled: Sequence[int]) -> Figure:
    """All values of the chosen metric, coloured by those bands that hold one."""
    metric, low, high = bands.metric, histogram.low, histogram.high
    edges = [bands.edges_of(band)[1] for band in filled[:-1]]
    borders = [min(high, max(low, edge)) for edge in edges if edge is not None]
    ends = sorted([low, *borders, high])
    rising = filled if metric.is_harder_high else filled[::-1]

    def of_band(band: int, start: float, end: float) -> dict[str, Any]:
        says = f"Band {band}: {bands.words(band)}"
        return {"start": start, "end": end, "band": band, "says": says, "href": f"#band-{band}"}

    pieces = [of_band(band, *ends[at : at + 2]) for at, band in enumerate(rising)]
    width, bars = (high - low) / _SPREAD_STEPS, []
    for step, num_rows in enumerate(histogram.steps(-2, _SPREAD_STEPS).tolist()):
        start = low + width * step
        band = next(piece["band"] for piece in pieces if start + width / 2 <= piece["end"])
        bars.append(of_band(band, start, start + width) | {"count": num_rows})
    label = (
        f"Histogram of {words(metric.name)}, from {metric.shown(low)} to {metric.shown(high)}, "
        "coloured by band"
    )
    spec = spread(bars, pieces, num_bands=bands.num_bands)
    return Figure("plot-spread", "", label, spec, is_wide=True)
