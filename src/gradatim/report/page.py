"""Records, comparison and laws to one HTML page that works offline, and its numbers as CSV.

The page is one file: style, data, plots and the libraries that draw them (Vega, from vl-convert)
are inside. Every text is escaped; besides, its content security policy allows no request to
anywhere and runs only the scripts whose hashes it names, so that text from a corpus or a model
could not run even if the escaping failed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import polars as pl
import vl_convert
from markupsafe import Markup

from gradatim import __version__, files
from gradatim.errors import RecordError
from gradatim.law.comparison import Comparison
from gradatim.law.fit import LawFit
from gradatim.record.read import Record
from gradatim.report.axes import Arms
from gradatim.report.html import (
    MAX_PAGE_BYTES,
    content_policy,
    resource,
    template,
    theme_rules,
)
from gradatim.report.laws import laws_section
from gradatim.report.method import answer, method_section, reproduce_section, samples_section
from gradatim.report.palette import THEMES, ArmStyle, arm_styles, slice_colours
from gradatim.report.parts import Section, script_json
from gradatim.report.proofs import feeding_section, ledger_section
from gradatim.report.results import result_sections
from gradatim.report.tables import Tables

__all__ = ["MAX_PAGE_BYTES", "report"]


def report(
    records: Sequence[Record],
    path: Path | str,
    *,
    comparison: Comparison,
    laws: Sequence[LawFit],
    title: str | None = None,
    study_yaml: str | None = None,
    feeding: pl.DataFrame | None = None,
    missing: Sequence[str] = (),
) -> Path:
    """Write the page to `path`, and its numbers to the folder `<stem>-data` beside it.

    Args:
        records: the runs of one study.
        path: the HTML file; its folder is made.
        comparison: of these records.
        laws: fitted to these records; may be empty.
        title: the study's question or name.
        study_yaml: the study file, shown for reproduction.
        feeding: columns arm, rung, progress, label, share: what was drawn when.
        missing: one sentence for every run that failed or is not finished.

    Returns:
        The path written; the same arguments give the same bytes.

    Raises:
        RecordError: there are no records.
    """
    path = Path(path)
    if not records:
        raise RecordError("no runs to report on", where=str(path), expected="at least one record")
    tables = Tables.of(records, comparison, laws, feeding)
    data_folder = path.with_name(f"{path.stem}-data")
    tables.write(data_folder)
    arms = Arms(arm_styles(comparison))
    sections = [
        *result_sections(comparison, tables, arms),
        laws_section(laws, tables, arms),
        feeding_section(records, comparison, tables, arms),
        ledger_section(comparison, tables, arms),
        samples_section(records, comparison, arms),
        method_section(comparison),
        reproduce_section(records, comparison, study_yaml),
    ]
    num_slices = tables.feeding["label"].n_unique()
    html = _render(
        arms.styles,
        num_slices,
        title=title or "A study of curricula at equal compute",
        answer=answer(records, comparison, tables, missing),
        contents=[Section("answer", "Answer", "", []), *filter(None, sections)],
        data_folder=data_folder.name,
        data_address=quote(data_folder.name),
    )
    files.write_whole(path, html)
    return path


def _render(styles: Sequence[ArmStyle], num_slices: int, **content: object) -> str:
    bundle, script = _bundle(), resource("page.js")
    page_data = {
        "arms": {theme: [style.colours[theme] for style in styles] for theme in THEMES},
        "slices": slice_colours(num_slices),
    }
    return template("report.html").render(
        styles={style.name: _swatch(place, style) for place, style in enumerate(styles)},
        style=Markup(resource("style.css") + _colour_rules(page_data)),
        bundle=Markup(bundle),
        script=Markup(script),
        page_data=Markup(script_json(page_data)),
        content_policy=content_policy(bundle, script),
        version=__version__,
        **content,
    )


def _swatch(place: int, style: ArmStyle) -> dict[str, object]:
    dash = "none" if style.dash[1] == 0 else " ".join(f"{length:g}" for length in style.dash)
    return {"name": style.name, "place": place, "dash": dash, "mark": style.mark}


def _colour_rules(page_data: dict[str, dict[str, list[str]]]) -> str:
    """The colours of arms and slices as CSS variables, by theme."""

    def rules(theme: str) -> str:
        names = (("arm", "arms"), ("slice", "slices"))
        return "".join(
            f"--{name}-{place}:{colour};"
            for name, kind in names
            for place, colour in enumerate(page_data[kind][theme])
        )

    return theme_rules(rules("light"), rules("dark"))


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; made without a network, in about a second."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert not any(mark in bundle for mark in ("</script", "<!--", "\r")), "not safe to inline"
    return bundle
