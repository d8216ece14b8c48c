"""The section on laws: fits over the data they rest on, and what is weak about them."""

from __future__ import annotations

from collections.abc import Sequence

from gradatim.law.fit import LawFit
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
from gradatim.report.tables import EXTRAPOLATION, Tables
from gradatim.report.wording import interval, listing, number

_VARIABLES = {
    "parameters": Axis("x", "parameters N", ".2~s", is_log=True),
    "compute": Axis("x", "compute C, FLOPs", ".2~s", is_log=True),
}
_LAW_TITLES = {"parameters": "Loss against size, L(N)", "compute": "Loss against compute, L(C)"}


def laws_section(laws: Sequence[LawFit], tables: Tables, arms: Arms) -> Section | None:
    """Fitted power laws over the data they rest on, with what is weak about them."""
    if not laws:
        return None
    ordered = sorted(laws, key=lambda fit: (fit.variable != "parameters", _place(fit, arms)))
    figures = []
    for variable, axis in _VARIABLES.items():
        points = tables.law_points.filter(variable=variable)
        if points.is_empty():
            continue
        y = Axis("loss", "final bits per byte", "~g", is_log=True)
        lines = tables.law_curves.filter(variable=variable)
        spec = plots.law(points, lines, x=axis, y=y, arms=arms)
        title = _LAW_TITLES[variable]
        figures.append(Figure(f"plot-law-{variable}", title, f"{title}: data and fits", spec))
    parts = [Part("figures", figures)] if figures else []
    conventions = list(dict.fromkeys(fit.convention for fit in laws))
    caption = (
        "Points are finished runs; lines are L = E + A / x^α, fitted to them; bands are 95 % "
        f"bootstrap intervals of the law. Lines run on to {EXTRAPOLATION:g} times the largest "
        f"value seen, where nothing was measured. {'. '.join(conventions)}."
    )
    parts.append(Part("caption", caption, csv=["law_points.csv", "law_curves.csv"]))
    if rows := [_law_row(fit) for fit in ordered if fit.law is not None]:
        columns = [
            *text_columns("Arm", "Law"),
            *number_columns("Offset E", "Coefficient A", "Exponent α", "95 % interval of α"),
            *number_columns("Scatter (log)", "Points"),
        ]
        parts.append(Part("table", Table("Fitted laws", columns, [Group("", rows)])))
    if warnings := law_warnings(ordered):
        parts.append(Part("notice", warnings))
    return Section("laws", "Laws", "Laws over sizes", parts)


def _place(fit: LawFit, arms: Arms) -> int:
    return arms.names.index(fit.arm)


def _law_row(fit: LawFit) -> Row:
    assert fit.law is not None
    low, high = fit.law.intervals.get("exponent", (None, None))
    cells = [
        Cell("L(N)" if fit.variable == "parameters" else "L(C)"),
        Cell(number(fit.law.offset) if fit.law.has_offset else "0 (not fitted)"),
        Cell(f"{fit.law.coefficient:.3g}"),
        Cell(number(fit.law.exponent)),
        Cell(interval(low, high)),
        Cell(f"{fit.law.rmse_log:.2g}"),
        Cell(str(fit.law.num_points)),
    ]
    return Row([Cell(fit.arm, "arm"), *cells])


def law_warnings(laws: Sequence[LawFit]) -> list[str]:
    """Every warning once with the arms it is about; where only its numbers differ, without them."""
    texts: dict[str, dict[str, str]] = {}
    for fit in laws:
        law = "L(N)" if fit.variable == "parameters" else "L(C)"
        for text in fit.law.warnings if fit.law else [fit.reason or "no law could be fitted"]:
            lead = text.partition(": ")[0]
            texts.setdefault(f"{law}: {lead}", {})[fit.arm] = f"{law}: {text}"
    num_arms = len({fit.arm for fit in laws})
    warnings = []
    for lead, by_arm in texts.items():
        wholes = set(by_arm.values())
        whom = "all arms" if len(by_arm) == num_arms else listing([f"`{arm}`" for arm in by_arm])
        warnings.append(f"{wholes.pop() if len(wholes) == 1 else lead} ({whom}).")
    return warnings
