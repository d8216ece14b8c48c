"""Histograms as SVG paths and axes as places in percent: drawn without a script, in any width.

The paths are numbers alone; whatever came from a corpus is text, which the template escapes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradatim.report.palette import THEMES, diverging_colours, slice_colours
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import Groups, Histogram
from gradatim.report.scores_folder import Metric
from gradatim.report.wording import number, percent

WIDTH, HEIGHT = 480, 100  # of a path's box, which is stretched to its place
NUM_STEPS = 48
_SPREAD_STEPS, _MAX_SNAPPED_BANDS = 120, 20
NUM_SHADES = 21  # of the correlations, from −1 to 1
_INKS = ("#0b0d0f", "#ffffff")
_MAX_LABEL = 80
_PROPER_NAMES = {
    name.lower(): name
    for name in ("Flesch", "Kincaid", "Gunning", "Coleman", "Liau", "Linsear", "Dale", "Chall")
} | {name.lower(): name for name in ("Spache", "SMOG", "LIX", "RIX", "MTLD", "MATTR", "SALT", "DS")}
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Tick:
    percent: float
    text: str


@dataclass(frozen=True)
class Strip:
    """One group's histogram; `median_percent` is its place on the axis."""

    label: str
    path: str
    median_percent: float | None
    median: str
    says: str


@dataclass(frozen=True)
class Card:
    """One metric's strips over one axis; `middle_percent` is the median of all rows."""

    title: str
    unit: str
    note: str
    strips: Sequence[Strip]
    ticks: Sequence[Tick]
    middle_percent: float
    is_large: bool = False


@dataclass(frozen=True)
class Piece:
    """A band's part of the axis of the first picture; empty bands have none."""

    place: int
    start_percent: float
    end_percent: float
    says: str


@dataclass(frozen=True)
class Spread:
    """All values of the chosen metric, coloured by band."""

    path: str
    pieces: Sequence[Piece]
    ticks: Sequence[Tick]
    says: str


@dataclass(frozen=True)
class Shade:
    """A cell of the matrix: its text, its colour's place, what it says in full."""

    text: str
    place: int | None
    says: str


@dataclass(frozen=True)
class Matrix:
    names: Sequence[str]
    rows: Sequence[Sequence[Shade]]


def decimals_of(metric: Metric) -> int:
    """Decimals that tell apart a fiftieth of the range between the outer tenths."""
    spread = abs(metric.quantile(0.9) - metric.quantile(0.1))
    if spread == 0:
        return 2
    return min(5, max(0, math.ceil(-math.log10(spread / 50))))


def path_of(counts: NDArray[np.int64]) -> str:
    """A stepped area, as high as its box at its fullest; empty without any count."""
    most = int(counts.max(initial=0))
    if most == 0:
        return ""
    width = WIDTH // len(counts)
    tops = np.rint(HEIGHT * (1 - counts / most)).astype(int)
    steps = [f"V{top}h{width}" for top in tops]
    return f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}Z"


def ticks_of(low: float, high: float, most: int) -> list[Tick]:
    """About so many round values, two or more, with the decimals their distance needs."""
    span = high - low
    if not span > 0:
        return []
    ticks: list[Tick] = []
    for wanted in range(most, 3 * most + 1):  # a round step may leave too few
        raw = span / wanted
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(nice * power for nice in _NICE if nice * power >= raw * (1 - 1e-9))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        decimals += round(step * 10**decimals, 6) % 1 != 0
        places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        ticks = [
            Tick(_rounded(100 * (place * step - low) / span), number(place * step, decimals))
            for place in places
        ]
        if len(ticks) > 1:
            break
    return ticks


def spread_of(histogram: Histogram, bands: Bands, filled: Sequence[int]) -> Spread:
    """The last row of a histogram (all values), coloured by those bands that hold one."""
    metric, decimals = bands.metric, decimals_of(bands.metric)
    borders = [_border(histogram, bands, band) for band in filled[:-1]]
    start, end = (0.0, 100.0) if metric.is_harder_high else (100.0, 0.0)
    pieces = [
        Piece(band - 1, min(ends), max(ends), f"Band {band}: {edge_words(bands, band)}")
        for band, *ends in zip(filled, [start, *borders], [*borders, end], strict=True)
        if ends[0] != ends[1]
    ]
    counts = histogram.counts[-1].reshape(_SPREAD_STEPS, -1).sum(axis=1)
    says = (
        f"Histogram of {words(metric.name)}, from {number(histogram.low, decimals)} to "
        f"{number(histogram.high, decimals)}, coloured by band"
    )
    ticks = ticks_of(histogram.low, histogram.high, 9)
    return Spread(path_of(counts), sorted(pieces, key=lambda p: p.start_percent), ticks, says)


