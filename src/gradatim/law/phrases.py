"""Numbers of a comparison with the digits that their uncertainty deserves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradatim.law.comparison import UNITS, Difference
from gradatim.law.interval import Estimate


def what_of(difference: Difference) -> str:
    unit = UNITS.get(difference.measure, difference.measure)
    return unit if difference.name == "all" else f"{unit} on {difference.name}"


def seeds_of(found: Difference) -> str:
    counts = sorted({len(rung.seeds) for rung in found.rungs})
    return (
        "1 seed"
        if counts == [1]
        else f"{' to '.join(map(str, counts[:: len(counts) - 1 or 1]))} seeds"
    )


def rungs_of(found: Difference) -> str:
    names = [rung.rung for rung in found.rungs]
    return f"rung{'s' if len(names) > 1 else ''} {listing(names)}"


def decimals_of(difference: Difference) -> int:
    """Three; more where the interval is finer than that, or ends closer to zero."""
    overall = difference.overall
    return 3 if overall is None else decimals_for(overall)


def decimals_for(found: Estimate) -> int:
    """Decimals with which an interval is told apart from zero, 3 to 5."""
    if found.low is None or found.high is None:
        return 3
    nearest = min(abs(found.low), abs(found.high))
    decimals = 4 if (found.high - found.low) / 2 < 0.0025 else 3
    return min(5, max(decimals, -math.floor(math.log10(nearest)) if nearest > 0 else 3))


def gap_of(difference: Difference) -> str:
    """The size of a difference, without sign, with its unit."""
    return f"{size_of(difference)} {what_of(difference)}"


def size_of(difference: Difference) -> str:
    """The size of a difference, without sign or unit."""
    assert difference.overall is not None
    return f"{abs(difference.overall.mean):.{decimals_of(difference)}f}"


def interval_of(difference: Difference) -> str:
    """`95 % interval −0.004 to +0.012`."""
    low, high = _ends(difference)
    decimals = decimals_of(difference)
    return f"95 % interval {signed(low, decimals)} to {signed(high, decimals)}"


def range_of(difference: Difference) -> str:
    """The interval of a resolved difference, without sign where zero is outside of it."""
    decimals = decimals_of(difference)
    nearest, farthest = sorted(map(abs, _ends(difference)))
    return f"95 % interval {nearest:.{decimals}f} to {farthest:.{decimals}f}"


def _ends(difference: Difference) -> tuple[float, float]:
    overall = difference.overall
    assert overall is not None
    assert overall.low is not None
    assert overall.high is not None
    return overall.low, overall.high


def significant(value: float) -> str:
    """Two significant digits, noughts kept: 0.010."""
    decimals = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{decimals}f}"


def signed(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"−{text}" if value < 0 else f"+{text}"


def listing(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def names_of(found: Difference) -> dict[str, str]:
    """What the sentences call the two arms of a difference."""
    return {"arm": found.arm, "reference": found.reference}


def percent_of(share: float) -> str:
    """A share as `17 %`."""
    return f"{100 * share:.0f} %"
