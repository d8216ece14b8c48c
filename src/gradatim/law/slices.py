"""Where a difference lies, in sentences: what got worse and better, and what was read last.

A network is best at what it read last: a curriculum may move its skill about more than add to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scipy import stats

from gradatim.law.comparison import HIGHER_IS_BETTER, UNITS, Comparison, Difference, Sentence
from gradatim.law.phrases import (
    decimals_of,
    interval_of,
    listing,
    names_of,
    percent_of,
    signed,
    size_of,
)
from gradatim.law.sentences import say

SLICE_KINDS = ("level", "source", "band")
"""Of slices of held-out text, those of the coarsest kind first."""

_RECENCY = 0.7  # rank correlation from which gain is said to follow what was read last
_MOVED = 0.02  # shares that differ by less are not worth a sentence


def where_it_lies(comparison: Comparison, found: Difference) -> Iterator[Sentence]:
    """Harm beside gain, what was read last, and the mean that counts every part once."""
    kind, parts = _parts(comparison, found.arm)
    resolved = [d for d in parts if d.verdict in ("better", "worse") and d.overall]
    resolved.sort(key=lambda d: -abs(d.overall.mean if d.overall else 0.0))
    harms, gains = ([d for d in resolved if d.verdict == v] for v in ("worse", "better"))
    key = "harm_and_gain" if harms and gains else "harm" if harms else "gain"
    if resolved:
        count = sum(len(comparison.slices(found.arm, each)) for each in (*SLICE_KINDS, "split"))
        told = {"harms": _told(harms), "gains": _told(gains)}
        yield say(key, **told, count=count)
    yield from _recency(comparison, found.arm, kind, [d for d in parts if _kind(d) == kind])
    for balanced in comparison.slices(found.arm, "balanced"):
        if balanced.overall is not None and balanced.overall.low is not None:
            yield say(
                "balanced",
                kinds=f"{balanced.name.partition('/')[2]}s",
                difference=signed(balanced.overall.mean, decimals_of(balanced)),
                interval=interval_of(balanced),
            )


def _kind(difference: Difference) -> str:
    return difference.name.partition("/")[0]


def _parts(comparison: Comparison, arm: str) -> tuple[str, list[Difference]]:
    """The slices of the coarsest kind there is, with text from elsewhere."""
    for kind in SLICE_KINDS:
        if found := comparison.slices(arm, kind):
            return kind, [*found, *comparison.slices(arm, "split")]
    return "part", comparison.slices(arm, "split")


def _told(differences: Sequence[Difference]) -> str:
    """The largest two, and how many more."""
    more = len(differences) - 2
    named = [f"{_slice(d.name)} by {size_of(d)}" for d in differences[:2]]
    return listing([*named, *([f"{more} more"] if more > 0 else [])])


def _slice(name: str) -> str:
    kind, _, rest = name.partition("/")
    return f"{rest.replace('_', '-')} text" if kind == "split" else f"{kind} {rest}"


def _recency(
    comparison: Comparison, arm: str, kind: str, parts: Sequence[Difference]
) -> Iterator[Sentence]:
    """What was read last, beside what was gained."""
    rows = [
        (d, mine, theirs)
        for d in parts
        if d.overall is not None
        and (mine := comparison.read_last(arm, d.name)) is not None
        and (theirs := comparison.read_last(comparison.baseline, d.name)) is not None
    ]
    moved = [row for row in rows if abs(row[1] - row[2]) >= _MOVED]
    if not moved:
        return
    ends = sorted(moved, key=lambda row: row[1] - row[2])
    shown = [ends[-1], *([ends[0]] if len(ends) > 1 else [])]
    shares = [
        f"{percent_of(mine)} of {_slice(d.name)} (`{comparison.baseline}` {percent_of(theirs)})"
        for d, mine, theirs in shown
    ]
    yield say("fed", arm=arm, shares=listing(shares))
    sign = 1.0 if comparison.measure in HIGHER_IS_BETTER else -1.0
    gains = [sign * d.overall.mean for d, _, _ in rows if d.overall]
    correlation = _rank_correlation(gains, [mine - theirs for _, mine, theirs in rows])
    if len(rows) > 3 and correlation >= _RECENCY:
        yield say("recency", kinds=f"{kind}s", correlation=f"{correlation:.2f}")


def _rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's, ties sharing their mean rank; 0 where one side is all alike."""
    ranks = [stats.rankdata(values) - (len(values) + 1) / 2 for values in (left, right)]
    squares = [float(each @ each) for each in ranks]
    return float(ranks[0] @ ranks[1]) / math.sqrt(math.prod(squares)) if all(squares) else 0.0


def slice_findings(comparison: Comparison, method: str) -> Iterator[Sentence]:
    """Which bands, levels, sources and tasks got better or worse."""
    slices = [
        d
        for d in comparison.differences
        if (d.arm, d.reference) == (method, comparison.baseline)
        and (d.measure, d.name) != (comparison.measure, comparison.name)
        and d.adjusted_p_value is not None
    ]
    for measure in dict.fromkeys(d.measure for d in slices):
        family = [d for d in slices if d.measure == measure]
        for verdict in ("better", "worse"):
            if names := [d.name for d in family if d.verdict == verdict]:
                yield say(
                    "slices",
                    **names_of(family[0]),
                    verdict=verdict,
                    unit=UNITS.get(measure, measure),
                    listed=listing(names),
                    count=len(family),
                )
