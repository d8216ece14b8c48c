"""A comparison in plain words: one sentence that is true whatever came out, then the findings.

What may be said about a method depends on two verdicts: against the baseline, and against each of
its controls. `CLAUSES` is the table of all cases. A difference that is not resolved is never
turned into "no effect", and a method that beat the baseline is not credited with its idea unless
it also beat the control that lacks the idea.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal

from gradatim.law.comparison import (
    HIGHER_IS_BETTER,
    UNITS,
    Arm,
    Comparison,
    ComputeRatio,
    ControlKind,
    Difference,
    Verdict,
)

Relation = Literal["beaten", "alike", "superior", "open"]

IDEAS: dict[ControlKind, str] = {
    "shuffled": "the order of difficulty",
    "reversed": "the direction of the order",
}

# (method against baseline, its control against it) -> clause. `alike`: the control differs from the
# baseline in the same direction and not from the method; `open`: nothing resolves the two.
CLAUSES: dict[tuple[Verdict, Relation], str] = {
    ("better", "beaten"): "its {control} control did worse, by {gap}, so {idea} has a part in it",
    ("better", "alike"): "its {control} control did as well, so there is no sign that {idea} is "
    "the cause",
    ("better", "superior"): "its {control} control did even better, by {gap}, so {idea} is not the "
    "cause",
    ("better", "open"): "no difference from its {control} control is resolved, so whether {idea} "
    "is the cause stays open",
    ("worse", "beaten"): "its {control} control did even worse, by {gap}, so {idea} is not what "
    "hurt",
    ("worse", "alike"): "its {control} control did as badly, so there is no sign that {idea} is "
    "the cause",
    ("worse", "superior"): "its {control} control did better than it, by {gap}, so {idea} has a "
    "part in the harm",
    ("worse", "open"): "no difference from its {control} control is resolved, so whether {idea} is "
    "the cause stays open",
    ("not resolved", "beaten"): "it did better than its {control} control, by {gap}, so {idea} "
    "matters, but was not shown to pay",
    ("not resolved", "superior"): "it did worse than its {control} control, by {gap}, so {idea} "
    "matters, and cost something",
    ("not resolved", "open"): "nor is that from its {control} control",
}


def headline(comparison: Comparison) -> str:
    """The answer in one sentence: the method with the most to say, and how many others there were.

    The first method is the best of those resolved as better; where there is none, the worst of
    those resolved as worse; where there is none, the one that came out lowest.
    """
    methods = [m for m in comparison.methods() if comparison.difference(m, comparison.baseline)]
    if not methods:
        return f"There is nothing to compare: only `{comparison.baseline}` was run."
    first, *others = sorted(methods, key=lambda method: _priority(comparison, method))
    sentence = method_sentence(comparison, first)
    if others:
        listed = ", ".join(f"`{method}` {_verdict(comparison, method)}" for method in others)
        sentence += f" Other methods against `{comparison.baseline}`: {listed}."
    return sentence


def _priority(comparison: Comparison, method: str) -> tuple[int, float]:
    found = comparison.difference(method, comparison.baseline)
    assert found is not None
    if found.overall is None:
        return 4, 0.0
    sign = -1.0 if comparison.measure in HIGHER_IS_BETTER else 1.0
    rank = ("better", "worse", "not resolved", "cannot be judged").index(found.verdict)
    gain = sign * found.overall.mean
    return rank, (-gain) if found.verdict == "worse" else gain


def _verdict(comparison: Comparison, arm: str) -> str:
    found = comparison.difference(arm, comparison.baseline)
    return found.verdict if found else "not compared"


def method_sentence(comparison: Comparison, method: str) -> str:
    """What the study says of one method: effect, compute, and what its controls allow to say."""
    found = comparison.difference(method, comparison.baseline)
    assert found is not None, method
    clauses = [effect_clause(found, comparison.ratio(method, comparison.baseline))]
    if against := [
        r.rung for r in found.rungs if {r.verdict, found.verdict} == {"better", "worse"}
    ]:
        clauses.append(f"at {listing(against)} it was the other way round")
    if found.verdict != "cannot be judged":
        controls = comparison.controls(method)
        clauses += [control_clause(comparison, found, control) for control in controls]
        if not controls and found.verdict != "not resolved":
            clauses.append("it was run without controls, so its cause is open")
    return "; ".join(clauses) + "."


def effect_clause(difference: Difference, ratio: ComputeRatio | None) -> str:
    """The difference from the reference, and the compute ratio where both are resolved."""
    arm, reference = f"`{difference.arm}`", f"`{difference.reference}`"
    overall, what = difference.overall, _what(difference)
    if overall is None:
        return f"{arm} cannot be judged: it shares no seed with {reference}"
    decimals = decimals_of(difference)
    if difference.verdict == "cannot be judged":
        return (
            f"Whether {arm} differs from {reference} cannot be judged: one seed (difference "
            f"{_signed(overall.mean, decimals)} {what})"
        )
    assert overall.low is not None
    assert overall.high is not None
    assert difference.smallest_detectable is not None
    if difference.verdict == "not resolved":
        low, high = _signed(overall.low, decimals), _signed(overall.high, decimals)
        smallest = difference.smallest_detectable
        corrected = overall.excludes_zero and abs(overall.mean) >= smallest
        reason = (
            "which several methods together produce by chance more often than 1 time in 20"
            if corrected
            else f"the study could not have told less than {smallest:.{decimals}f} from noise"
        )
        return (
            f"At equal compute, the difference between {arm} and {reference} is not resolved: "
            f"{_signed(overall.mean, decimals)} {what} (95 % interval {low} to {high}; {reason})"
        )
    way = "higher" if overall.mean > 0 else "lower"
    size, interval = _gap(difference)
    clause = f"At equal compute, {arm} ended {size} {way} than {reference} {interval}"
    if ratio is None or ratio.verdict != difference.verdict:
        return clause
    assert ratio.low is not None
    assert ratio.high is not None
    interval = f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f})"
    same = UNITS[difference.measure] if difference.measure in HIGHER_IS_BETTER else "loss"
    return f"{clause} and needed {ratio.ratio:.2f} times the compute for the same {same} {interval}"


def control_clause(comparison: Comparison, found: Difference, control: Arm) -> str:
    """What one control allows to say about the cause of a method's effect."""
    assert control.control is not None
    gap = comparison.difference(found.arm, control.name)
    if gap is None or gap.overall is None or gap.verdict == "cannot be judged":
        return f"its {control.control} control cannot be judged"
    relation = control_relation(gap, found, comparison.difference(control.name, found.reference))
    return CLAUSES[found.verdict, relation].format(
        control=control.control, idea=IDEAS[control.control], gap=" ".join(_gap(gap))
    )


