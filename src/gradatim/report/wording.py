"""Numbers as a reader wants them: as many digits as their uncertainty deserves, units spelled.

Everything here is a pure function from a number to a short string. A missing or non-finite number
is an en dash, never `nan`; minus signs are real minus signs, so that columns line up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = "–"
_MINUS = "\u2212"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | None, decimals: int = 3) -> str:
    """A plain decimal number."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    return _MINUS + text[1:] if text.startswith("-") and float(text) != 0 else text.lstrip("-")


def signed(value: float | None, decimals: int = 3) -> str:
    """A difference: the sign is always shown, except of a zero."""
    text = number(value, decimals)
    if text == MISSING or text.startswith(_MINUS) or float(text) == 0:
        return text
    return f"+{text}"


def interval(
    low: float | None, high: float | None, decimals: int = 3, *, sign: bool = False
) -> str:
    """`[low, high]`; an en dash when either end is unknown, infinite ends as ∞."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return MISSING

    def end(value: float) -> str:
        if math.isinf(value):
            return "∞" if value > 0 else _MINUS + "∞"
        return signed(value, decimals) if sign else number(value, decimals)

    return f"[{end(low)}, {end(high)}]"


def flops(value: float | None) -> str:
    """Compute with the prefix the plots use, to go before "FLOP": `2.43 T`, `812 G`."""
    return _magnitude(value, ["M", "G", "T", "P", "E", "Z", "Y"], least=1e6, space="\u202f")


def count(value: float | None) -> str:
    """A count with its magnitude: 812, 20.5k, 1.02M, 3.1B."""
    return _magnitude(value, ["", "k", "M", "B", "T"])


def data_size(num_bytes: float | None) -> str:
    """Bytes with their magnitude, in thousands: 812 B, 20.5 kB, 4.1 MB."""
    return _magnitude(num_bytes, ["B", "kB", "MB", "GB", "TB"], space="\u202f")


def _magnitude(
    value: float | None, units: Sequence[str], *, least: float = 1, space: str = ""
) -> str:
    """Three digits and a unit; the first is worth `least`, every other a thousand of the last."""
    if value is None or not math.isfinite(value):
        return MISSING
    place = len(units) - 1
    while place > 0 and abs(value) < 0.9995 * least * 1000**place:
        place -= 1
    return f"{value / (least * 1000**place):.3g}{space}{units[place]}"


def percent(fraction: float | None, decimals: int = 0) -> str:
    """A share of one as percent, with a narrow no-break space before the sign."""
    text = number(None if fraction is None else 100 * fraction, decimals)
    return text if text == MISSING else f"{text}\u202f%"


def small_percent(fraction: float) -> str:
    """A deviation as percent with two significant digits: 1.2 %, 0.034 %, 3.1 × 10⁻³ %."""
    value = 100 * abs(fraction)
    if value == 0:
        return percent(0)
    if value >= 0.01:
        return percent(value / 100, max(0, 1 - math.floor(math.log10(value))))
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}\u202f%"


def duration(seconds: float | None) -> str:
    """Wall-clock time: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
