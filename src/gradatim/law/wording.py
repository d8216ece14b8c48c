"""A comparison in plain words: the answer, then the findings.

Every sentence is a row of `sentences.SENTENCES`, filled with numbers. Rows that claim something
are said only of p-values corrected for all such claims; the others tell what was measured. A
difference that is not resolved is never turned into "no effect", and a method that is better is
not credited with its idea unless it is also better than the control that lacks the idea.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

from gradatim.law.comparison import (
    HIGHER_IS_BETTER,
    UNITS,
    Arm,
    Comparison,
    ComputeRatio,
    ControlKind,
    Difference,
    Sentence,
    Verdict,
)
from gradatim.law.phrases import (
    decimals_of,
    gap_of,
    interval_of,
    listing,
    names_of,
    percent_of,
    range_of,
    rungs_of,
    seeds_of,
    signed,
    significant,
    what_of,
)
from gradatim.law.power import effect_seen
from gradatim.law.sentences import say
from gradatim.law.slices import slice_findings, where_it_lies

IDEAS: dict[ControlKind, str] = {
    "shuffled": "the order of difficulty",
    "reversed": "the direction of the order",
    "pass_through": "the direction of the order",
    "random": "the choice of the blocks",
    "easiest": "the choice of the blocks",
    "middle": "the choice of the blocks",
    "epochs": "the dropping of blocks",
    "fixed": "the widening of the intervals",
    "static": "the change of the weights",
}
OTHER_IDEA = "the idea of the method"

_BARELY = 0.005  # adjusted p-values from here to the level are called only just resolved
_MANY_TEXT = 1 / 3  # share of the standard error from which the held-out text is too small


def answer(comparison: Comparison) -> Iterator[Sentence]:
    """The method with the most to say, and how many others there were.

    It is the best of those resolved as better; where there is none, the worst of those resolved as
    worse; where there is none, the one that came out lowest.
    """
    methods = [m for m in comparison.methods() if comparison.difference(m, comparison.baseline)]
    if not methods:
        yield say("nothing", baseline=comparison.baseline)
        return
    first, *others = sorted(methods, key=lambda method: _priority(comparison, method))
    yield from about_method(comparison, first)
    if others:
        listed = ", ".join(f"`{method}` {_verdict(comparison, method)}" for method in others)
        yield say("others", baseline=comparison.baseline, listed=listed)


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


def about_method(comparison: Comparison, method: str) -> Iterator[Sentence]:
    """What the study says of one method: effect, cost, where, and what its controls allow."""
    found = comparison.difference(method, comparison.baseline)
    assert found is not None, method
    yield effect(comparison, found)
    if found.verdict == "cannot be judged":
        return
    assert found.adjusted_p_value is not None
    is_resolved = found.verdict != "not resolved"
    if is_resolved and found.adjusted_p_value > _BARELY:
        yield say("barely")
    opposite: Verdict = "worse" if found.verdict == "better" else "better"
    against = [r.rung for r in found.rungs if r.verdict == opposite]
    if is_resolved and against:
        yield say("opposite", rungs=listing(against))
    if (comparison.measure, comparison.name) == ("bits_per_byte", "all"):
        yield from where_it_lies(comparison, found)
    if is_resolved:
        yield from _causes(comparison, found)


def _causes(comparison: Comparison, found: Difference) -> Iterator[Sentence]:
    """What a resolved difference is worth in compute, and what it may come of."""
    if ratio := comparison.ratio(found.arm, comparison.baseline):
        yield from _ratio(comparison, ratio)
    controls = comparison.controls(found.arm)
    for control in controls:
        yield control_sentence(comparison, found, control)
    if not controls:
        yield say("no_controls")


def effect(comparison: Comparison, found: Difference) -> Sentence:
    """The difference of a method from the baseline, resolved or not, and why not."""
    names = names_of(found)
    overall = found.overall
    if overall is None:
        return say("unpaired", **names)
    difference = f"{signed(overall.mean, decimals_of(found))} {what_of(found)}"
    if found.verdict == "cannot be judged":
        is_replicated = any(len(rung.seeds) > 1 for rung in found.rungs)
        return say("same_seeds" if is_replicated else "one_seed", **names, difference=difference)
    if found.verdict == "not resolved":
        assert overall.standard_error is not None
        reason = "which includes zero"
        if overall.excludes_zero:
            count = f"{len(comparison.methods())} methods"
            if comparison.num_schedules > 1:
                count += f" under {comparison.num_schedules} schedules"
            reason = f"which excludes zero, but no longer when corrected for {count}"
        return say(
            "unresolved",
            **names,
            seeds=seeds_of(found),
            rungs=rungs_of(found),
            difference=difference,
            interval=interval_of(found),
            reason=reason,
            effect=significant(
                effect_seen(
                    overall.standard_error,
                    overall.degrees_of_freedom,
                    num_methods=comparison.num_sharing,
                )
            ),
        )
    over = rungs_of(found)
    if len(found.rungs) > 1:
        over = f"as the mean over {rungs_of(found)}"
        if not any(rung.verdict in ("better", "worse") for rung in found.rungs):
            over += ", at none of which it is resolved alone"
    else:
        over = f"at {over}"
    way = "higher" if overall.mean > 0 else "lower"
    return say("resolved", **names, gap=gap_of(found), way=way, interval=range_of(found), over=over)


def _ratio(comparison: Comparison, ratio: ComputeRatio) -> Iterator[Sentence]:
    if ratio.low is None and ratio.high is None:
        return
    if ratio.low is None:
        ends = f"below {ratio.high:.2f}"
    elif ratio.high is None:
        ends = f"above {ratio.low:.2f}"
    else:
        ends = f"{ratio.low:.2f} to {ratio.high:.2f}"
    least, most = ratio.reach
    beyond = f"less than {least:.2f}" if ratio.high is not None else f"more than {most:.2f}"
    yield say(
        "ratio",
        loss=UNITS[comparison.measure] if comparison.measure in HIGHER_IS_BETTER else "loss",
        ratio=beyond if ratio.ratio is None else f"{ratio.ratio:.2f}",
        reference=ratio.reference,
        interval=f"95 % interval {ends}",
        multiples=listing([f"{multiple:g}" for multiple in ratio.multiples]),
    )


def control_sentence(comparison: Comparison, found: Difference, control: Arm) -> Sentence:
    """What one control allows to say about the cause of a method's resolved effect."""
    assert control.control is not None
    gap = comparison.difference(found.arm, control.name)
    name = f"{control.control.replace('_', '-')} control"
    if gap is None or gap.overall is None or gap.verdict == "cannot be judged":
        return say("control_unjudged", control=name)
    if {rung.rung for rung in gap.rungs} != {rung.rung for rung in found.rungs}:
        name += f" (compared at {rungs_of(gap)} alone)"
    facts = {"control": name, "idea": IDEAS.get(control.control, OTHER_IDEA)}
    if gap.verdict == "not resolved":
        difference = signed(gap.overall.mean, decimals_of(gap))
        return say("open", **facts, difference=difference, interval=interval_of(gap))
    relation = "beaten" if gap.verdict == "better" else "superior"
    return say(f"{found.verdict}_{relation}", **facts, gap=gap_of(gap), interval=range_of(gap))


