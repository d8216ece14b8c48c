"""The sections that answer: key tables, curves, differences, slices, tasks, laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from gradatim.law.comparison import ALL_RUNGS, Comparison, Difference
from gradatim.law.fit import LawFit, exponent_interval
from gradatim.law.phrases import decimals_of, listing
from gradatim.law.slices import SLICE_KINDS
from gradatim.report.figures import Axis, Spec, intervals, trends
from gradatim.report.palette import Arms
from gradatim.report.parts import Figure, Rows, Table, Tables, columns
from gradatim.report.tables import EXTRAPOLATION, means, where
from gradatim.report.wording import MISSING, capitalised, interval, number, percent, signed

Compared = Callable[[str, str, str], list[str]]

COMPUTE = Axis("flops", "compute spent, FLOPs", ".2~s", is_log=True)
PROGRESS = Axis("progress", "progress (share of the compute spent)", "%", domain=(0.0, 1.0))
_SETTLED_PROGRESS = 0.2  # before it, differences are those of the first steps, and large
_SLICE_TITLES = {
    "band": ("By difficulty band", "difficulty band, 1 is easiest"),
    "level": ("By level", "level, from easy to hard"),
    "source": ("By source", "source"),
    "split": ("Out of distribution", ""),
}
_MEASURES = {"accuracy": "accuracy", "probability": "probability of the right answer"}
_COMPARED = [
    *columns("number", "Difference", "95 % interval"),
    *columns("verdict", "Verdict"),
]
_RATIO = columns("number", "Compute ratio", "95 % interval")
_LAWS = {
    "parameters": ("L(N)", "Loss against size", "parameters N"),
    "compute": ("L(C)", "Loss against compute", "compute C, FLOPs"),
}


def page_decimals(comparison: Comparison) -> int:
    """Decimals for bits per byte on this page: four where an interval is fine enough."""
    wanted = (comparison.measure, comparison.name, comparison.baseline)
    found = [d for d in comparison.differences if (d.measure, d.name, d.reference) == wanted]
    return min(4, max(map(decimals_of, found), default=3))


def key_results(comparison: Comparison, tables: Tables, arms: Arms) -> dict[str, Any]:
    """Every arm at every rung against the baseline, and every method against its controls."""
    headline = where(tables["summary"], measure=comparison.measure, name=comparison.name)
    compared = _compared(comparison, headline)
    against_controls = [
        [method, control.name, *compared(method, control.name, ALL_RUNGS)]
        for method in comparison.methods()
        for control in comparison.controls(method)
        if comparison.difference(method, control.name)
    ]
    pair = columns("arm", "Method", "against its control")
    title = "Methods against their own controls"
    forest = None
    if shown := where(headline, reference=comparison.baseline):
        value = Axis("difference", "difference in bits per byte (left: better)", "+~g")
        order = [*comparison.rungs, ALL_RUNGS]
        spec = intervals(shown, by="rung", value=value, arms=arms, order=order, is_flat=True)
        label = "Final difference to the baseline with its 95 % interval, by rung and arm"
        forest = Figure("plot-forest", "", label, spec, is_wide=True)
    return {
        "forest": forest,
        "arms": _key_table(comparison, compared, tables["ratios"]),
        "has_ratios": bool(tables["ratios"]),
        "controls": Table(title, [*pair, *_COMPARED], {"": against_controls}),
    }


def _compared(comparison: Comparison, differences: Rows) -> Compared:
    """What gives the cells under `_COMPARED` for an arm, its reference and a rung."""
    decimals, place = page_decimals(comparison), itemgetter("arm", "reference", "rung")
    difference_at = {place(row): row for row in differences}

    def cells(*where: str) -> list[str]:
        found = difference_at.get(where, {})
        return [
            signed(found.get("difference"), decimals),
            interval(found.get("low"), found.get("high"), decimals, sign=True),
            found.get("verdict", "cannot be judged"),
        ]

    return cells


def _ratio_cells(ratio: dict[str, Any] | None) -> list[str]:
    """The compute ratio; an end beyond the budgets that were run is left open."""
    if ratio is None or ratio["low"] is ratio["high"] is None:
        return [MISSING, MISSING]
    low, high = (number(ratio[end], 2) if ratio[end] else "…" for end in ("low", "high"))
    return [number(ratio["ratio"], 2), f"[{low}, {high}]"]


def _key_table(comparison: Comparison, compared: Compared, ratios: Rows) -> Table:
    """Arms against the baseline, rung by rung, then over all."""
    ratio_at = {(row["arm"], row["rung"]): row for row in ratios}

    def cells(arm: str, rung: str) -> list[str]:
        beside = _ratio_cells(ratio_at.get((arm, rung))) if ratios else []
        return [*compared(arm, baseline, rung), *beside]

    heads = [*_COMPARED, *(_RATIO if ratios else [])]
    baseline, decimals = comparison.baseline, page_decimals(comparison)
    finals = {
        (final.arm, final.rung): number(final.mean, decimals)
        for final in comparison.finals
        if (final.measure, final.name) == (comparison.measure, comparison.name)
    }
    others = [arm.name for arm in comparison.arms if arm.name != baseline]
    groups = {}
    for rung in comparison.rungs:
        first = [baseline, finals.get((baseline, rung), MISSING), *[""] * len(heads)]
        groups[f"Rung {rung}"] = [first] + [
            [arm, finals[arm, rung], *cells(arm, rung)] for arm in others if (arm, rung) in finals
        ]
    if over_all := [arm for arm in others if comparison.difference(arm, baseline)]:
        groups["Mean over rungs"] = [[arm, "", *cells(arm, ALL_RUNGS)] for arm in over_all]
    first_heads = [*columns("arm", "Arm"), *columns("number", "Bits per byte")]
    return Table("Every arm at every rung", [*first_heads, *heads], groups)


def _rung_figures(
    rungs: Sequence[str], rows: Rows, name: str, label: str, draw: Callable[[Rows], Spec]
) -> list[Figure]:
    """One figure for every rung that has rows."""
    return [
        Figure(f"plot-{name}-{place}", f"Rung {rung}", f"{label}, at rung {rung}", draw(shown))
        for place, rung in enumerate(rungs)
        if (shown := where(rows, rung=rung))
    ]


def curve_figures(comparison: Comparison, tables: Tables, arms: Arms) -> list[Figure]:
    """Held-out loss against compute, rung by rung."""
    y = Axis("bits_per_byte", "bits per byte of held-out text", "~g", is_log=True)

    def draw(shown: Rows) -> Spec:
        lines = means(shown, by=["arm", "point"], of=[COMPUTE.column, y.column])
        return trends(lines, x=COMPUTE, y=y, arms=arms, seeds=shown)

    trained = [row for row in tables["curves"] if row["flops"] > 0]
    label = "Learning curves: bits per byte against compute, by arm and seed"
    return _rung_figures(comparison.rungs, trained, "curves", label, draw)


def difference_figures(comparison: Comparison, tables: Tables, arms: Arms) -> list[Figure]:
    """Paired difference to the baseline over progress."""
    lines = tables["difference_means"]
    title = f"bits per byte, difference to {comparison.baseline}"
    y = Axis("difference", title, "+~g", domain=_difference_domain(lines))

    def draw(shown: Rows) -> Spec:
        seeds = where(tables["differences"], rung=shown[0]["rung"])
        return trends(shown, x=PROGRESS, y=y, arms=arms, seeds=seeds)

    label = f"Difference to {comparison.baseline} over progress, by arm"
    return _rung_figures(comparison.rungs, lines, "differences", label, draw)


def _difference_domain(lines: Rows) -> tuple[float, float]:
    """Range of the settled differences and of their intervals, as far as these stay readable."""
    settled = [row for row in lines if row["progress"] >= _SETTLED_PROGRESS] or lines
    values = [0.0, *(row["difference"] for row in settled)]
    ends = [row[end] for row in settled for end in ("low", "high") if row[end] is not None]
    spread = max(max(values) - min(values), 1e-3)
    return (
        max(min([*values, *ends]), min(values) - spread) - 0.08 * spread,
        min(max([*values, *ends]), max(values) + spread) + 0.08 * spread,
    )


def slice_figures(comparison: Comparison, tables: Tables, arms: Arms) -> dict[str, list[Figure]]:
    """Where the difference lies, by heading: bands, levels, sources, out-of-distribution text."""
    figures = {}
    for kind, (heading, title) in _SLICE_TITLES.items():
        found = where(tables["slices"], kind=kind)
        if not found:
            continue
        if kind == "split":
            found = [row | {"slice": _words(row["slice"])} for row in found]
        ends = [row[name] for row in found for name in ("difference", "low", "high")]
        known = [0.0, *(end for end in ends if end is not None)]
        margin = 0.06 * max(max(known) - min(known), 1e-3)
        domain = (min(known) - margin, max(known) + margin)
        value = Axis("difference", "difference in bits per byte", "+~g", domain=domain)
        draw = partial(intervals, by="slice", value=value, arms=arms, title=title)
        label = f"Final difference to {comparison.baseline} {heading.lower()}"
        figures[heading] = _rung_figures(comparison.rungs, found, kind, label, draw)
    return figures


def fed_table(comparison: Comparison) -> Table:
    """Differences by slice beside what was read last, of every method."""
    groups = {}
    for method in comparison.methods():
        kind = next((k for k in SLICE_KINDS if comparison.slices(method, k)), None)
        found = [d for d in comparison.slices(method, kind or "") if d.overall is not None]
        if any(comparison.read_last(method, d.name) is not None for d in found):
            groups[method] = [
                [
                    d.name.replace("/", " "),
                    signed(d.overall.mean if d.overall else None),
                    interval(*_ends(d), sign=True),
                    d.verdict,
                    *(
                        percent(comparison.read_last(arm, d.name))
                        for arm in (method, comparison.baseline)
                    ),
                ]
                for d in found
            ]
    heads = [
        *columns("text", "Slice"),
        *columns("number", "Difference", "95 % interval"),
        *columns("verdict", "Verdict"),
        *columns("number", "Read in the last quarter", f"by {comparison.baseline}"),
    ]
    return Table("Gained where it read last?", heads, groups)


def _ends(difference: Difference) -> tuple[float | None, float | None]:
    overall = difference.overall
    return (overall.low, overall.high) if overall else (None, None)


def task_results(comparison: Comparison, tables: Tables, arms: Arms) -> dict[str, Any] | None:
    """Accuracy and probability of the right answer, beside chance, at the largest rung."""
    found = tables["tasks"]
    if not found:
        return None
    largest = next(rung for rung in reversed(comparison.rungs) if where(found, rung=rung))
    at_largest = where(found, rung=largest)
    figures = []
    groups = dict.fromkeys((row["split"], row["measure"]) for row in at_largest)
    for place, (split, measure) in enumerate(groups):
        words, split_words = _MEASURES[measure], _words(split)
        value = Axis("value", words, "%", domain=(0.0, 1.0))
        shown = where(at_largest, split=split, measure=measure)
        spec = intervals(shown, by="slice", value=value, arms=arms, title="level")
        label = f"{words} on {split_words} tasks by level at rung {largest}, with chance"
        title = f"{capitalised(words)}, {split_words}"
        figures.append(Figure(f"plot-tasks-{place}", title, label, spec))
    return {"rung": largest, "figures": figures, "table": _tasks_table(comparison, found, arms)}


def _tasks_table(comparison: Comparison, found: Rows, arms: Arms) -> Table:
    """Accuracy and probability of every arm at every rung, one column an arm."""
    names = [name for name in arms.names if where(found, arm=name)]
    groups = {}
    for rung in comparison.rungs:
        for measure, words in _MEASURES.items():
            rows: dict[tuple[str, str], dict[str, float]] = {}
            for row in where(found, rung=rung, measure=measure):
                values = rows.setdefault((row["split"], row["slice"]), {"": row["chance"]})
                values[row["arm"]] = row["value"]
            groups[f"Rung {rung}, {words}"] = [
                [_words(split), level, *(percent(values.get(name)) for name in ("", *names))]
                for (split, level), values in rows.items()
            ]
    heads = [*columns("text", "Split", "Level"), *columns("number", "chance", *names)]
    return Table("All rungs as a table", heads, groups)


def law_results(laws: Sequence[LawFit], tables: Tables, arms: Arms) -> dict[str, Any] | None:
    """Fitted power laws over the data they rest on, with what is weak about them."""
    if not laws:
        return None
    y = Axis("loss", "final bits per byte", "~g", is_log=True)
    figures = []
    for variable, (symbol, words, x_title) in _LAWS.items():
        if points := where(tables["law_points"], variable=variable):
            x = Axis("x", x_title, ".2~s", is_log=True)
            lines = where(tables["law_curves"], variable=variable)
            spec = trends(lines, x=x, y=y, arms=arms, points=points, height=300)
            title = f"{words}, {symbol}"
            figures.append(Figure(f"plot-law-{variable}", title, f"{title}: data and fits", spec))
    ordered = sorted(laws, key=lambda f: (f.variable != "parameters", arms.names.index(f.arm)))
    numbers = ("Offset E", "Coefficient A", "Exponent α", "95 % interval of α", "Scatter (log)")
    heads = [
        *columns("arm", "Arm"),
        *columns("text", "Law"),
        *columns("number", *numbers, "Points"),
    ]
    rows = [_law_row(fit) for fit in ordered if fit.law is not None]
    return {
        "figures": figures,
        "extrapolation": EXTRAPOLATION,
        "conventions": list(dict.fromkeys(fit.convention for fit in laws)),
        "table": Table("Fitted laws", heads, {"": rows}),
        "warnings": law_warnings(ordered),
    }


def _law_row(fit: LawFit) -> list[str]:
    assert fit.law is not None
    return [
        fit.arm,
        _LAWS[fit.variable][0],
        number(fit.law.offset) if fit.law.has_offset else "0 (not fitted)",
        f"{fit.law.coefficient:.3g}",
        number(fit.law.exponent),
        exponent_interval(fit.law) or MISSING,
        f"{fit.law.rmse_log:.2g}",
        str(fit.law.num_points),
    ]


def law_warnings(laws: Sequence[LawFit]) -> list[str]:
    """Every warning once with the arms it is about; where only its numbers differ, without them."""
    texts: dict[str, dict[str, str]] = {}
    for fit in laws:
        for text in fit.law.warnings if fit.law else [fit.reason or "no law could be fitted"]:
            warning = f"{_LAWS[fit.variable][0]}: {text}"
            lead = ": ".join(warning.split(": ")[:2])
            texts.setdefault(lead, {})[fit.arm] = warning
    num_arms = len({fit.arm for fit in laws})
    warnings = []
    for lead, by_arm in texts.items():
        wholes = set(by_arm.values())
        whom = "all arms" if len(by_arm) == num_arms else listing([f"`{arm}`" for arm in by_arm])
        warnings.append(f"{wholes.pop() if len(wholes) == 1 else lead} ({whom}).")
    return warnings


def _words(name: str) -> str:
    return name.replace("_", " ").replace("held out", "held-out")
