"""What a run is called in words."""

from __future__ import annotations


def cell_name(arm: str, schedule: str | None = None, *, is_tuned: bool = False) -> str:
    """An arm, with the rate schedule and the settings that it is trained under."""
    under = f" under {schedule}" if schedule else ""
    return f"{arm}{under}{' with its own best rate' if is_tuned else ''}"


def describe(cell: str, rung: str, seed: int, budget_multiple: float = 1.0) -> str:
    """A run, of an arm as `cell_name` names it."""
    budget = "" if budget_multiple == 1 else f", {budget_multiple:.12g} times the budget"
    return f"{cell}, rung {rung}, seed {seed}{budget}"
