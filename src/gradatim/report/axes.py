"""Axes with ticks that fit their data, and the channels by which arms are told apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from gradatim.report.palette import ArmStyle

_TICK_STEPS: tuple[tuple[float, ...], ...] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 7),
    tuple(tenths / 10 for tenths in range(10, 100)),
)
UNSIGNED_ZERO = "datum.value === 0 ? '0' : datum.label"
_MIN_TICKS, _MAX_TICKS = 4, 9


@dataclass(frozen=True)
class Axis:
    """An axis: column, title, number format of d3, and whether it is logarithmic."""

    column: str
    title: str
    format: str = "~g"
    is_log: bool = False
    domain: tuple[float, float] | None = None

    def encode(self, channel: type[alt.X] | type[alt.Y], values: Iterable[float | None]) -> Any:
        """The Altair channel; a logarithmic axis gets ticks that fit its data."""
        axis: dict[str, Any] = {"format": self.format}
        if self.format.startswith("+"):
            axis["labelExpr"] = UNSIGNED_ZERO
        if not self.is_log:
            scale = alt.Scale(domain=list(self.domain)) if self.domain else alt.Scale(zero=False)
            return channel(f"{self.column}:Q", title=self.title, scale=scale, axis=alt.Axis(**axis))
        known = [value for value in values if value is not None and value > 0]
        low, high = (min(known), max(known)) if known else (1.0, 10.0)
        scale = alt.Scale(type="log", domain=[low / 1.03, high * 1.03], nice=False)
        axis["values"] = log_ticks(low / 1.03, high * 1.03)
        return channel(f"{self.column}:Q", title=self.title, scale=scale, axis=alt.Axis(**axis))


@dataclass(frozen=True)
class Arms:
    """The arms of the page, in order, and what every plot needs to tell them apart."""

    styles: Sequence[ArmStyle]

    @property
    def names(self) -> list[str]:
        return [style.name for style in self.styles]

    def colour(self, channel: type[alt.Color] | type[alt.Fill] = alt.Color) -> Any:
        return channel("arm:N", scale=alt.Scale(domain=self.names), legend=None)

    def dash(self) -> alt.StrokeDash:
        dashes = [style.dash for style in self.styles]
        return alt.StrokeDash(
            "arm:N", scale=alt.Scale(domain=self.names, range=dashes), legend=None
        )

    def mark(self) -> alt.Shape:
        marks = [style.mark for style in self.styles]
        return alt.Shape("arm:N", scale=alt.Scale(domain=self.names, range=marks), legend=None)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values in [low, high] that make a readable logarithmic axis."""
    best: list[float] = []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _TICK_STEPS:
        ticks = [
            float(f"{step * 10.0**decade:.6g}")
            for decade in decades
            for step in steps
            if low <= step * 10.0**decade <= high
        ]
        if len(ticks) > _MAX_TICKS:
            ticks = ticks[:: math.ceil(len(ticks) / _MAX_TICKS)]
            return best if len(best) >= _MIN_TICKS - 1 else ticks
        best = ticks
        if len(ticks) >= _MIN_TICKS:
            break
    return best
