"""Records, comparison and laws to one HTML page that works offline, and its numbers as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gradatim.errors import RecordError
from gradatim.law.comparison import UNITS, Comparison
from gradatim.law.fit import LawFit
from gradatim.law.slices import SLICE_KINDS
from gradatim.record.read import Record
from gradatim.record.visits import KINDS
from gradatim.report.crossing import crossing_results, interaction_rows, joined
from gradatim.report.html import resource, write_page
from gradatim.report.mixtures import passes, passes_table, weights, weights_proof
from gradatim.report.palette import Arms, arms_of, colour_rules, slice_colours
from gradatim.report.parts import Figure, Rows
from gradatim.report.proofs import feeding_proof, ledger_proof
from gradatim.report.reproduce import reproduction, samples
from gradatim.report.results import (
    curve_figures,
    difference_figures,
    fed_table,
    key_results,
    law_results,
    page_decimals,
    slice_figures,
    task_results,
)
from gradatim.report.tables import natural, study_tables, with_tuned
from gradatim.report.visits import visit_results
from gradatim.report.wording import count, data_size, duration, flops, number, percent


def report(
    records: Sequence[Record],
    path: Path | str,
    *,
    comparison: Comparison,
    laws: Sequence[LawFit],
    title: str | None = None,
    study_yaml: str | None = None,
    feeding: Rows = (),
    visits: Mapping[str, Rows] | None = None,
) -> Path:
    """Write the page to `path`, and its numbers to the folder `<stem>-data` beside it.

    Args:
        records: the runs of one study.
        path: the HTML file; its folder is made.
        comparison: of these records.
        laws: fitted to these records; may be empty.
        title: the study's question or name.
        study_yaml: the study file, shown for reproduction.
        feeding: rows of arm, rung, progress, label, share: what was drawn when.
        visits: what was learned and forgotten, where blocks were read more than twice: rows of
            `visits`, `visit_kinds` and `visit_labels`, as `study.visiting` gives them.

    Returns:
        The path written; the same arguments give the same bytes.

    Raises:
        RecordError: there are no records.
    """
    if not records:
        raise RecordError("no runs to report on", where=str(path), expected="at least one record")
    every = records
    main = [r for r in records if r.spec.operation.budget_multiple == 1]
    records = [r for r in main if not r.spec.operation.is_tuned]
    arms = arms_of(comparison)
    views = [_view(each, records, laws, feeding, arms) for each in comparison.by_schedule]
    first = views[0]["tables"]
    of_first = [r for r in records if r.spec.operation.schedule == comparison.schedule]
    tables = {
        **joined([(view["schedule"], view["tables"]) for view in views]),
        "passes": passes(of_first),
        "weights": weights(of_first),
        **(visits or {}),
    }
    told = visit_results(tables, arms)
    if tuned := [r for r in main if r.spec.operation.is_tuned]:
        tables = {**with_tuned(tables, tuned)}
    if comparison.interactions:
        tables["interactions"] = interaction_rows(comparison)
    if comparison.averages:
        tables["averages"] = [found.model_dump() for found in comparison.averages]
    drawn = [len({row["label"] for row in rows}) for rows in (feeding, tables["weights"])]
    slices = slice_colours(max(*drawn, len(KINDS) if told else 0))
    colours = colour_rules(arm=[style.colours for style in arms.styles], slice=slices)
    return write_page(
        Path(path),
        "study.html",
        styles=[resource("style.css"), colours],
        tables=tables,
        title=title or "A study of curricula at equal compute",
        baseline=comparison.baseline,
        measure=UNITS.get(comparison.measure, comparison.measure),
        number=partial(number, decimals=page_decimals(comparison)),
        arms={style.name: (place, style) for place, style in enumerate(arms.styles)},
        sections={
            "answer": _answer(every, comparison),
            "schedules": crossing_results(comparison),
            "views": views,
            "differences": any(view["differences"] for view in views),
            "slices": slice_figures(comparison, first, arms),
            "fed": fed_table(comparison),
            "tasks": task_results(comparison, first, arms),
            "laws": law_results(_laws_of(comparison, laws), first, arms),
            "feeding": feeding_proof(records, comparison, tables, arms),
            "weights": weights_proof(comparison, tables, arms),
            "passes": passes_table(comparison, tables, arms),
            "visits": told,
            "ledger": ledger_proof(comparison, tables, arms),
            "samples": samples(of_first, comparison, arms),
            "reproduce": reproduction(records, comparison, study_yaml),
        },
    )


def _view(
    comparison: Comparison,
    records: Sequence[Record],
    laws: Sequence[LawFit],
    feeding: Sequence[dict[str, Any]],
    arms: Arms,
) -> dict[str, Any]:
    """The tables under one schedule, and what is shown under every one: results and curves."""
    schedule = comparison.schedule
    of_schedule = [r for r in records if r.spec.operation.schedule == schedule]
    drawn = feeding if schedule is None or comparison.others else ()
    tables = study_tables(of_schedule, comparison, _laws_of(comparison, laws), drawn)
    figures = {
        "curves": curve_figures(comparison, tables, arms),
        "differences": difference_figures(comparison, tables, arms),
    }
    results = key_results(comparison, tables, arms)
    if schedule is not None:
        named = partial(_under, schedule=schedule)
        figures = {name: list(map(named, found)) for name, found in figures.items()}
        results["forest"] = results["forest"] and named(results["forest"])
    return {"schedule": schedule, "tables": tables, "results": results, **figures}


def _under(figure: Figure, schedule: str) -> Figure:
    """A figure that tells which schedule it is of."""
    label = f"{figure.label}, under {schedule}"
    return replace(figure, id=f"{figure.id}-under-{schedule}", label=label)


def _laws_of(comparison: Comparison, laws: Sequence[LawFit]) -> list[LawFit]:
    return [law for law in laws if law.schedule == comparison.schedule]


def _answer(records: Sequence[Record], comparison: Comparison) -> dict[str, Any]:
    """The first sentence of the answer large, the others below, then the facts.

    Of several schedules, all verdicts come first, and the rest of the first schedule's answer; what
    stays open between schedules, and the others' answers, are among the findings.
    """
    first, *others = comparison.by_schedule
    crossing = sorted(comparison.crossing, key=lambda sentence: sentence.key != "by_schedule")
    shown = [s.text for s in crossing if s.key != "interaction_open"]
    shown += [first.placed(s.text) for s in (*first.answer, *first.robustness)]
    headline, *rest = shown
    more = [(each, s) for each in others for s in (*each.answer, *each.robustness)]
    more += [(each, s) for each in comparison.by_schedule for s in each.findings]
    return {
        "headline": headline,
        "rest": rest,
        "findings": [
            *(s.text for s in crossing if s.key == "interaction_open"),
            *(each.placed(s.text) for each, s in more if s.key != "missing"),
        ],
        "missing": comparison.missing,
        "facts": _facts(records, comparison),
    }


def _facts(records: Sequence[Record], comparison: Comparison) -> list[tuple[str, str]]:
    finished = [(record, record.finish) for record in records if record.finish]
    spent = sum(finish.get("flops") or 0.0 for _, finish in finished)
    other = [r for r, _ in finished if r.spec.operation.budget_multiple != 1]
    beside = f", {len(other)} of them at other budgets" if other else ""
    return [
        ("Runs finished", f"{len(finished)}{beside}"),
        ("Arms", str(len(comparison.arms))),
        ("Rungs", ", ".join(comparison.rungs)),
        *(
            [("Schedules of the rate", ", ".join(str(c.schedule) for c in comparison.by_schedule))]
            if comparison.others
            else []
        ),
        ("Seeds", str(len({record.spec.seed for record in records}))),
        ("Tokens trained on", count(sum(finish.get("tokens") or 0 for _, finish in finished))),
        ("Compute", f"{flops(spent)}FLOP"),
        ("Time, run after run", duration(sum(record.seconds for record, _ in finished))),
        *measured_on(records),
    ]


def measured_on(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The held-out text, with its parts of the coarsest kind, where a run kept its blocks."""
    evaluations = (events[-1] for r in records if (events := r.events("evaluate")))
    blocks = next((event["blocks"] for event in evaluations if event.get("blocks")), None)
    if blocks is None:
        return []
    slices = blocks["slices"]
    sizes = {name: sum(blocks["bytes"][row] for row in rows) for name, rows in slices.items()}
    text = f"{len(slices['all'])} blocks, {data_size(sizes['all'])}"
    kind = next((k for k in SLICE_KINDS if any(n.startswith(f"{k}/") for n in slices)), None)
    if kind is not None:
        parts = {name: size for name, size in sizes.items() if name.startswith(f"{kind}/")}
        shares = [
            f"{name.partition('/')[2]} {percent(size / sizes['all'])}"
            for name, size in sorted(parts.items(), key=lambda item: natural(item[0]))
        ]
        text += f"; by {kind}: {', '.join(shares)}"
    elsewhere = len(blocks["nats"]) - len(slices["all"])
    return [("Measured on", f"{text}{f'; {elsewhere} blocks from elsewhere' if elsewhere else ''}")]
