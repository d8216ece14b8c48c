"""The section on what arms were run under: schedules of the rate side by side, and averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradatim.law.comparison import ALL_RUNGS, Comparison, Difference
from gradatim.report.parts import Rows, Table, Tables, columns
from gradatim.report.results import page_decimals
from gradatim.report.wording import MISSING, interval, number, signed

_COMPARED = [*columns("number", "Difference", "95 % interval"), *columns("verdict", "Verdict")]


def crossing_results(comparison: Comparison) -> dict[str, Any] | None:
    """Verdicts by schedule, how differences change, and averages; None where there is neither."""
    is_crossed = bool(comparison.others)
    is_tuned = any(each.tuned or each.choices for each in comparison.by_schedule)
    if not is_crossed and not comparison.averages and not is_tuned:
        return None
    return {
        "first": comparison.schedule,
        "verdicts": _verdicts(comparison) if is_crossed else None,
        "interactions": _interactions(comparison) if is_crossed else None,
        "averages": _averages(comparison) if comparison.averages else None,
        "tuned": _tuned(comparison) if is_tuned else None,
        "choices": _choices(comparison) if is_tuned else None,
    }


def _cells(found: Difference | None, decimals: int) -> list[str]:
    if found is None or found.overall is None:
        return [MISSING, MISSING, "cannot be judged"]
    overall = found.overall
    ends = interval(overall.low, overall.high, decimals, sign=True)
    return [signed(overall.mean, decimals), ends, found.verdict]


def _verdicts(comparison: Comparison) -> Table:
    """Every arm against the baseline, mean over rungs, schedule by schedule."""
    decimals = page_decimals(comparison)
    groups = {
        f"Under {each.schedule}": [
            [arm.name, *_cells(each.difference(arm.name, each.baseline), decimals)]
            for arm in each.arms
            if arm.name != each.baseline
        ]
        for each in comparison.by_schedule
    }
    return Table("Arms by schedule", [*columns("arm", "Arm"), *_COMPARED], groups)


def _interactions(comparison: Comparison) -> Table:
    """How the difference of every arm changes from the first schedule to each other."""
    decimals = page_decimals(comparison)
    groups: dict[str, list[list[str]]] = {}
    for each in comparison.interactions:
        title = f"Under {each.schedule}, minus under {each.against}"
        row = [each.difference.arm, *_cells(each.difference, decimals)]
        groups.setdefault(title, []).append(row)
    heads = [*columns("arm", "Arm"), *columns("number", "Change", "95 % interval")]
    return Table("Changes with the schedule", [*heads, *columns("verdict", "Verdict")], groups)


def interaction_rows(comparison: Comparison) -> Rows:
    """Columns schedule, against, arm, rung, change, low, high, num_pairs, verdict."""
    rows: list[dict[str, Any]] = []
    for each in comparison.interactions:
        place = {"schedule": each.schedule, "against": each.against, "arm": each.difference.arm}
        found = [(rung.rung, rung.estimate, rung.verdict) for rung in each.difference.rungs]
        if each.difference.overall is not None:
            found.append((ALL_RUNGS, each.difference.overall, each.difference.verdict))
        for rung, change, verdict in found:
            ends = {"low": change.low, "high": change.high, "num_pairs": change.num_pairs}
            at = {"rung": rung, "change": change.mean}
            rows.append(place | at | ends | {"verdict": verdict})
    return rows


def _averages(comparison: Comparison) -> Table:
    """What raw weights and their averages ended with, by schedule, rung and arm."""
    names = list(dict.fromkeys(found.weights for found in comparison.averages))
    groups: dict[str, list[list[str]]] = {}
    for schedule, rung in dict.fromkeys((f.schedule, f.rung) for f in comparison.averages):
        at = [f for f in comparison.averages if (f.schedule, f.rung) == (schedule, rung)]
        rows = groups.setdefault(f"Rung {rung}{f', under {schedule}' if schedule else ''}", [])
        for arm in dict.fromkeys(found.arm for found in at):
            means = {f.weights: number(f.mean, 4) for f in at if f.arm == arm}
            judged = [f.weights for f in at if f.arm == arm and f.is_outcome]
            cells = [means.get(name, MISSING) for name in names]
            rows.append([arm, *cells, judged[0] if judged else MISSING])
    heads = [*columns("arm", "Arm"), *columns("number", *names), *columns("text", "Judged by")]
    return Table("Weights and their averages", heads, groups)


def _tuned(comparison: Comparison) -> Table:
    """Claims at the study's settings beside the same at every arm's own best ones."""
    decimals = page_decimals(comparison)
    groups: dict[str, list[list[str]]] = {}
    for each in comparison.by_schedule:
        title = f"Under {each.schedule}" if each.schedule else ""
        for found in each.tuned:
            shared = each.difference(found.arm, found.reference)
            row = [found.arm, found.reference, shared.verdict if shared else MISSING]
            groups.setdefault(title, []).append([*row, *_cells(found, decimals)])
    heads = [*columns("arm", "Arm", "against"), *columns("verdict", "At the study's rate")]
    return Table("When each arm has its own best rate", [*heads, *_COMPARED], groups)


def _choices(comparison: Comparison) -> Table:
    """What the search chose, and whether it lies at the edge of what was tried."""
    groups: dict[str, list[list[str]]] = {}
    for choice in (choice for each in comparison.by_schedule for choice in each.choices):
        title = f"Rung {choice.rung}{f', under {choice.schedule}' if choice.schedule else ''}"
        at_edge = ", ".join(name.replace("_", " ") for name in choice.at_edge)
        settings = [f"{choice.rate:g}", f"{choice.weight_decay:g}", at_edge or "none"]
        own = "the study's" if choice.is_shared else "its own"
        groups.setdefault(title, []).append([choice.arm, *settings, own])
    heads = [*columns("arm", "Arm"), *columns("number", "Best rate", "Best weight decay")]
    return Table("What was best", [*heads, *columns("text", "At an edge", "Settings")], groups)


def joined(views: Sequence[tuple[str | None, Tables]]) -> Tables:
    """The tables of all schedules as one, in which every row says its schedule.

    Those of a study with one schedule stay as they are.
    """
    if [schedule for schedule, _ in views] == [None]:
        return views[0][1]
    found: dict[str, Rows] = {}
    for schedule, tables in views:
        for name, rows in tables.items():
            placed = [{"schedule": schedule} | row for row in rows]
            found[name] = [*found.get(name, ()), *placed]
    return found