def card_of(
    metric: Metric,
    histogram: Histogram,
    groups: Groups,
    first: int,
    order: Sequence[int],
    *,
    is_large: bool = False,
) -> Card:
    """The strips of a metric by the groups that begin at row `first` of its histogram."""
    decimals, labels = decimals_of(metric), short_labels(groups.labels)
    total = histogram.num_values(len(histogram.counts) - 1)
    strips = []
    for place in order:
        row = first + place
        counts = histogram.counts[row].reshape(NUM_STEPS, -1).sum(axis=1)
        median = histogram.median(row)
        num_values = histogram.num_values(row)
        outside = int(histogram.below[row] + histogram.above[row])
        says = (
            f"{groups.labels[place]}: {num_values:,} values ({percent(num_values / total, 1)} of "
            f"all), median {number(median, decimals)}"
        )
        if outside:
            says += f"; {percent(outside / num_values, 1)} lie outside of the plot"
        where = None if median is None else _place(histogram, median)
        strips.append(Strip(labels[place], path_of(counts), where, number(median, decimals), says))
    return Card(
        title="" if is_large else metric.name,
        unit="" if is_large else metric.unit,
        note="" if metric.is_harder_high else "higher is easier",
        strips=strips,
        ticks=ticks_of(histogram.low, histogram.high, 6 if is_large else 3),
        middle_percent=_place(histogram, metric.quantile(0.5)),
        is_large=is_large,
    )


def short_labels(labels: Sequence[str]) -> list[str]:
    """Without a folder that several share, unless names would be alike; none too long to print."""
    shared = Counter(label.partition("/")[0] for label in labels if "/" in label)
    short = [
        label.partition("/")[2] if shared[label.partition("/")[0]] > 1 and "/" in label else label
        for label in labels
    ]
    return [cropped(label) for label in (short if len(set(short)) == len(labels) else labels)]


def cropped(label: str) -> str:
    """A name that is not longer than a line."""
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def edge_words(bands: Bands, band: int) -> str:
    """`up to 6.3 years`, `6.3 to 7.1 years`, `above 15.2 years`; raw values, easy edge first."""
    easy, hard = bands.edges_of(band)
    decimals, unit = decimals_of(bands.metric), bands.metric.unit
    is_rising = bands.metric.is_harder_high
    if easy is None and hard is None:
        text = "all values"
    elif easy is None:
        text = (
            f"up to {number(hard, decimals)}" if is_rising else f"{number(hard, decimals)} or more"
        )
    elif hard is None:
        text = f"{'above' if is_rising else 'below'} {number(easy, decimals)}"
    else:
        text = f"{number(easy, decimals)} to {number(hard, decimals)}"
    return f"{text} {unit}".rstrip()


def shade(correlation: float, says: str) -> Shade:
    """A correlation's cell."""
    place = round((correlation + 1) / 2 * (NUM_SHADES - 1))
    return Shade(number(correlation, 2), place, says)


def words(name: str) -> str:
    """A column's name as words."""
    return " ".join(_PROPER_NAMES.get(word, word) for word in name.split("_"))


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def colour_variables(theme: str, num_bands: int) -> str:
    """CSS variables of the bands' colours and of the matrix's, paper and ink."""
    assert theme in THEMES
    slices = slice_colours(num_bands)[theme]
    shades = diverging_colours(NUM_SHADES)[theme]
    inks = [max(_INKS, key=lambda ink: _contrast(ink, shade)) for shade in shades]
    named = (("slice", slices), ("shade", shades), ("ink", inks))
    return "".join(
        f"--{name}-{place}:{colour};"
        for name, colours in named
        for place, colour in enumerate(colours)
    )


def shade_rules() -> str:
    """One CSS rule a colour of the matrix."""
    return "\n".join(
        f".shade-{place} {{ background: var(--shade-{place}); color: var(--ink-{place}); }}"
        for place in range(NUM_SHADES)
    )


def _contrast(colour: str, other: str) -> float:
    """The contrast of two colours by WCAG 2, from 1 to 21."""
    low, high = sorted((_luminance(colour), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _border(histogram: Histogram, bands: Bands, band: int) -> float:
    """Where a band ends on the axis, in percent: behind the step that holds its last value.

    With many bands a step may hold several: then where the edge itself lies.
    """
    edge = bands.edges_of(band)[1]
    assert edge is not None, "the last band has no end"
    place = _place(histogram, edge)
    if bands.num_bands > _MAX_SNAPPED_BANDS:
        return place
    step = place * _SPREAD_STEPS / 100
    whole = math.floor(step) + 1 if bands.metric.is_harder_high else math.ceil(step) - 1
    return _rounded(100 * min(max(whole, 0), _SPREAD_STEPS) / _SPREAD_STEPS)


def _place(histogram: Histogram, value: float) -> float:
    """Where a value lies on the axis, in percent, kept within it."""
    share = (value - histogram.low) / (histogram.high - histogram.low)
    return _rounded(100 * min(1.0, max(0.0, share)))


def _rounded(value: float) -> float:
    return round(value, 2) + 0.0