def findings(comparison: Comparison) -> Iterator[Sentence]:
    """Everything else worth a sentence: noise, rungs, slices, controls, blocks, what is missing."""
    yield from _noise(comparison)
    said = {sentence.text for sentence in comparison.answer}
    for method in comparison.methods():
        found = comparison.difference(method, comparison.baseline)
        if found is None:
            continue
        sentences = (s for s in about_method(comparison, method) if s.text not in said)
        yield from (_named(sentence, method) for sentence in sentences)
        yield from _text_share(found)
        yield from _by_rung(found)
        yield from slice_findings(comparison, method)
    for arm in comparison.arms:
        if arm.method is not None:
            for pair in ((arm.name, comparison.baseline), (arm.method, arm.name)):
                yield from _described(comparison.difference(*pair))
    yield from block_sentences(comparison)
    if comparison.missing:
        yield say("missing", clauses="; ".join(comparison.missing))
    for clause in comparison.conditions:
        yield say("conditions", clause=clause)


def _named(sentence: Sentence, method: str) -> Sentence:
    """In a list of findings a sentence says whom it is about."""
    if sentence.text.startswith(("It ", "Its ")) or f"`{method}`" not in sentence.text:
        text = f"`{method}`: {sentence.text[:1].lower()}{sentence.text[1:]}"
        return sentence.model_copy(update={"text": text})
    return sentence


def _noise(comparison: Comparison) -> Iterator[Sentence]:
    known = [noise for noise in comparison.noise if noise.sd is not None]
    if not known:
        yield say("noise_unknown")
        return
    unit = UNITS.get(comparison.measure, comparison.measure)
    yield say(
        "noise",
        sds=listing([f"{significant(n.sd or 0)} at {n.rung}" for n in known]),
        unit=unit,
        degrees=f"{listing([f'{n.degrees_of_freedom:g}' for n in known])} degrees of freedom",
    )
    if comparison.wild:
        yield say("wild", arms=listing([f"`{arm}`" for arm in comparison.wild]))
    if comparison.effect_seen is not None:
        yield say("seen", effect=significant(comparison.effect_seen), unit=unit)


def _text_share(found: Difference) -> Iterator[Sentence]:
    if found.overall is not None and found.overall.text_share is not None:
        share = math.sqrt(found.overall.text_share)
        key = "text_large" if share > _MANY_TEXT else "text"
        yield say(key, share=percent_of(share), **names_of(found))


def _by_rung(found: Difference) -> Iterator[Sentence]:
    if len(found.rungs) > 1:
        listed = ", ".join(
            f"{r.rung} {signed(r.estimate.mean, decimals_of(found))} ({r.verdict})"
            for r in found.rungs
        )
        yield say("by_rung", **names_of(found), listed=listed)


def _described(found: Difference | None) -> Iterator[Sentence]:
    if found is not None and found.overall is not None and found.overall.low is not None:
        mean = signed(found.overall.mean, decimals_of(found))
        yield say("described", **names_of(found), difference=mean, interval=interval_of(found))


def block_sentences(comparison: Comparison) -> list[Sentence]:
    """Which arms saw the same blocks, wherever they were run with the same rung and seed."""
    places = [place for place in comparison.same_blocks if len([*chain(*place.groups)]) > 1]
    if not places:
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
        return [say("other_blocks")]
    sentences = []
    for names_of_group in found:
        them = [arm for arm in comparison.arms if arm.name in names_of_group]
        is_order_alone = len({arm.beside_data for arm in them}) == 1
        key = "order_alone" if is_order_alone else "same_blocks"
        sentences.append(say(key, arms=listing([f"`{arm.name}`" for arm in them])))
    return sentences
