"""Numbers as a reader wants them: as many digits as their uncertainty deserves, units spelled.

Everything here is a pure function from a number to a short string. A missing or non-finite number
is an en dash, never `nan`; minus signs are real minus signs, so that columns line up.
"""

from __future__ import annotations

import math

MISSING = "–"
_MINUS = "\u2212"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def decimals_for(uncertainty: float | None, *, default: int = 3, most: int = 5) -> int:
    """Decimals that show an uncertainty with two digits: 0.012 → 3, 0.0034 → 4."""
    if uncertainty is None or not math.isfinite(uncertainty) or uncertainty <= 0:
        return default
    return min(most, max(0, 1 - math.floor(math.log10(uncertainty))))


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


def scientific(value: float | None, digits: int = 2) -> str:
    """Large counts and FLOPs: 2.4 × 10¹²; plain below ten thousand."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 10_000:
        return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa.replace('-', _MINUS)} × 10{power}"


def flops(value: float | None) -> str:
    """Compute with the prefix the plots use, to go before "FLOP": `2.43 T`, `812 G`."""
    if value is None or not math.isfinite(value):
        return MISSING
    for limit, unit in (
        (1e24, "Y"),
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
    ):
        if abs(value) >= limit:
            return f"{value / limit:.3g}\u202f{unit}"
    return f"{value / 1e6:.3g}\u202fM"


def count(value: float | None) -> str:
    """A count with its magnitude: 812, 20.5k, 1.02M, 3.1B."""
    if value is None or not math.isfinite(value):
        return MISSING
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.0f}"


def data_size(num_bytes: float | None) -> str:
    """Bytes with their magnitude, in thousands: 812 B, 20.5 kB, 4.1 MB."""
    if num_bytes is None or not math.isfinite(num_bytes):
        return MISSING
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(num_bytes) >= 0.9995 * limit:
            return f"{num_bytes / limit:.3g}\u202f{unit}"
    return f"{num_bytes:.0f}\u202fB"


def percent(fraction: float | None, decimals: int = 0) -> str:
    """A share of one as percent, with a narrow no-break space before the sign."""
    text = number(None if fraction is None else 100 * fraction, decimals)
    return text if text == MISSING else f"{text}\u202f%"


def small_percent(fraction: float | None) -> str:
    """A deviation as percent with two significant digits: 0.0031 %, 1.2 %."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    if fraction == 0:
        return "0\u202f%"
    return f"{scientific(100 * abs(fraction))}\u202f%"


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


def listing(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])