def control_relation(gap: Difference, method: Difference, control: Difference | None) -> Relation:
    """How a control stands to its method.

    Args:
        gap: method minus control.
        method: method minus baseline.
        control: control minus baseline.
    """
    if gap.verdict == "better":
        return "beaten"
    if gap.verdict == "worse":
        return "superior"
    if control is not None and control.verdict == method.verdict != "not resolved":
        return "alike"
    return "open"


def findings(comparison: Comparison) -> Iterator[str]:
    """Everything else worth a sentence: rungs, slices, controls, noise, blocks, what is missing."""
    yield from _noise_finding(comparison)
    for method in comparison.methods():
        if comparison.difference(method, comparison.baseline):
            sentence = method_sentence(comparison, method)
            if sentence != comparison.headline:
                yield sentence
            yield from _rung_findings(comparison, method)
            yield from _slice_findings(comparison, method)
    for arm in comparison.arms:
        found = comparison.difference(arm.name, comparison.baseline)
        if arm.method is not None and found is not None:
            yield effect_clause(found, comparison.ratio(arm.name, comparison.baseline)) + "."
    yield from block_sentences(comparison)
    if comparison.missing:
        yield f"Missing: {'; '.join(comparison.missing)}."
    for clause in comparison.conditions:
        yield f"{clause}."


