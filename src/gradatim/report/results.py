"""The sections that answer: key tables, curves, differences, slices, tasks, laws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from gradatim.law.comparison import ALL_RUNGS, Comparison, Difference
from gradatim.law.interval import Estimate
from gradatim.report import plots
from gradatim.report.axes import Arms, Axis
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
from gradatim.report.wording import (
    MISSING,
    interval,
    number,
    percent,
    signed,
)

COMPUTE = Axis("flops", "compute spent, FLOPs", ".2~s", is_log=True)
PROGRESS = Axis("progress", "progress (share of the compute spent)", "%", domain=(0.0, 1.0))
_FINE_INTERVAL = 0.0025  # half-width in bits per byte; as in the words of the comparison
_SETTLED_PROGRESS = 0.2  # before it, differences are those of the first steps, and large
_SLICE_TITLES = {
    "band": ("By difficulty band", "difficulty band, 1 is easiest"),
    "level": ("By level", "level, from easy to hard"),
    "source": ("By source", "source"),
    "split": ("Out of distribution", ""),
}
_MEASURES = {"accuracy": "accuracy", "probability": "probability of the right answer"}


def decimals_of(comparison: Comparison) -> int:
    """Decimals for bits per byte on this page: four where an interval is fine enough."""
    halves = [
        (found.overall.high - found.overall.low) / 2
        for found in comparison.differences
        if (found.measure, found.name) == (comparison.measure, comparison.name)
        and found.reference == comparison.baseline
        and found.overall is not None
        and found.overall.low is not None
        and found.overall.high is not None
    ]
    return 4 if halves and min(halves) < _FINE_INTERVAL else 3


def key_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section:
    """Every arm at every rung against the baseline, and every method against its controls."""
    decimals = decimals_of(comparison)
    parts: list[Part] = []
    headline = tables.summary.filter(
        reference=comparison.baseline, measure=comparison.measure, name=comparison.name
    )
    if not headline.is_empty():
        spec = plots.forest(headline, rungs=[*comparison.rungs, ALL_RUNGS], arms=arms)
        label = "Final difference to the baseline with its 95 % interval, by rung and arm"
        parts.append(Part("figures", [Figure("plot-forest", "", label, spec, is_wide=True)]))
    parts.append(Part("table", _key_table(comparison, decimals)))
    parts.append(
        Part(
            "caption",
            f"Difference: arm minus {comparison.baseline}, in bits per byte of held-out text at "
            "equal compute, paired by seed; below zero is better. Compute ratio: compute the arm "
            f"needs, over what {comparison.baseline} needs, to reach the same loss; below 1 is "
            "cheaper. Brackets are 95 % intervals.",
            csv=["summary.csv", "ratios.csv"],
        )
    )
    rows = list(_control_rows(comparison, decimals))
    if rows:
        columns = [
            *text_columns("Method", "against its control"),
            *number_columns("Difference", "95 % interval"),
            *text_columns("Verdict"),
            *number_columns("Compute ratio", "95 % interval"),
        ]
        parts += [
            Part("heading", "Methods against their own controls"),
            Part(
                "prose",
                "A control has a method's cost and schedule but not its idea. Only what beats its "
                "controls can be credited to the idea. Mean over all rungs.",
            ),
            Part("table", Table("Methods against their own controls", columns, [Group("", rows)])),
        ]
    return Section("results", "Results", "Every arm at every rung", parts)


def _key_table(comparison: Comparison, decimals: int) -> Table:
    columns = [
        *text_columns("Arm"),
        *number_columns("Bits per byte", "Difference", "95 % interval"),
        *text_columns("Verdict"),
        *number_columns("Compute ratio", "95 % interval"),
    ]
    groups = []
    names = [arm.name for arm in comparison.arms]
    names.sort(key=lambda name: name != comparison.baseline)
    for rung in comparison.rungs:
        rows = [_key_row(comparison, name, rung, decimals) for name in names]
        groups.append(Group(f"Rung {rung}", [row for row in rows if row is not None]))
    overall = [
        Row([Cell(name, "arm"), Cell(""), *cells])
        for name in names
        if (found := comparison.difference(name, comparison.baseline)) is not None
        for cells in [_overall_cells(comparison, found, decimals)]
    ]
    means = [Group("Mean over rungs", overall)] if overall else []
    return Table("Every arm at every rung", columns, [*groups, *means])


def _key_row(comparison: Comparison, arm: str, rung: str, decimals: int) -> Row | None:
    measured = (comparison.measure, comparison.name)
    final = next(
        (
            score
            for score in comparison.finals
            if (score.arm, score.rung, score.measure, score.name) == (arm, rung, *measured)
        ),
        None,
    )
    if final is None:
        return None
    cells = [Cell(arm, "arm"), Cell(number(final.mean, decimals))]
    found = comparison.difference(arm, comparison.baseline)
    part = next((r for r in found.rungs if r.rung == rung), None) if found else None
    if part is None:
        return Row([*cells, *[Cell(MISSING if arm != comparison.baseline else "")] * 5])
    ratio = comparison.ratio(arm, comparison.baseline)
    at_rung = next((r for r in ratio.rungs if r.rung == rung), None) if ratio else None
    return Row(
        [
            *cells,
            *_difference_cells(part.estimate, decimals),
            _verdict_cell(part.verdict),
            *_ratio_cells(at_rung),
        ]
    )


def _control_rows(comparison: Comparison, decimals: int) -> Iterator[Row]:
    for method in comparison.methods():
        for control in comparison.controls(method):
            found = comparison.difference(method, control.name)
            if found is not None:
                cells = _overall_cells(comparison, found, decimals)
                yield Row([Cell(method, "arm"), Cell(control.name, "arm"), *cells])


def _overall_cells(comparison: Comparison, found: Difference, decimals: int) -> list[Cell]:
    return [
        *_difference_cells(found.overall, decimals),
        _verdict_cell(found.verdict),
        *_ratio_cells(comparison.ratio(found.arm, found.reference)),
    ]


def _difference_cells(estimate: Estimate | None, decimals: int) -> list[Cell]:
    if estimate is None:
        return [Cell(MISSING), Cell(MISSING)]
    ends = interval(estimate.low, estimate.high, decimals, sign=True)
    return [Cell(signed(estimate.mean, decimals)), Cell(ends)]


def _ratio_cells(ratio: object) -> list[Cell]:
    value, low, high = (getattr(ratio, name, None) for name in ("ratio", "low", "high"))
    return [Cell(number(value, 2)), Cell(interval(low, high, 2))]


def _verdict_cell(verdict: str) -> Cell:
    return Cell(verdict, "resolved" if verdict in ("better", "worse") else "unresolved")


def curves_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section:
    """Held-out loss against compute, rung by rung."""
    y = Axis("bits_per_byte", "bits per byte of held-out text", "~g", is_log=True)
    shown = tables.curves.filter(pl.col("flops") > 0)
    figures = [
        Figure(
            f"plot-curves-{place}",
            f"Rung {rung}",
            f"Learning curves at rung {rung}: bits per byte against compute, by arm and seed",
            plots.lines(part, x=COMPUTE, y=y, arms=arms),
        )
        for place, rung in enumerate(comparison.rungs)
        if not (part := shown.filter(pl.col("rung") == rung)).is_empty()
    ]
    caption = (
        "Each seed is a thin line, the mean over seeds a thick one. Both axes are logarithmic; "
        "lower is better. Point at a mark for its numbers."
    )
    parts = [Part("figures", figures), Part("caption", caption, csv=["curves.csv"])]
    return Section("curves", "Curves", "Learning curves", parts)


def differences_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section | None:
    """Paired difference to the baseline over progress."""
    if tables.difference_means.is_empty():
        return None
    title = f"bits per byte, difference to {comparison.baseline}"
    domain = _difference_domain(tables.difference_means)
    y = Axis("difference", title, "+~g", domain=domain)
    figures = [
        Figure(
            f"plot-differences-{place}",
            f"Rung {rung}",
            f"Difference to {comparison.baseline} over progress at rung {rung}, by arm",
            plots.differences(
                tables.differences.filter(pl.col("rung") == rung),
                tables.difference_means.filter(pl.col("rung") == rung),
                x=PROGRESS,
                y=y,
                arms=arms,
            ),
        )
        for place, rung in enumerate(comparison.rungs)
        if rung in set(tables.differences["rung"])
    ]
    caption = (
        "Below zero, the arm is ahead at the same compute. Only the right end is a fair comparison "
        "of finished networks: before it, the learning rate has not come down, and a curriculum "
        "may not yet have shown everything. Bands are 95 % intervals, those of controls when "
        "one is looked at alone; what leaves the frame is in the CSV."
    )
    csv = ["differences.csv", "difference_means.csv"]
    parts = [Part("figures", figures), Part("caption", caption, csv=csv)]
    return Section(
        "differences", "Differences", f"Difference to {comparison.baseline} over training", parts
    )


def _difference_domain(means: pl.DataFrame) -> tuple[float, float]:
    """Range of the settled differences and of their intervals, as far as these stay readable."""
    settled = means.filter(pl.col("progress") >= _SETTLED_PROGRESS)
    frame = settled if not settled.is_empty() else means
    values = [0.0, *frame["difference"]]
    spread = max(max(values) - min(values), 1e-3)
    low = min([*values, *frame["low"].drop_nulls()])
    high = max([*values, *frame["high"].drop_nulls()])
    return (
        max(low, min(values) - spread) - 0.08 * spread,
        min(high, max(values) + spread) + 0.08 * spread,
    )


def slices_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section | None:
    """Where the difference lies: bands, levels, sources, out-of-distribution text."""
    parts: list[Part] = []
    for kind, (heading, x_title) in _SLICE_TITLES.items():
        found = tables.slices.filter(pl.col("kind") == kind)
        if kind == "split":
            found = found.with_columns(pl.col("slice").str.replace_all("_", " "))
        if found.is_empty():
            continue
        ends = [0.0, *found["difference"], *found["low"].drop_nulls(), *found["high"].drop_nulls()]
        margin = 0.06 * max(max(ends) - min(ends), 1e-3)
        domain = (min(ends) - margin, max(ends) + margin)
        y = Axis("difference", "difference in bits per byte", "+~g", domain=domain)
        figures = [
            Figure(
                f"plot-{kind}-{place}",
                f"Rung {rung}",
                f"Final difference to {comparison.baseline} at rung {rung}, {heading.lower()}",
                plots.dots(part, x_title=x_title, y=y, arms=arms, reference="zero"),
            )
            for place, rung in enumerate(comparison.rungs)
            if not (part := found.filter(pl.col("rung") == rung)).is_empty()
        ]
        parts += [Part("heading", heading), Part("figures", figures)]
    if not parts:
        return None
    caption = (
        f"Final bits per byte, arm minus {comparison.baseline}: a dot and its 95 % interval, below "
        "zero is better. These intervals are not corrected for how many slices are looked at: "
        "with twenty, expect one to miss zero by chance."
    )
    parts.append(Part("caption", caption, csv=["slices.csv"]))
    return Section("slices", "Where", "Where the difference lies", parts)


def tasks_section(comparison: Comparison, tables: Tables, arms: Arms) -> Section | None:
    """Accuracy and probability of the right answer, beside chance, at the largest rung."""
    if tables.tasks.is_empty():
        return None
    largest = next(r for r in reversed(comparison.rungs) if r in set(tables.tasks["rung"]))
    shown = tables.tasks.filter(pl.col("rung") == largest)
    figures = []
    groups = shown.group_by(["split", "measure"], maintain_order=True)
    for place, ((split, measure), part) in enumerate(groups):
        words, split_words = _MEASURES.get(str(measure), str(measure)), _words(str(split))
        y = Axis("value", words, "%", domain=(0.0, 1.0))
        spec = plots.dots(part, x_title="level", y=y, arms=arms, reference="chance")
        label = f"{words} on {split_words} tasks by level at rung {largest}, with chance"
        title = f"{words[0].upper()}{words[1:]}, {split_words}"
        figures.append(Figure(f"plot-tasks-{place}", title, label, spec))
    caption = (
        f"Rung {largest}, at the end of training. The grey line is chance: what guessing would "
        "score. The probability of the right answer among the choices moves before accuracy does. "
        "Intervals speak about seeds, not about which items were asked."
    )
    parts = [
        Part("figures", figures),
        Part("caption", caption, csv=["tasks.csv"]),
        Part("folded table", _tasks_table(comparison, tables.tasks, arms)),
    ]
    return Section("tasks", "Tasks", "Tasks with known answers", parts)


def _tasks_table(comparison: Comparison, frame: pl.DataFrame, arms: Arms) -> Table:
    """Accuracy and probability of every arm at every rung, one column an arm."""
    names = [name for name in arms.names if name in set(frame["arm"])]
    values = {
        (row["rung"], row["split"], row["slice"], row["measure"], row["arm"]): row["value"]
        for row in frame.to_dicts()
    }
    chances = {(row["split"], row["slice"]): row["chance"] for row in frame.to_dicts()}
    groups: list[Group] = []
    for rung in comparison.rungs:
        for measure in _MEASURES:
            rows = []
            for (split, level), chance in chances.items():
                found = [values.get((rung, split, level, measure, name)) for name in names]
                if any(value is not None for value in found):
                    labels = [_words(split), level]
                    shares = [Cell(percent(value)) for value in [chance, *found]]
                    rows.append(Row([*map(Cell, labels), *shares]))
            groups.append(Group(f"Rung {rung}, {_MEASURES[measure]}", rows))
    columns = [*text_columns("Split", "Level"), *number_columns("chance")]
    return Table("All rungs as a table", [*columns, *number_columns(*names)], groups)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("held out", "held-out")


def result_sections(comparison: Comparison, tables: Tables, arms: Arms) -> Sequence[Section]:
    """The sections of this module that have something to show, in order."""
    builders = (
        key_section,
        curves_section,
        differences_section,
        slices_section,
        tasks_section,
    )
    found = (build(comparison, tables, arms) for build in builders)
    return [section for section in found if section is not None]
