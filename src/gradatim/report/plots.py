"""Tables to Vega-Lite specifications.

A specification names no colour and no font: the page gives both, by theme, when it draws. Arms are
coloured through the page's category range, in the order of `Arms.names`, and every specification
has a parameter `isolated`, the name of the one arm to show (null: all), which the legend sets.
Data columns have fixed names; whatever came from a user is a value, never part of an expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from gradatim.report.axes import UNSIGNED_ZERO, Arms, Axis

Spec = dict[str, Any]
Tables = dict[str, list[dict[str, Any]]]

SHOWN = "isolated === null || datum.arm === isolated"
_MAX_LEVEL_CHARACTERS = 24  # of slice names on one line in the narrowest plot
BAND_SHOWN = "isolated === null ? !datum.is_control : datum.arm === isolated"


class _Plot:
    """One plot's layers and tables; Altair sees the tables' names alone, for it copies all it sees.

    The specification gives every layer its table by name.
    """

    def __init__(self) -> None:
        self.tables: Tables = {}

    def chart(self, frame: pl.DataFrame, columns: Sequence[str]) -> alt.Chart:
        """A layer over those of the columns that the frame has."""
        wanted = frame.select([name for name in dict.fromkeys(columns) if name in frame.columns])
        name = f"table-{len(self.tables)}"
        self.tables[name] = [
            {column: _short(value) for column, value in row.items()} for row in wanted.to_dicts()
        ]
        chart: alt.Chart = alt.Chart(alt.NamedData(name=name))
        return chart

    def spec(self, layers: Sequence[alt.Chart], *, height: int = 230) -> Spec:
        """Layers without data are left out: an empty scale has no extent to draw."""
        filled = [layer for layer in layers if self.tables[layer.data.name]]
        chart = alt.layer(*filled).properties(width="container", height=height)
        spec: Spec = chart.add_params(alt.param(name="isolated", value=None)).to_dict(
            validate=False
        )
        del spec["$schema"], spec["config"]
        return spec | {"datasets": {name: rows for name, rows in self.tables.items() if rows}}


def lines(frame: pl.DataFrame, *, x: Axis, y: Axis, arms: Arms, clip: bool = False) -> Spec:
    """Every seed as a thin line, the mean over seeds as a thick one.

    Args:
        frame: columns arm, seed, the two axes' columns.
        x: horizontal axis.
        y: vertical axis.
        arms: the arms of the page.
        clip: hide what leaves the vertical domain.
    """
    plot = _Plot()
    means = seed_means(frame, x=x.column, y=y.column)
    x_channel = x.encode(alt.X, frame[x.column])
    y_channel = y.encode(alt.Y, frame[y.column])
    base = {"x": x_channel, "y": y_channel, "color": arms.colour()}
    thin = (
        plot.chart(frame, ["arm", "seed", x.column, y.column])
        .mark_line(strokeWidth=1, clip=clip)
        .encode(**base, detail="seed:N", opacity=_when_shown(0.28, 0.03))
    )
    return plot.spec([thin, *_mean_layers(plot, means, base, arms, x=x, y=y, clip=clip)])


def differences(frame: pl.DataFrame, means: pl.DataFrame, *, x: Axis, y: Axis, arms: Arms) -> Spec:
    """Differences to the baseline: zero line, seeds thin, mean thick, 95 % interval as a band.

    Args:
        frame: columns arm, seed and the two axes' columns, one row a seed.
        means: the same with columns low and high instead of seed.
        x: horizontal axis.
        y: vertical axis, whose domain clips what leaves it.
        arms: the arms of the page.
    """
    plot = _Plot()
    base = {"x": x.encode(alt.X, []), "y": y.encode(alt.Y, []), "color": arms.colour()}
    band = _band(plot, means, base, arms, x=x, y=y)
    thin = (
        plot.chart(frame, ["arm", "seed", x.column, y.column])
        .mark_line(strokeWidth=1, clip=True)
        .encode(**base, detail="seed:N", opacity=_when_shown(0.25, 0.03))
    )
    layers = _mean_layers(plot, means, base, arms, x=x, y=y, clip=True)
    return plot.spec([_zero_line(plot, "y"), band, thin, *layers])


def forest(frame: pl.DataFrame, *, rungs: Sequence[str], arms: Arms) -> Spec:
    """The answer in one picture: difference and interval, arm by arm, rung by rung.

    Args:
        frame: columns rung, arm, difference, low, high, verdict.
        rungs: rungs from small to large.
        arms: the arms of the page.
    """
    plot = _Plot()
    shown = [name for name in arms.names if name in set(frame["arm"])]
    columns = ["rung", "arm", "difference", "low", "high", "verdict"]
    title = "difference in bits per byte (left: better)"
    x = alt.X(
        "difference:Q",
        title=title,
        scale=alt.Scale(zero=True),
        axis=alt.Axis(format="+~g", tickCount=7, labelExpr=UNSIGNED_ZERO),
    )
    y = alt.Y("rung:N", title=None, sort=list(rungs), axis=alt.Axis(labelFontWeight="bold"))
    offset = alt.YOffset(
        "arm:N", sort=shown, scale=alt.Scale(domain=shown, paddingInner=0.4, paddingOuter=0.5)
    )
    tooltip = _tooltip(frame, "rung", "arm", "difference", "low", "high", "verdict")
    chart = plot.chart(frame, columns)
    rule = (
        plot.chart(_with_ends(frame, "difference"), columns)
        .mark_rule(strokeWidth=2.5)
        .encode(
            x=alt.X("low:Q", title=title),
            x2="high:Q",
            y=y,
            yOffset=offset,
            color=arms.colour(),
            opacity=_when_shown(0.75, 0.08),
            tooltip=tooltip,
        )
    )
    points = chart.mark_point(size=70, filled=True, strokeWidth=1.5).encode(
        x=x,
        y=y,
        yOffset=offset,
        color=arms.colour(),
        shape=arms.mark(),
        opacity=_when_shown(1, 0.08),
        tooltip=tooltip,
    )
    height = 26 + len(rungs) * (18 + 19 * len(shown))
    return plot.spec([_zero_line(plot, "x"), rule, points], height=height)


def dots(frame: pl.DataFrame, *, x_title: str, y: Axis, arms: Arms, reference: str) -> Spec:
    """Dot and interval for every arm side by side, over an ordered category.

    Args:
        frame: columns arm, slice, low, high and that of `y`; optionally chance, drawn as a tick.
        x_title: what the slices are.
        y: vertical axis.
        arms: the arms of the page.
        reference: `zero` draws a zero line, `chance` the chance rate of each slice.
    """
    plot = _Plot()
    shown = [name for name in arms.names if name in set(frame["arm"])]
    order = frame["slice"].unique(maintain_order=True).to_list()
    is_wide = len(order) > 1 and sum(len(name) + 1 for name in order) > _MAX_LEVEL_CHARACTERS
    axis = alt.Axis(labelAngle=-40 if is_wide else 0, labelLimit=110, ticks=False)
    x = alt.X("slice:N", title=x_title or None, sort=order, axis=axis)
    offset = alt.XOffset(
        "arm:N", sort=shown, scale=alt.Scale(domain=shown, paddingInner=0.3, paddingOuter=0.9)
    )
    y_channel = y.encode(alt.Y, [])
    tooltip = _tooltip(frame, "arm", "slice", y.column, "low", "high", "chance")
    rule = (
        plot.chart(_with_ends(frame, y.column), frame.columns)
        .mark_rule(strokeWidth=2, clip=True)
        .encode(
            x=x,
            xOffset=offset,
            y=alt.Y("low:Q", title=y.title),
            y2="high:Q",
            color=arms.colour(),
            opacity=_when_shown(0.6, 0.06),
            tooltip=tooltip,
        )
    )
    points = (
        plot.chart(frame, frame.columns)
        .mark_point(size=44, filled=True)
        .encode(
            x=x,
            xOffset=offset,
            y=y_channel,
            color=arms.colour(),
            shape=arms.mark(),
            opacity=_when_shown(1, 0.08),
            tooltip=tooltip,
        )
    )
    return plot.spec([_reference(plot, frame, reference, x=x), rule, points])


def law(points: pl.DataFrame, curves: pl.DataFrame, *, x: Axis, y: Axis, arms: Arms) -> Spec:
    """Fitted lines with their bands over the data they were fitted to.

    Args:
        points: columns arm and the two axes' columns.
        curves: columns arm, the two axes' columns, low, high; extrapolation included.
        x: horizontal axis.
        y: vertical axis.
        arms: the arms of the page.
    """
    plot = _Plot()
    xs = [*points[x.column], *curves[x.column]]
    base = {
        "x": x.encode(alt.X, xs),
        "y": y.encode(alt.Y, [*points[y.column], *curves[y.column]]),
        "color": arms.colour(),
    }
    band = _band(plot, curves, base, arms, x=x, y=y)
    line = (
        plot.chart(curves, ["arm", x.column, y.column])
        .mark_line(strokeWidth=2, clip=True)
        .encode(**base, strokeDash=arms.dash(), opacity=_when_shown(1, 0.08))
    )
    data = (
        plot.chart(points, points.columns)
        .mark_point(size=48, filled=True)
        .encode(
            **base,
            shape=arms.mark(),
            opacity=_when_shown(0.9, 0.08),
            tooltip=_tooltip(points, "arm", x.column, y.column),
        )
    )
    return plot.spec([band, line, data], height=300)


def areas(frame: pl.DataFrame, *, labels: Sequence[str]) -> Spec:
    """Shares of every label in the blocks drawn, over progress; easiest at the bottom.

    Args:
        frame: columns progress, label, share.
        labels: from easy to hard; coloured through the page's ordinal range.
    """
    plot = _Plot()
    places = pl.DataFrame({"label": list(labels), "place": range(len(labels))})
    ordered = frame.join(places, on="label", how="left")
    chart = (
        plot.chart(ordered, ["progress", "label", "place", "share"])
        .mark_area(line=False)
        .encode(
            x=alt.X(
                "progress:Q",
                title="progress (share of the compute spent)",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format="%", tickCount=5),
            ),
            y=alt.Y(
                "share:Q",
                stack="zero",
                title="share of the blocks drawn",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", tickCount=5),
            ),
            color=alt.Color("label:O", sort=list(labels), legend=None),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("label:N"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("progress:Q", format=".0%"),
            ],
        )
    )
    return plot.spec([chart], height=170)


def seed_means(frame: pl.DataFrame, *, x: str, y: str) -> pl.DataFrame:
    """Mean over seeds at every evaluation point: columns arm, point, `x`, `y`."""
    return frame.group_by("arm", "point", maintain_order=True).agg(
        pl.col(x).mean(), pl.col(y).mean(), num_seeds=pl.len()
    )


def _band(
    plot: _Plot, frame: pl.DataFrame, base: dict[str, Any], arms: Arms, *, x: Axis, y: Axis
) -> alt.Chart:
    """Intervals as areas; those of controls only when one is looked at alone, for they overlap."""
    is_control = pl.col("arm").is_in([style.name for style in arms.styles if style.is_control])
    bounded = frame.drop_nulls(["low", "high"]).with_columns(is_control=is_control)
    band: alt.Chart = (
        plot.chart(bounded, ["arm", "is_control", x.column, "low", "high"])
        .mark_area(clip=True)
        .encode(
            x=base["x"],
            y=alt.Y("low:Q", title=y.title),
            y2="high:Q",
            color=arms.colour(),
            opacity=alt.condition(BAND_SHOWN, alt.value(0.13), alt.value(0)),
        )
    )
    return band


def _mean_layers(
    plot: _Plot,
    means: pl.DataFrame,
    base: dict[str, Any],
    arms: Arms,
    *,
    x: Axis,
    y: Axis,
    clip: bool,
) -> list[alt.Chart]:
    """The thick line, and points that answer the pointer with a tooltip."""
    columns = ["arm", x.column, y.column]
    bounds = [name for name in ("low", "high") if name in means.columns]
    line = (
        plot.chart(means, columns)
        .mark_line(strokeWidth=2.4, clip=clip)
        .encode(**base, strokeDash=arms.dash(), opacity=_when_shown(1, 0.06))
    )
    points = (
        plot.chart(means, [*columns, *bounds])
        .mark_point(size=36, filled=True, clip=clip)
        .encode(
            **base,
            shape=arms.mark(),
            opacity=_when_shown(0.9, 0.0),
            tooltip=_tooltip(means, "arm", x.column, y.column, *bounds),
        )
    )
    return [line, points]


def _reference(plot: _Plot, frame: pl.DataFrame, kind: str, *, x: alt.X) -> alt.Chart:
    if kind == "zero":
        return _zero_line(plot, "y")
    chances = plot.chart(frame.unique(["slice"], maintain_order=True), ["slice", "chance"])
    ticks: alt.Chart = chances.mark_tick(thickness=2, opacity=0.55).encode(
        x=x, y="chance:Q", tooltip=[alt.Tooltip("chance:Q", format=".2f")]
    )
    return ticks


def _zero_line(plot: _Plot, channel: str) -> alt.Chart:
    place = {channel: alt.Y("zero:Q") if channel == "y" else alt.X("zero:Q")}
    zero = plot.chart(pl.DataFrame({"zero": [0.0]}), ["zero"])
    line: alt.Chart = zero.mark_rule(opacity=0.8).encode(**place)
    return line


def _with_ends(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """An unknown interval as one of no length, which the point hides."""
    return frame.with_columns(pl.col("low", "high").fill_null(pl.col(column)))


def _tooltip(frame: pl.DataFrame, *columns: str) -> list[alt.Tooltip]:
    tooltips = []
    for column in columns:
        if column not in frame.columns:
            continue
        if frame.schema[column].is_float():
            form = ".0%" if column == "progress" else ".3s" if column == "flops" else ".4~f"
            tooltips.append(alt.Tooltip(f"{column}:Q", format=form, title=_words(column)))
        else:
            tooltips.append(alt.Tooltip(f"{column}:N", title=_words(column)))
    return tooltips


def _words(column: str) -> str:
    return {"low": "95 % from", "high": "95 % to", "flops": "FLOPs"}.get(
        column, column.replace("_", " ")
    )


def _when_shown(shown: float, hidden: float) -> Any:
    return alt.condition(SHOWN, alt.value(shown), alt.value(hidden))


def _short(value: Any) -> Any:
    """Six significant digits are finer than a pixel and keep the page small."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
