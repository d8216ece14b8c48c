"""Whether a verdict survives when each arm has its own best rate and weight decay.

Which arm is ahead may flip with the rate. A study that searched for every arm's best settings has
each arm's runs under these, or under the study's own where none were better; they are compared in
the same way, in a family of claims of their own, and only what was claimed at the shared settings
is confirmed by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradatim.law.comparison import Comparison, Difference, Sentence
from gradatim.law.paired import PairedRuns
from gradatim.law.phrases import (
    decimals_of,
    gap_of,
    interval_of,
    listing,
    names_of,
    range_of,
    signed,
    what_of,
)
from gradatim.law.results import Result, Run, require_tuned
from gradatim.law.sentences import say
from gradatim.record.tuning import Choice, Setting

_WORDS: dict[Setting, str] = {"rate": "rate", "weight_decay": "weight decay"}


def tuned_runs(
    shared: PairedRuns,
    tuned: Mapping[Run, Result],
    choices: Sequence[Choice],
) -> PairedRuns | None:
    """Every arm's runs under its own best settings; None where nothing was searched.

    An arm for which nothing could be chosen at a rung has no run there.

    Args:
        shared: the runs under the study's settings.
        tuned: those under other settings of the arm's own.
        choices: of the runs' schedule; without any, an arm that has no tuned run at a rung is taken
            to be best under the study's settings.

    Raises:
        MismatchError: tuned runs differ from the others in more than rate and weight decay.
    """
    if not tuned and not choices:
        return None
    require_tuned(shared.results, tuned)
    is_shared = {(choice.arm, choice.rung): choice.is_shared for choice in choices}
    others = {run[:2] for run in tuned}
    own = {
        run: result
        for run, result in shared.results.items()
        if (is_shared.get(run[:2], False) if choices else run[:2] not in others)
    }
    return PairedRuns({**own, **tuned}, {}, shared.rungs, shared.baseline)


def tuning_sentences(comparison: Comparison) -> Iterator[Sentence]:
    """Of every claim whether it survives, and where the search may have stopped short."""
    if not comparison.tuned and not comparison.choices:
        return
    cells = {(choice.arm, choice.rung) for choice in comparison.choices if choice.is_shared}
    if cells >= {(arm.name, rung) for arm in comparison.arms for rung in comparison.rungs}:
        yield say("tuned_shared", arms=listing(_arms(comparison.choices)))
    else:
        for method in comparison.methods():
            for reference in (
                comparison.baseline,
                *(arm.name for arm in comparison.controls(method)),
            ):
                yield from _survival(comparison, method, reference)
    for setting, word in _WORDS.items():
        at_edge = [
            f"`{c.arm}` at rung {c.rung} ({getattr(c, setting):g})"
            for c in comparison.choices
            if setting in c.at_edge
        ]
        if at_edge:
            yield say("tuned_edge", setting=word, listed=listing(at_edge))


def _arms(choices: Sequence[Choice]) -> list[str]:
    return [f"`{arm}`" for arm in dict.fromkeys(choice.arm for choice in choices)]


def _survival(comparison: Comparison, method: str, reference: str) -> Iterator[Sentence]:
    claimed = comparison.difference(method, reference)
    if claimed is None or claimed.verdict == "cannot be judged":
        return
    is_resolved = claimed.verdict != "not resolved"
    if reference != comparison.baseline and not is_resolved:
        return
    wanted = (d for d in comparison.tuned if (d.arm, d.reference) == (method, reference))
    found = next(wanted, None)
    if found is None or found.overall is None or found.verdict == "cannot be judged":
        yield say("tuned_unjudged", arm=method, reference=reference)
        return
    facts = {**names_of(found), "difference": _difference(found), "interval": interval_of(found)}
    if not is_resolved:
        yield say("tuned_open", **facts)
    elif found.verdict == claimed.verdict:
        gap = {"gap": gap_of(found), "interval": range_of(found), "verdict": found.verdict}
        yield say("tuned_survives", **(facts | gap))
    elif found.verdict == "not resolved":
        yield say("tuned_lost", **(facts | {"verdict": claimed.verdict}))
    else:
        yield say("tuned_turned", **(facts | {"verdict": claimed.verdict}))


def _difference(found: Difference) -> str:
    assert found.overall is not None
    return f"{signed(found.overall.mean, decimals_of(found))} {what_of(found)}"
