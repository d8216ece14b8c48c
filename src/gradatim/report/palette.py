"""One colour, dash and mark for each arm, the same in every plot and table of the page.

The baseline is grey. Every method has a hue of the colour-blind-safe set of Okabe and Ito; its
controls are lighter variants of that hue, dashed and with their own mark, so that nothing depends
on hue alone. Slices of difficulty run along one ordered scale (cividis-like), never along hues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradatim.law.comparison import Comparison

Colours = dict[str, str]  # by theme

THEMES = ("light", "dark")
_PAPER = {"light": "#ffffff", "dark": "#15171a"}
_BASELINE = {"light": "#3d4248", "dark": "#d5d8dc"}
_HUES = {
    "light": ("#0072b2", "#d55e00", "#008a64", "#b05a94", "#b57f00", "#3a94c8"),
    "dark": ("#5ab2ec", "#f58b4c", "#3fc79b", "#e39cc9", "#e9b83d", "#9ad4f6"),
}
_SLICES = {
    "light": ("#f0d65c", "#b9b56f", "#8a8b78", "#5f6878", "#33497a", "#0f2b5b"),
    "dark": ("#fbe779", "#c9bd79", "#97967f", "#6f7f9c", "#4f6fb4", "#3557a8"),
}
_CONTROL_TINTS = {"light": (0.3, 0.45), "dark": (0.22, 0.36)}
_CONTROL_DASHES = ([6, 3], [2, 2.5], [8, 3, 2, 3])
_CONTROL_MARKS = ("square", "triangle-up", "diamond")


@dataclass(frozen=True)
class ArmStyle:
    """How an arm looks: colours by theme, dash pattern of its lines, mark of its points."""

    name: str
    colours: Colours
    dash: Sequence[float] = (1, 0)
    mark: str = "circle"
    is_control: bool = False


@dataclass(frozen=True)
class Arms:
    """The arms of the page, in the order in which they are shown."""

    styles: Sequence[ArmStyle]

    @property
    def names(self) -> list[str]:
        return [style.name for style in self.styles]

    def channel(self, look: str = "") -> dict[str, Any]:
        """What tells arms apart in a plot: the page's colours, or their `dash` or `mark`."""
        scale: dict[str, Any] = {"domain": self.names}
        if look:
            scale["range"] = [getattr(style, look) for style in self.styles]
        return {"field": "arm", "type": "nominal", "scale": scale, "legend": None}


def arms_of(comparison: Comparison) -> Arms:
    """The baseline, then each method and its controls."""
    styles = [ArmStyle(comparison.baseline, _BASELINE)]
    for index, method in enumerate(comparison.methods()):
        hue = {theme: _HUES[theme][index % len(_HUES[theme])] for theme in THEMES}
        styles.append(ArmStyle(method, hue))
        styles += _control_styles([arm.name for arm in comparison.controls(method)], hue)
    known = {style.name for style in styles}
    orphans = [arm.name for arm in comparison.arms if arm.name not in known]
    return Arms([*styles, *_control_styles(orphans, _BASELINE)])


def slice_colours(num_slices: int) -> list[Colours]:
    """Colours of ordered slices, easiest first."""
    last = len(_SLICES["light"]) - 1
    places = [index * last / max(1, num_slices - 1) for index in range(num_slices)]
    return [
        {
            theme: _mix(stops[int(place)], stops[min(int(place) + 1, last)], place % 1)
            for theme, stops in _SLICES.items()
        }
        for place in (places if num_slices > 1 else [last / 2])
    ]


def colour_rules(**colours: Sequence[Colours]) -> str:
    """CSS variables `--name-place` by theme, which plots and page alike take their colours from."""
    light, dark = (
        "".join(
            f"--{name}-{place}:{by_theme[theme]};"
            for name, found in colours.items()
            for place, by_theme in enumerate(found)
        )
        for theme in THEMES
    )
    return f":root {{{light}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}\n"


def _control_styles(names: Sequence[str], hue: Colours) -> list[ArmStyle]:
    styles = []
    for place, name in enumerate(names):
        kind = place % len(_CONTROL_DASHES)
        colours = {
            theme: _mix(hue[theme], _PAPER[theme], tints[place % len(tints)])
            for theme, tints in _CONTROL_TINTS.items()
        }
        look = (_CONTROL_DASHES[kind], _CONTROL_MARKS[kind])
        styles.append(ArmStyle(name, colours, *look, is_control=True))
    return styles


def _mix(colour: str, other: str, share: float) -> str:
    """`share` of the other colour, mixed in RGB."""
    channels = (
        round(int(colour[at : at + 2], 16) * (1 - share) + int(other[at : at + 2], 16) * share)
        for at in (1, 3, 5)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)
