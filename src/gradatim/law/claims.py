"""Many claims in one report, and 5 % as the chance that any of them is false.

The level is shared among the methods, under every schedule that they were run under; what a method
has not used, because its difference from the baseline is resolved, goes on to what is said of its
cause: its own controls, and how its difference changes with the schedule; and from those to the
other methods. So a claim about the cause of an effect is made only where there is an effect, and
one method alone keeps the whole level. Source: F. Bretz, W. Maurer, W. Brannath, M. Posch, A
graphical approach to sequentially rejective multiple test procedures, Statistics in Medicine 28,
2009.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradatim.law.comparison import HIGHER_IS_BETTER, Arm, Difference, Verdict
from gradatim.law.interval import LEVEL, Estimate
from gradatim.law.results import BALANCED, Measured

Claim = tuple[str, ...]  # arm, reference, and where there are several the schedule or two of them
Weights = dict[Claim, float]


def adjusted_p_values(
    p_values: Mapping[Claim, float], causes: Mapping[Claim, Sequence[Claim]]
) -> dict[Claim, float]:
    """The p-value of every claim, corrected for all that were looked at.

    It is 1 for a claim about a cause when nothing is known of the effect. A cause may belong to
    two effects, such as how a difference changes from one schedule to another.

    Args:
        p_values: of all claims.
        causes: of every method against the baseline, the claims about the cause of its difference.
    """
    own = {
        method: [cause for cause in causes[method] if cause in p_values]
        for method in causes
        if method in p_values
    }
    all_causes = dict.fromkeys(cause for mine in own.values() for cause in mine)
    weights: Weights = {method: 1 / len(own) for method in own}
    weights |= dict.fromkeys(all_causes, 0.0)
    heirs: dict[Claim, Weights] = {}
    for method, mine in own.items():
        heirs[method] = _shared(mine or [other for other in own if other != method])
    for cause in all_causes:
        of = [method for method in own if cause in own[method]]
        siblings = dict.fromkeys(each for method in of for each in own[method] if each != cause)
        others = [method for method in own if method not in of]
        parts = [part for part in (list(siblings), others) if part]
        heirs[cause] = {
            heir: weight / len(parts) for part in parts for heir, weight in _shared(part).items()
        }
    return dict.fromkeys(p_values, 1.0) | _rejected_in_turn(p_values, weights, heirs)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values: the family is wrong anywhere with at most the level.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    adjusted, running = {}, 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for position, name in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - position) * p_values[name]))
        adjusted[name] = running
    return adjusted


def _shared(claims: Sequence[Claim]) -> Weights:
    return {claim: 1 / len(claims) for claim in claims}


def _rejected_in_turn(
    p_values: Mapping[Claim, float], weights: Weights, heirs: dict[Claim, Weights]
) -> dict[Claim, float]:
    adjusted = dict.fromkeys(weights, 1.0)
    running = 0.0
    while open_claims := {claim: weight for claim, weight in weights.items() if weight > 0}:
        claim = min(open_claims, key=lambda each: p_values[each] / weights[each])
        running = max(running, min(1.0, p_values[claim] / weights[claim]))
        adjusted[claim] = running
        weight, inherits = weights.pop(claim), heirs.pop(claim)
        for other in weights:
            weights[other] += weight * inherits.get(other, 0.0)
        heirs = {other: _rewired(heirs, claim, inherits, other) for other in heirs}
    return adjusted


def _rewired(
    heirs: Mapping[Claim, Weights], gone: Claim, inherits: Weights, claim: Claim
) -> Weights:
    """What a claim hands on once another is gone: that one's share goes to its own heirs."""
    mine = heirs[claim]
    to_gone = mine.get(gone, 0.0)
    left = 1 - to_gone * inherits.get(claim, 0.0)
    if left <= 1e-12:
        return {}
    return {
        other: (mine.get(other, 0.0) + to_gone * inherits.get(other, 0.0)) / left
        for other in heirs
        if other != claim
    }


def verdict(found: Estimate | None, p_value: float | None, measured: Measured) -> Verdict:
    """What a difference may be called by this p-value."""
    if found is None or p_value is None:
        return "cannot be judged"
    if p_value > LEVEL:
        return "not resolved"
    is_better = (found.mean > 0) == (measured[0] in HIGHER_IS_BETTER)
    return "better" if is_better else "worse"


def causes_of(arms: Sequence[Arm], baseline: str, schedule: str | None) -> dict[Claim, list[Claim]]:
    """Every method against the baseline, with the claims about it and its controls."""
    place = (schedule,) if schedule else ()
    return {
        (method.name, baseline, *place): [
            (method.name, arm.name, *place) for arm in arms if arm.method == method.name
        ]
        for method in arms
        if method.name != baseline and method.control is None
    }


def p_values_of(
    differences: Sequence[Difference], main: Measured, schedule: str | None
) -> dict[Claim, float]:
    """Uncorrected p-values of the measured value of the headline."""
    place = (schedule,) if schedule else ()
    return {
        (d.arm, d.reference, *place): d.overall.p_value
        for d in differences
        if (d.measure, d.name) == main and d.overall is not None and d.overall.p_value is not None
    }


def corrected(
    differences: Sequence[Difference],
    adjusted: Mapping[Claim, float],
    arms: Sequence[Arm],
    baseline: str,
    main: Measured,
    schedule: str | None,
) -> Iterator[Difference]:
    """Differences with p-values corrected for what stands beside them, and verdicts by those.

    Args:
        adjusted: of the claims (`adjusted_p_values`).
        main: the measured value of the headline, whose claims are corrected together.
        schedule: that the differences were found under.
    """
    place = (schedule,) if schedule else ()
    found: dict[tuple[str, ...], float] = {
        (d.arm, d.reference, *main): adjusted[claim]
        for d in differences
        if (claim := (d.arm, d.reference, *place)) in adjusted
    }
    known = {
        (d.arm, d.reference, d.measure, d.name): d.overall.p_value
        for d in differences
        if d.overall is not None and d.overall.p_value is not None
    }
    for arm in arms:
        for measure in dict.fromkeys(measure for _, _, measure, _ in known):
            family = {
                key[3]: p
                for key, p in known.items()
                if key[:3] == (arm.name, baseline, measure) and _is_part(key[2:], main)
            }
            found |= {(arm.name, baseline, measure, n): p for n, p in holm(family).items()}
    for d in differences:
        p_value = found.get((d.arm, d.reference, d.measure, d.name))
        if p_value is None:
            yield d
        else:
            update = verdict(d.overall, p_value, (d.measure, d.name))
            yield d.model_copy(update={"adjusted_p_value": p_value, "verdict": update})


def _is_part(measured: Measured, main: Measured) -> bool:
    """Whether this is a slice or a task, not a mean over all of them."""
    return measured != main and measured[1] != "all" and not measured[1].startswith(BALANCED)
