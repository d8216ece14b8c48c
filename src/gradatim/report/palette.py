"""One colour, dash and mark for each arm, the same in every plot and table of the page.

The baseline is grey. Every method has a hue of the colour-blind-safe set of Okabe and Ito; its
controls are lighter variants of that hue, dashed and with their own mark, so that nothing depends
on hue alone. Slices of difficulty run along one ordered scale (cividis-like), never along hues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradatim.law.comparison import Comparison

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
_DIVERGING = {
    "light": ("#b24a00", "#e79a5c", "#ffffff", "#6c9dbf", "#0a5c94"),
    "dark": ("#b3541e", "#6e3c20", "#1d2024", "#26496b", "#2f74ad"),
}
_CONTROL_TINTS = {"light": (0.3, 0.45), "dark": (0.22, 0.36)}
_CONTROL_DASHES = ([6, 3], [2, 2.5], [8, 3, 2, 3])
_CONTROL_MARKS = ("square", "triangle-up", "diamond")
THEMES = ("light", "dark")


@dataclass(frozen=True)
class ArmStyle:
    """How an arm looks: colours by theme, dash pattern of its lines, mark of its points."""

    name: str
    colours: dict[str, str]
    dash: Sequence[float]
    mark: str
    is_control: bool = False


def arm_styles(comparison: Comparison) -> list[ArmStyle]:
    """Styles in the order in which arms are shown: baseline, then each method and its controls."""
    styles = [ArmStyle(comparison.baseline, _BASELINE, [1, 0], "circle")]
    for index, method in enumerate(comparison.methods()):
        hue = {theme: _HUES[theme][index % len(_HUES[theme])] for theme in THEMES}
        styles.append(ArmStyle(method, hue, [1, 0], "circle"))
        styles += [
            _control_style(arm.name, hue, place)
            for place, arm in enumerate(comparison.controls(method))
        ]
    known = {style.name for style in styles}
    orphans = [arm.name for arm in comparison.arms if arm.name not in known]
    return styles + [_control_style(arm, _BASELINE, place) for place, arm in enumerate(orphans)]


def slice_colours(num_slices: int) -> dict[str, list[str]]:
    """Colours of ordered slices, easiest first, by theme."""
    return {theme: _ramp(_SLICES[theme], num_slices) for theme in THEMES}


def diverging_colours(num_colours: int) -> dict[str, list[str]]:
    """Colours from most negative over none to most positive, by theme; an odd number has none."""
    return {theme: _ramp(_DIVERGING[theme], num_colours) for theme in THEMES}


def _control_style(arm: str, hue: dict[str, str], place: int) -> ArmStyle:
    kind = place % len(_CONTROL_DASHES)
    colours = {
        theme: _mix(hue[theme], _PAPER[theme], tints[place % len(tints)])
        for theme, tints in _CONTROL_TINTS.items()
    }
    return ArmStyle(arm, colours, _CONTROL_DASHES[kind], _CONTROL_MARKS[kind], is_control=True)


def _ramp(stops: Sequence[str], num_colours: int) -> list[str]:
    if num_colours <= 1:
        return [stops[len(stops) // 2]]
    places = [index * (len(stops) - 1) / (num_colours - 1) for index in range(num_colours)]
    return [
        _mix(stops[int(place)], stops[min(int(place) + 1, len(stops) - 1)], place - int(place))
        for place in places
    ]


def _mix(colour: str, other: str, share: float) -> str:
    """`share` of the other colour, mixed in RGB."""
    channels = (
        round(int(colour[at : at + 2], 16) * (1 - share) + int(other[at : at + 2], 16) * share)
        for at in (1, 3, 5)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)
