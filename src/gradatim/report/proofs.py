"""The sections that prove: what each curriculum fed when, and the ledger of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradatim.law.comparison import Comparison
from gradatim.law.wording import block_sentences
from gradatim.record.read import Record
from gradatim.report.figures import areas
from gradatim.report.palette import Arms
from gradatim.report.parts import Figure, Rows, Table, Tables, columns
from gradatim.report.tables import means, natural, where
from gradatim.report.wording import MISSING, capitalised, flops, percent, small_percent

_WHENS = {"when_full": "when the ceiling was gone", "at_end": "at the end"}


def ledger_proof(comparison: Comparison, tables: Tables, arms: Arms) -> dict[str, Any] | None:
    """FLOPs of every arm by account: the proof that compute was equal."""
    ledger = tables["ledger"]
    if not ledger:
        return None
    charged, noted = (
        list(dict.fromkeys(row["account"] for row in where(ledger, is_charged=is_charged)))
        for is_charged in (True, False)
    )
    spread = _largest_spread(where(ledger, is_charged=True))
    return {
        "spread": small_percent(spread) if spread >= 1e-12 else None,
        "table": _ledger_table(comparison, tables, arms, charged, noted),
        "is_shared": any(", paid by" in name for name in noted),
        "has_reference": any(name.startswith("reference") for name in noted),
    }


def _ledger_table(
    comparison: Comparison,
    tables: Tables,
    arms: Arms,
    charged: Sequence[str],
    noted: Sequence[str],
) -> Table:
    """Mean FLOPs by rung and arm, of the accounts that were charged and of those noted."""
    budgets = {row["rung"]: row["budget_flops"] for row in tables["runs"]}
    spent = {
        (row["rung"], row["arm"], row["is_charged"], row["account"]): row["flops"]
        for row in means(
            tables["ledger"], by=["rung", "arm", "is_charged", "account"], of=["flops"]
        )
    }
    groups: dict[str, list[list[str]]] = {f"Rung {rung}": [] for rung in comparison.rungs}
    for rung in comparison.rungs:
        for arm in arms.names:
            paid = [spent.get((rung, arm, True, name)) for name in charged]
            if total := sum(value or 0 for value in paid):
                beside = [flops(spent.get((rung, arm, False, name))) for name in noted]
                cells = [*map(flops, [*paid, total]), percent(total / budgets[rung], 2), *beside]
                groups[f"Rung {rung}"].append([arm, *cells])
    heads = [
        *columns("arm", "Arm"),
        *columns("number", *charged, "Charged in sum", "Share of budget"),
        *columns("number muted", *(f"{name} (not charged)" for name in noted)),
    ]
    return Table("Ledger of every arm", heads, groups)


def _largest_spread(charged: Rows) -> float:
    """The most by which runs of one rung differ in what they were charged, as a share of it."""
    totals: dict[str, dict[tuple[object, ...], float]] = {}
    for row in charged:
        runs = totals.setdefault(row["rung"], {})
        run = (row.get("schedule"), row["arm"], row["seed"], row.get("is_tuned"))
        runs[run] = runs.get(run, 0) + row["flops"]
    return max(
        (max(runs.values()) - min(runs.values())) * len(runs) / sum(runs.values())
        for runs in totals.values()
    )


def feeding_proof(
    records: Sequence[Record], comparison: Comparison, tables: Tables, arms: Arms
) -> dict[str, Any]:
    """What each curriculum fed when, what it used up, and whether that was the plan."""
    feeding, consumed = tables["feeding"], tables["consumed"]
    largest = next((rung for rung in comparison.rungs[::-1] if where(feeding, rung=rung)), "")
    labels = sorted({row["label"] for row in where(feeding, rung=largest)}, key=natural)
    figures = []
    for place, arm in enumerate(arms.names):
        if shown := where(feeding, rung=largest, arm=arm):
            label = f"Share of each label in the blocks that {arm} drew, over progress"
            figures.append(Figure(f"plot-feeding-{place}", arm, label, areas(shown, labels=labels)))
    plans: dict[str, str] = {}
    for record in sorted(records, key=lambda r: (-r.spec.budget_flops, r.spec.seed)):
        if sentence := ((record.start or {}).get("plan") or {}).get("sentence"):
            plans.setdefault(record.spec.arm, f"{capitalised(sentence.rstrip('.'))}.")
    checked = [run for run in tables["runs"] if run["matches_plan"] is not None]
    told = [[arm, plans[arm]] for arm in arms.names if arm in plans]
    return {
        "rung": largest,
        "labels": labels,
        "figures": figures,
        "plans": Table("Plans", [*columns("arm", "Arm"), *columns("prose", "Plan")], {"": told}),
        "consumed": _consumed_table(comparison, consumed, arms) if consumed else None,
        "checked": checked,
        "off_plan": where(checked, matches_plan=False),
        "same_blocks": [sentence.text for sentence in block_sentences(comparison)],
    }


def _consumed_table(comparison: Comparison, consumed: Rows, arms: Arms) -> Table:
    labels = sorted({row["label"] for row in consumed}, key=natural)
    groups: dict[str, list[list[str]]] = {f"Rung {rung}": [] for rung in comparison.rungs}
    for rung in comparison.rungs:
        for arm in arms.names:
            for when, words in _WHENS.items():
                found = where(consumed, rung=rung, arm=arm, when=when)
                shares = {row["label"]: percent(row["share"]) for row in found}
                if shares:
                    cells = [shares.get(label, MISSING) for label in labels]
                    groups[f"Rung {rung}"].append([arm, words, *cells])
    titles = [f"band {label}" if label.isdigit() else _words(label) for label in labels]
    heads = [*columns("arm", "Arm"), *columns("text", "When"), *columns("number", *titles)]
    return Table("Shares used", heads, groups)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", " ")
