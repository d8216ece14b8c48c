"""Rows to Vega-Lite plots, the one way for every page.

A plot names no colour and no font: the page gives both, by theme, when it draws. Arms are coloured
through the page's category range, in the order of `Arms.names`, slices through its ordinal range;
and every plot has a parameter `isolated`, the name of the one arm to show (null: all), which the
legend sets. Columns have fixed names; whatever came from a user is a value, never part of an
expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradatim.report.palette import Arms
from gradatim.report.parts import Rows

Spec = dict[str, Any]

SHOWN = "isolated === null || datum.arm === isolated"
BAND_SHOWN = "isolated === null ? !datum.is_control : datum.arm === isolated"
STEP_PLACE = "datum.low + datum.step_width * (datum.step - 1)"
STEP_TOP = "datum.base + 0.9 * datum.height"
LABEL_LIMIT = "containerSize()[0] > 600 ? 200 : 90"
UNSIGNED_ZERO = "datum.value === 0 ? '0' : datum.label"
_TICK_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), np.arange(1, 10, 0.1))
_MIN_TICKS, _MAX_TICKS = 4, 9
_MAX_LEVEL_CHARACTERS = 24  # of slice names on one line in the narrowest plot
_HEIGHT, _SPREAD_HEIGHT = 230, 120
_WORDS = {"low": "95 % from", "high": "95 % to", "flops": "FLOPs"}
_FORMATS = {"progress": ".0%", "share": ".1%", "flops": ".3s"}


@dataclass(frozen=True)
class Axis:
    """A quantitative axis: column, title, number format of d3, and whether it is logarithmic."""

    column: str
    title: str
    format: str = "~g"
    is_log: bool = False
    domain: tuple[float, float] | None = None

    def channel(self, rows: Rows = ()) -> Spec:
        """The channel of a plot; a logarithmic axis ends where the rows do."""
        axis: Spec = {"format": self.format}
        if self.format.startswith("+"):
            axis["labelExpr"] = UNSIGNED_ZERO
        scale: Spec = {"domain": self.domain} if self.domain else {"zero": False}
        if self.is_log:
            known = [row[self.column] for row in rows if (row[self.column] or 0) > 0] or [1, 10]
            domain = [min(known) / 1.03, max(known) * 1.03]
            scale = {"type": "log", "domain": domain, "nice": False}
            axis["values"] = log_ticks(*domain)
        return _number(self.column, title=self.title, scale=scale, axis=axis)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values in [low, high] that make a readable logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    chosen: list[float] = []
    for steps in _TICK_STEPS:
        values = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) <= _MAX_TICKS or len(chosen) < _MIN_TICKS - 1:
            chosen = ticks
        if len(ticks) >= _MIN_TICKS:
            break
    return chosen[:: math.ceil(len(chosen) / _MAX_TICKS) or 1]


def trends(
    lines: Rows,
    *,
    x: Axis,
    y: Axis,
    arms: Arms,
    seeds: Rows = (),
    points: Rows | None = None,
    height: int = _HEIGHT,
) -> Spec:
    """A thick line an arm, its interval as a band, its seeds as thin lines, and points.

    Points answer the pointer with their numbers. The bands of controls, which overlap, show only
    when one is looked at alone.

    Args:
        lines: columns arm, those of the axes, and maybe low and high.
        x: horizontal axis.
        y: vertical axis; its domain, if it has one, clips what leaves it, and zero is drawn.
        arms: the arms of the page.
        seeds: columns arm, seed, those of the axes.
        points: what is dotted, by default `lines`.
        height: in pixels.
    """
    dotted = lines if points is None else points
    everything = [*lines, *seeds, *dotted]
    base = {"x": x.channel(everything), "y": y.channel(everything), "color": arms.channel()}
    controls = {style.name for style in arms.styles if style.is_control}
    bounded = [
        row | {"is_control": row["arm"] in controls}
        for row in lines
        if row.get("low") is not None and row.get("high") is not None
    ]
    band = {
        "y": _number("low", title=y.title),
        "y2": {"field": "high"},
        "detail": _name("is_control"),
        "opacity": _when(0.13, 0, BAND_SHOWN),
    }
    thin = {"detail": _name("seed"), "opacity": _when(0.28, 0.03)}
    thick = {"strokeDash": arms.channel("dash"), "opacity": _when(1, 0.06)}
    dots = {
        "shape": arms.channel("mark"),
        "opacity": _when(0.9, 0),
        "tooltip": _tooltip(dotted, "arm", x.column, y.column, "low", "high"),
    }
    return plot(
        *([_zero_line("y")] if y.domain else []),
        layer(bounded, "area", base | band, clip=True),
        layer(seeds, "line", base | thin, strokeWidth=1, clip=True),
        layer(lines, "line", base | thick, strokeWidth=2.4, clip=True),
        layer(dotted, "point", base | dots, size=40, filled=True, clip=bool(y.domain)),
        height=height,
    )


def intervals(
    rows: Rows,
    *,
    by: str,
    value: Axis,
    arms: Arms,
    title: str = "",
    order: Sequence[str] = (),
    is_flat: bool = False,
) -> Spec:
    """Dot and interval for every arm side by side, category by category.

    Differences get a zero line, shares the rate of chance.

    Args:
        rows: columns arm, `by`, that of `value`, low, high; optionally chance and verdict.
        by: the column of the category.
        value: the axis of dots and intervals.
        arms: the arms of the page.
        title: of the categories' axis.
        order: of the categories; by default that of the rows.
        is_flat: one category below the other, intervals lying.
    """
    across, along = ("y", "x") if is_flat else ("x", "y")
    names = list(dict.fromkeys(order or [row[by] for row in rows]))
    shown = [name for name in arms.names if any(row["arm"] == name for row in rows)]
    is_crowded = len(names) > 1 and sum(len(name) + 1 for name in names) > _MAX_LEVEL_CHARACTERS
    labels: Spec = {"labelAngle": -40 if is_crowded else 0, "labelLimit": 110, "ticks": False}
    axis = {"labelFontWeight": "bold"} if is_flat else labels
    category = _name(by, title=title or None, sort=names, axis=axis)
    spacing = {"domain": shown, "paddingInner": 0.4, "paddingOuter": 0.7}
    offset = _name("arm", sort=shown, scale=spacing)
    base: Spec = {across: category, f"{across}Offset": offset, "color": arms.channel()}
    base["tooltip"] = _tooltip(rows, "arm", by, value.column, "low", "high", "verdict", "chance")
    # An unknown interval is one of no length, which the dot hides.
    ends = [
        row | {end: row[value.column] for end in ("low", "high") if row[end] is None}
        for row in rows
    ]
    rule = {
        along: _number("low", title=value.title),
        f"{along}2": {"field": "high"},
        "opacity": _when(0.7, 0.08),
    }
    dot = {along: value.channel(), "shape": arms.channel("mark"), "opacity": _when(1, 0.08)}
    chances = list({row[by]: row for row in rows if row.get("chance") is not None}.values())
    chance = {across: category, along: _number("chance"), "tooltip": _tooltip(chances, "chance")}
    return plot(
        layer(chances, "tick", chance, thickness=2, opacity=0.55),
        *([_zero_line(along)] if value.column == "difference" else []),
        layer(ends, "rule", base | rule, strokeWidth=2.2, clip=True),
        layer(rows, "point", base | dot, size=60 if is_flat else 44, filled=True),
        height=26 + len(names) * (18 + 19 * len(shown)) if is_flat else _HEIGHT,
    )


def areas(rows: Rows, *, labels: Sequence[str], title: str = "share of the blocks drawn") -> Spec:
    """Shares of every label over progress, by default in the blocks drawn; easiest at the bottom.

    Args:
        rows: columns progress, label, share.
        labels: from easy to hard; coloured through the page's ordinal range.
        title: of the axis of shares.
    """
    scale = {"domain": [0, 1], "nice": False}
    shares = {"scale": scale, "axis": {"format": "%", "tickCount": 5}}
    # Fifths would run together: the plot is narrow, and the labels at its ends stay inside it.
    progress = {"scale": scale, "axis": {"format": "%", "values": [0, 0.25, 0.5, 0.75, 1]}}
    placed = [row | {"place": labels.index(row["label"])} for row in rows]
    encoding = {
        "x": _number("progress", title="progress (share of the compute spent)", **progress),
        "y": _number("share", title=title, stack="zero", **shares),
        "color": {"field": "label", "type": "ordinal", "sort": list(labels), "legend": None},
        "order": _number("place"),
        "tooltip": _tooltip(rows, "label", "share", "progress"),
    }
    return plot(layer(placed, "area", encoding, line=False), height=170)


def strips(rows: Rows, *, domain: tuple[float, float], middle: float, row_height: int) -> Spec:
    """Histograms one below the other, each drawn to its own height, with their medians.

    Args:
        rows: columns name, heights (of equal steps of the domain, 0 to 1), median and shown (its
            words), which may be None and empty, and says.
        domain: of the axis.
        middle: where a line goes through all strips.
        row_height: in pixels.
    """
    low, high = domain
    step_width = (high - low) / len(rows[0]["heights"])
    shapes = [
        {"base": base, "low": low, "step_width": step_width, "height": [*row["heights"], 0]}
        for base, row in enumerate(reversed(rows))
    ]
    x: Spec = {"title": None, "scale": {"domain": domain, "nice": False, "zero": False}}
    steps = {
        "transform": [
            {"flatten": ["height"]},
            {"window": [{"op": "row_number", "as": "step"}], "groupby": ["base"]},
            {"calculate": STEP_PLACE, "as": "x"},
            {"calculate": STEP_TOP, "as": "top"},
        ],
        "data": {"values": shapes},
        "mark": {"type": "area", "interpolate": "step-after"},
        "encoding": {
            "x": _number("x", **x),
            "y": _number("top", axis=None, scale={"domain": [0, len(rows)]}),
            "y2": {"field": "base"},
            "detail": _name("base"),
        },
    }
    axis = {"labelLimit": {"expr": LABEL_LIMIT}, "grid": True, "bandPosition": 1}
    name = {"y": _name("name", sort=None, title=None, axis=axis)}
    tick = {"thickness": 2, "opacity": 1, "height": row_height / 2, "yOffset": row_height / 4}
    words = {"x": {"value": "width"}, "text": _name("shown")}
    wide = {"x": {"value": 0}, "x2": {"value": "width"}, "tooltip": _name("says")}
    named = {
        "layer": [
            layer(rows, "tick", name | {"x": _number("median", **x)}, **tick),
            layer(rows, "text", name | words, align="right", dx=44),
            layer(rows, "bar", name | wide, opacity=0),
        ]
    }
    line = layer([{"x": middle}], "rule", {"x": _number("x", **x)}, opacity=0.45)
    settings = {"resolve": {"scale": {"y": "independent"}}, "padding": {"right": 4}}
    return plot(line, steps, named, height=row_height * len(rows), **settings)


def spread(bars: Rows, bands: Rows, *, num_bands: int) -> Spec:
    """A histogram coloured by band, and below it the bands, which lead to their sections.

    Args:
        bars: columns start, end, count, band, says, href.
        bands: the same but count.
        num_bands: how many colours of the page's ordinal range there are.
    """
    colours = {"domain": list(range(1, num_bands + 1))}
    base = {
        "x": _number("start", title=None, scale={"nice": False, "zero": False}),
        "x2": {"field": "end"},
        "color": {"field": "band", "type": "ordinal", "scale": colours, "legend": None},
        "tooltip": _name("says"),
        "href": _name("href"),
    }
    base["x"]["axis"] = {"offset": 16, "domain": False, "tickCount": 9}
    key = {"y": {"value": _SPREAD_HEIGHT + 3}, "y2": {"value": _SPREAD_HEIGHT + 11}}
    bar = {"y": _number("count", axis=None), "y2": {"datum": 0}}
    return plot(
        layer(bars, "rect", base | bar),
        layer(bands, "rect", base | key),
        height=_SPREAD_HEIGHT,
    )


def plot(*layers: Spec, height: int, **more: Any) -> Spec:
    """Layers in one frame as wide as its place; those without rows are left out.

    An empty scale has no extent to draw.
    """
    return {
        "width": "container",
        "height": height,
        "params": [{"name": "isolated", "value": None}],
        "layer": [found for found in layers if "layer" in found or found["data"]["values"]],
        **more,
    }


def layer(rows: Rows, mark: str, encoding: Spec, **settings: Any) -> Spec:
    """One kind of mark over the rows, of which only the columns that are shown are kept."""
    channels = [
        channel
        for found in encoding.values()
        for channel in (found if isinstance(found, list) else [found])
    ]
    fields = list(dict.fromkeys(channel["field"] for channel in channels if "field" in channel))
    values = [{field: _short(row[field]) for field in fields if field in row} for row in rows]
    return {"data": {"values": values}, "mark": {"type": mark, **settings}, "encoding": encoding}


def _number(field: str, **settings: Any) -> Spec:
    return {"field": field, "type": "quantitative", **settings}


def _name(field: str, **settings: Any) -> Spec:
    return {"field": field, "type": "nominal", **settings}


def _when(shown: float, hidden: float, test: str = SHOWN) -> Spec:
    return {"condition": {"test": test, "value": shown}, "value": hidden}


def _zero_line(channel: str) -> Spec:
    return layer([{"zero": 0}], "rule", {channel: _number("zero")}, opacity=0.8)


def _tooltip(rows: Rows, *columns: str) -> list[Spec]:
    """What the pointer is told: those of the columns that the rows have."""
    tooltips = []
    for column in columns:
        values = [row[column] for row in rows if row.get(column) is not None]
        title = _WORDS.get(column, column.replace("_", " "))
        if values and isinstance(values[0], float):
            tooltips.append(_number(column, format=_FORMATS.get(column, ".4~f"), title=title))
        elif values:
            tooltips.append(_name(column, title=title))
    return tooltips


def _short(value: Any) -> Any:
    """Six significant digits are finer than a pixel and keep the page small."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