def _noise_finding(comparison: Comparison) -> Iterator[str]:
    noise = comparison.noise_of(comparison.measure, comparison.name)
    if noise is None or noise.sd is None or noise.smallest_detectable is None:
        yield (
            f"`{comparison.baseline}` was run with one seed, so nothing is known about noise: run "
            "at least two seeds, three for a claim."
        )
        return
    unit = UNITS.get(comparison.measure, comparison.measure)
    yield (
        f"The replicated `{comparison.baseline}` scatters between seeds by {noise.sd:.2g} {unit} "
        f"(standard deviation, {_counted(noise.degrees_of_freedom, 'degree')} of freedom); over "
        f"all rungs a difference below {noise.smallest_detectable:.2g} is called not resolved."
    )


def _rung_findings(comparison: Comparison, method: str) -> Iterator[str]:
    found = comparison.difference(method, comparison.baseline)
    assert found is not None
    if len(found.rungs) > 1:
        decimals = decimals_of(found)
        listed = ", ".join(
            f"{r.rung} {_signed(r.estimate.mean, decimals)} ({r.verdict})" for r in found.rungs
        )
        yield f"`{method}` minus `{comparison.baseline}` by rung: {listed}."


def _slice_findings(comparison: Comparison, method: str) -> Iterator[str]:
    """Which bands, levels, sources and tasks got better or worse; intervals are uncorrected."""
    slices = [
        d
        for d in comparison.differences
        if (d.arm, d.reference) == (method, comparison.baseline)
        and (d.measure, d.name) != (comparison.measure, comparison.name)
    ]
    for measure in dict.fromkeys(d.measure for d in slices):
        for verdict in ("better", "worse"):
            names = [d.name for d in slices if (d.measure, d.verdict) == (measure, verdict)]
            if names:
                yield (
                    f"`{method}` is {verdict} than `{comparison.baseline}` in "
                    f"{UNITS.get(measure, measure)} on {listing(names)} (each by its own interval, "
                    f"of {sum(d.measure == measure for d in slices)} looked at)."
                )


def block_sentences(comparison: Comparison) -> list[str]:
    """Which arms saw the same blocks, wherever they were run with the same rung and seed."""
    places = comparison.same_blocks
    if not places or len(comparison.arms) < 2:
        return []
    found: list[set[str]] = []
    groups = dict.fromkeys(group for place in places for group in place.groups)
    for names in sorted(groups, key=len, reverse=True):
        arms = set(names)
        is_always = all(
            any(arms & set(chain(*place.groups)) <= set(group) for group in place.groups)
            for place in places
        )
        if len(arms) > 1 and is_always and not any(arms <= larger for larger in found):
            found.append(arms)
    if not found:
        return ["The arms saw different multisets of blocks, not only different orders."]
    named = [[f"`{arm.name}`" for arm in comparison.arms if arm.name in arms] for arms in found]
    return [
        f"{listing(names)} saw the same multiset of blocks at every rung and seed (equal hashes), "
        "and differ in their order alone."
        for names in named
    ]


def _what(difference: Difference) -> str:
    unit = UNITS.get(difference.measure, difference.measure)
    return unit if difference.name == "all" else f"{unit} on {difference.name}"


def decimals_of(difference: Difference) -> int:
    """Three, or four where the interval is finer than that."""
    overall = difference.overall
    if overall is None or overall.low is None or overall.high is None:
        return 3
    return 4 if (overall.high - overall.low) / 2 < 0.0025 else 3


def _gap(difference: Difference) -> tuple[str, str]:
    """Size of a resolved difference, and its interval, without sign."""
    overall, decimals = difference.overall, decimals_of(difference)
    assert overall is not None
    assert overall.low is not None
    assert overall.high is not None
    nearest, farthest = sorted((abs(overall.low), abs(overall.high)))
    return (
        f"{abs(overall.mean):.{decimals}f} {_what(difference)}",
        f"(95 % interval {nearest:.{decimals}f} to {farthest:.{decimals}f})",
    )


def _signed(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"−{text}" if value < 0 else f"+{text}"


def listing(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
