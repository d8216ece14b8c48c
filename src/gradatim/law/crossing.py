"""Every arm under several schedules of the rate: how its difference changes with the schedule.

What comes last in a run counts for less where the rate decays, so no order is judged under one
schedule alone. The interaction of an arm with a schedule is (arm - baseline) under it, minus the
same under the first schedule, mean over rungs.

Its noise is that of a table of its own: of every run, what its value changes by from the first
schedule to the other, arms x seeds. What a seed does under a schedule, to all arms alike, and what
it does to an arm, under all schedules alike, cancels in it, for runs of a rung and seed share
initial weights and data order; and schedules may differ in noise. A residual over all cells of arm
and schedule has more degrees of freedom, and takes all of that for noise, or for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gradatim.law.claims import Claim, verdict
from gradatim.law.comparison import Comparison, FinalWeights, Interaction, Sentence
from gradatim.law.paired import PairedRuns
from gradatim.law.phrases import (
    decimals_of,
    gap_of,
    interval_of,
    listing,
    range_of,
    signed,
    what_of,
)
from gradatim.law.results import Measured, Result
from gradatim.law.sentences import say
from gradatim.law.text import Blocks
from gradatim.record.read import RAW_WEIGHTS, Record


def interactions(
    parts: Mapping[str, PairedRuns], arms: Sequence[str], baseline: str, measured: Measured
) -> list[Interaction]:
    """Of every arm with every schedule but the first, uncorrected.

    Args:
        parts: the runs by schedule.
        arms: those that are not the baseline.
    """
    first, *others = parts
    found = []
    for schedule in others:
        changes = _changes(parts[first], parts[schedule])
        found += [
            Interaction(
                schedule=schedule,
                against=first,
                difference=changes.difference(arm, baseline, measured),
            )
            for arm in arms
        ]
    return found


def _changes(first: PairedRuns, other: PairedRuns) -> PairedRuns:
    """Of every run under both, by how much it ended elsewhere under the other."""
    results = {
        run: _change(first.results[run], result)
        for run, result in other.results.items()
        if run in first.results
    }
    return PairedRuns(results, {}, first.rungs, first.baseline)


def _change(first: Result, other: Result) -> Result:
    finals = {
        measured: value - first.finals[measured]
        for measured, value in other.finals.items()
        if measured in first.finals
    }
    return replace(other, finals=finals, blocks=_block_changes(first.blocks, other.blocks))


def _block_changes(first: Blocks | None, other: Blocks | None) -> Blocks | None:
    if first is None or other is None or len(first.bits) != len(other.bits):
        return None
    return replace(other, bits=other.bits - first.bits)


def interaction_claim(found: Interaction) -> Claim:
    """The claim that a difference changes."""
    return (found.difference.arm, found.difference.reference, found.schedule, found.against)


def effects_of(found: Interaction) -> list[Claim]:
    """The claims that there is a difference which could change."""
    return [
        (found.difference.arm, found.difference.reference, schedule)
        for schedule in (found.against, found.schedule)
    ]


def with_p_value(found: Interaction, p_value: float | None) -> Interaction:
    """An interaction with its corrected p-value, and the verdict by it."""
    if p_value is None:
        return found
    d = found.difference
    update = verdict(d.overall, p_value, (d.measure, d.name))
    changed = d.model_copy(update={"adjusted_p_value": p_value, "verdict": update})
    return found.model_copy(update={"difference": changed})


def final_weights(
    records: Sequence[Record], rungs: Sequence[str], arms: Sequence[str]
) -> Iterator[FinalWeights]:
    """What raw weights and averages ended with, by arm, rung and schedule.

    Nothing where no run has averages.
    """
    finished = [r for r in records if r.is_finished and r.spec.operation.budget_multiple == 1]
    if not any(record.averages for record in finished):
        return
    for schedule in dict.fromkeys(r.spec.operation.schedule for r in finished):
        for rung in rungs:
            for arm in arms:
                place = (schedule, rung, arm)
                runs = [
                    r
                    for r in finished
                    if (r.spec.operation.schedule, r.spec.rung, r.spec.arm) == place
                ]
                for weights in dict.fromkeys(w for r in runs for w in (RAW_WEIGHTS, *r.averages)):
                    last = [
                        e[-1]["bits_per_byte"]["all"] for r in runs if (e := r.evaluations(weights))
                    ]
                    known = [value for value in last if value is not None]
                    if known:
                        yield FinalWeights(
                            schedule=schedule,
                            arm=arm,
                            rung=rung,
                            weights=weights,
                            mean=sum(known) / len(known),
                            num_runs=len(known),
                            is_outcome=all(r.outcome == weights for r in runs),
                        )


def crossing_sentences(comparison: Comparison) -> Iterator[Sentence]:
    """What can be said of all schedules together: verdicts side by side, and how they change."""
    if not comparison.others:
        return
    baseline = comparison.baseline
    for method in comparison.methods():
        verdicts: dict[str, list[str]] = {}
        for each in comparison.by_schedule:
            found = each.difference(method, baseline)
            told = found.verdict if found else "not compared"
            verdicts.setdefault(told, []).append(f"`{each.schedule}`")
        listed = "; ".join(f"{told} under {listing(names)}" for told, names in verdicts.items())
        yield say("by_schedule", arm=method, reference=baseline, listed=listed)
        for interaction in comparison.interactions:
            if interaction.difference.arm == method:
                yield interaction_sentence(interaction)


def interaction_sentence(interaction: Interaction) -> Sentence:
    """Whether a difference changes with the schedule; never that it does not."""
    found = interaction.difference
    facts: dict[str, object] = {
        "arm": found.arm,
        "reference": found.reference,
        "schedule": interaction.schedule,
        "against": interaction.against,
    }
    if found.overall is None or found.verdict == "cannot be judged":
        return say("interaction_unjudged", **facts)
    if found.verdict == "not resolved":
        change = f"{signed(found.overall.mean, decimals_of(found))} {what_of(found)}"
        return say("interaction_open", **facts, difference=change, interval=interval_of(found))
    key = "interaction_more" if found.verdict == "better" else "interaction_less"
    return say(key, **facts, gap=gap_of(found), interval=range_of(found))
