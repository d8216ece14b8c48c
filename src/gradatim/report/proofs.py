"""The sections that prove: what each curriculum fed when, and the ledger of every arm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import polars as pl

from gradatim.law.comparison import Comparison
from gradatim.record.read import Record
from gradatim.report import plots
from gradatim.report.axes import Arms
from gradatim.report.parts import (
    Cell,
    Figure,
    Group,
    Part,
    Row,
    Section,
    Table,
    number_columns,
    text_columns,
)
from gradatim.report.tables import Tables
from gradatim.report.wording import flops, listing, percent, small_percent

_CONTROL_WORDS = {
    ("ceiling", "shuffled"): "the method's schedule over a random ranking of the blocks",
    ("ceiling", "reversed"): "the method's schedule with the hardest blocks first",
    ("stages", "shuffled"): "the method's stages, the labels dealt out among the blocks at random",
    ("stages", "reversed"): "the method's stages backwards in time",
}


def ledger_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section | None:
    """FLOPs of every arm by account: the proof that compute was equal."""
    if tables.ledger.is_empty():
        return None
    charged = tables.ledger.filter("is_charged")
    totals = charged.group_by("arm", "rung", "seed").agg(pl.col("flops").sum())
    spread = totals.group_by("rung").agg(
        (pl.col("flops").max() - pl.col("flops").min()) / pl.col("flops").mean()
    )
    widest = max(spread["flops"])
    sentence = (
        "At every rung, every run was charged the same number of FLOPs."
        if widest < 1e-12
        else "Within a rung, the most and the least that any run was charged differ by at most "
        f"{small_percent(widest)}."
    )
    names = {
        kind: list(dict.fromkeys(tables.ledger.filter(is_charged=kind)["account"]))
        for kind in (True, False)
    }
    columns = [
        *text_columns("Arm"),
        *number_columns(*names[True], "Charged in sum", "Share of budget"),
        *number_columns(*(f"{name} (not charged)" for name in names[False])),
    ]
    groups = _ledger_groups(comparison, tables, arms, names)
    parts = [
        Part("prose", sentence),
        Part("table", Table("Ledger of every arm", columns, groups)),
        Part("caption", _ledger_caption(names[False]), csv=["ledger.csv"]),
    ]
    return Section("ledger", "Ledger", "The ledger: equal compute", parts)


def _ledger_groups(
    comparison: Comparison, tables: Tables, arms: Arms, names: Mapping[bool, Sequence[str]]
) -> list[Group]:
    """Mean FLOPs by rung and arm; `names` are the accounts that were charged, and those noted."""
    budgets = {row["rung"]: row["budget_flops"] for row in tables.runs.to_dicts()}
    means = tables.ledger.group_by("arm", "rung", "is_charged", "account").agg(
        pl.col("flops").mean()
    )
    found = {
        (row["arm"], row["rung"], row["is_charged"], row["account"]): row["flops"]
        for row in means.to_dicts()
    }
    groups = []
    for rung in comparison.rungs:
        rows = []
        for arm in arms.names:
            accounts = [found.get((arm, rung, True, name)) for name in names[True]]
            if not any(accounts):
                continue
            total = sum(value or 0.0 for value in accounts)
            noted = [found.get((arm, rung, False, name)) for name in names[False]]
            cells = [Cell(flops(value)) for value in [*accounts, total]]
            cells += [Cell(percent(total / budgets[rung], 2))]
            cells += [Cell(flops(value), "unresolved") for value in noted]
            rows.append(Row([Cell(arm, "arm"), *cells]))
        groups.append(Group(f"Rung {rung}", rows))
    return groups


def _ledger_caption(noted: Sequence[str]) -> str:
    """How FLOPs are counted, and what the accounts that were not charged mean."""
    caption = (
        "FLOPs, mean over seeds. A multiply-add counts 2; matrix products only; attention in full. "
        "Evaluation is not charged: it is the same for every arm."
    )
    if any(", paid by" in name for name in noted):
        caption += (
            " Scores that a model gave are shared by the runs named; alone, a run would be charged "
            "that as well."
        )
    if any(name.startswith("reference") for name in noted):
        caption += " Training the model that scored is not charged."
    return caption


def feeding_section(
    records: Sequence[Record], comparison: Comparison, tables: Tables, arms: Arms
) -> Section | None:
    """What each curriculum fed when, what it used up, and whether that was the plan."""
    parts: list[Part] = []
    if not tables.feeding.is_empty():
        largest = next(r for r in reversed(comparison.rungs) if r in set(tables.feeding["rung"]))
        shown = tables.feeding.filter(rung=largest)
        labels = _natural_order(shown["label"].unique().to_list())
        keys = [{"label": label, "place": place} for place, label in enumerate(labels)]
        figures = [
            Figure(
                f"plot-feeding-{place}",
                arm,
                f"Share of each label in the blocks that {arm} drew, over progress",
                plots.areas(part, labels=labels),
            )
            for place, arm in enumerate(arms.names)
            if not (part := shown.filter(arm=arm)).is_empty()
        ]
        parts += [Part("keys", keys), Part("figures", figures)]
        caption = f"Counted from the blocks really drawn at rung {largest}, lowest seed."
        parts.append(Part("caption", caption, csv=["feeding.csv"]))
    if plans := _plan_rows(records, arms):
        columns = text_columns("Arm", "Plan")
        parts += [
            Part("heading", "The plans"),
            Part("table", Table("Plans", columns, [Group("", plans)])),
        ]
    if not tables.consumed.is_empty():
        parts += [
            Part("heading", "How much of each part was used"),
            Part("table", _consumed_table(comparison, tables, arms)),
            Part(
                "caption",
                "Share of the blocks of each part of the training text that were drawn at least "
                "once, mean over seeds.",
                csv=["consumed.csv"],
            ),
        ]
    if sentences := [*_order_sentences(tables), *_multiset_sentences(comparison)]:
        parts += [Part("heading", "Plan and order, checked"), Part("list", sentences)]
    return Section("feeding", "Feeding", "What each curriculum fed when", parts) if parts else None


def _plan_rows(records: Sequence[Record], arms: Arms) -> list[Row]:
    """One plan an arm: that of its largest rung and lowest seed."""
    plans: dict[str, Mapping[str, Any]] = {}
    for record in sorted(records, key=lambda r: (-r.spec.budget_flops, r.spec.seed)):
        if record.start and record.start.get("plan"):
            plans.setdefault(record.spec.arm, record.start["plan"])
    return [
        Row([Cell(name, "arm"), Cell(plan_words(plans[name]), "prose")])
        for name in arms.names
        if name in plans
    ]


def plan_words(plan: Mapping[str, Any]) -> str:
    """A plan in words; one of an unknown kind as it is written."""
    kind, control = str(plan.get("kind")), str(plan.get("control"))
    if (kind, control) in _CONTROL_WORDS:
        return f"A control: {_CONTROL_WORDS[kind, control]}."
    if kind == "uniform":
        words = "Everything from the start, shuffled"
    elif kind == "ceiling":
        words = _ceiling_words(plan)
    elif kind == "stages":
        words = _stages_words(plan)
    else:
        return json.dumps(dict(plan), ensure_ascii=False)
    if plan.get("sample") == "budget":
        words += "; from a random sample as large as the run, every block of it once"
    elif "epochs" in plan:
        words += f"; {plan['epochs']:.2g} epochs in all"
    return f"{words}."


def _ceiling_words(plan: Mapping[str, Any]) -> str:
    words = f"A ceiling on {_words(str(plan['metric']))}: first {percent(plan['start_fraction'])}"
    words += " of the blocks"
    if isinstance(plan.get("start_ceiling"), int | float):
        words += f" ({plan['start_ceiling']:.1f} and below)"
    pace = "held" if plan["pacing"] == "step" else f"rising ({plan['pacing']} pacing)"
    words += f", {pace} until it is gone at {percent(plan['ramp'])} of the compute"
    if plan.get("easiest_used_expected") is not None:
        expected = percent(plan["easiest_used_expected"])
        words += f", when {expected} of the first blocks should have been used"
    if plan.get("easiest_used_asked") is not None:
        words += f" (asked: {percent(plan['easiest_used_asked'])})"
    return words


def _stages_words(plan: Mapping[str, Any]) -> str:
    stages = [
        f"until {percent(stage['until'])}: "
        + ", ".join(
            f"{label} {percent(share)}" for label, share in stage["weights"].items() if share > 0
        )
        for stage in plan["stages"]
    ]
    return f"Shares by {plan['by']}, {'; '.join(stages)}"


def _consumed_table(comparison: Comparison, tables: Tables, arms: Arms) -> Table:
    labels = _natural_order(tables.consumed["label"].unique().to_list())
    whens = {"when_full": "when the ceiling was gone", "at_end": "at the end"}
    keys = ("rung", "arm", "when", "label")
    shares = {tuple(row[key] for key in keys): row["share"] for row in tables.consumed.to_dicts()}
    groups = []
    for rung in comparison.rungs:
        rows = []
        for arm in arms.names:
            for when, words in whens.items():
                found = [shares.get((rung, arm, when, label)) for label in labels]
                if any(share is not None for share in found):
                    values = [Cell(percent(share)) for share in found]
                    rows.append(Row([Cell(arm, "arm"), Cell(words), *values]))
        groups.append(Group(f"Rung {rung}", rows))
    titles = [f"band {label}" if label.isdigit() else _words(label) for label in labels]
    columns = [*text_columns("Arm", "When"), *number_columns(*titles)]
    return Table("Shares used", columns, groups)


def _order_sentences(tables: Tables) -> list[str]:
    checked = tables.runs.drop_nulls("matches_plan")
    if checked.is_empty():
        return []
    off = checked.filter(~pl.col("matches_plan"))
    if off.is_empty():
        return [
            f"In all {len(checked)} runs the blocks drawn, in their order, are exactly those the "
            "plan gives when it is replayed."
        ]
    names = [f"{row['arm']}, rung {row['rung']}, seed {row['seed']}" for row in off.to_dicts()]
    return [f"The order drawn is not the planned one in: {'; '.join(names)}."]


def _multiset_sentences(comparison: Comparison) -> list[str]:
    """Which arms saw the same blocks, wherever they were run with the same rung and seed."""
    places = comparison.same_blocks
    candidates = sorted({frozenset(g) for place in places for g in place.groups}, key=len)
    always: list[frozenset[str]] = []
    for arms in reversed(candidates):
        together = all(
            any(arms & {*chain(*place.groups)} <= {*group} for group in place.groups)
            for place in places
        )
        if len(arms) > 1 and together and not any(arms <= found for found in always):
            always.append(arms)
    if places and not always:
        return ["No two arms always saw the same multiset of blocks."]
    names = [arm.name for arm in comparison.arms]
    return [
        f"{listing(sorted((f'`{arm}`' for arm in arms), key=lambda n: names.index(n[1:-1])))} saw "
        "the same multiset of blocks at every rung and seed (equal hashes), and differ in the "
        "order alone."
        for arms in always
    ]


def _natural_order(labels: Sequence[str]) -> list[str]:
    """`band 2` before `band 10`; names by alphabet."""

    def key(label: str) -> tuple[str, int, str]:
        head, _, tail = label.replace("/", " ").rpartition(" ")
        return (head, int(tail), "") if tail.isdigit() else (head, -1, tail)

    return sorted(labels, key=key)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("/", " ")
