"""Records, comparison and laws to one HTML page that works offline, and its numbers as CSV.

The page is one file: style, data, plots and the libraries that draw them (Vega, from vl-convert)
are inside. Every text is escaped; besides, its content security policy allows no request to
anywhere and runs only the scripts whose hashes it names, so that text from a corpus or a model
could not run even if the escaping failed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2
import polars as pl
import vl_convert
from markupsafe import Markup, escape

from gradatim import __version__
from gradatim.errors import RecordError
from gradatim.law.comparison import Comparison
from gradatim.law.fit import LawFit
from gradatim.record import Record
from gradatim.report.axes import Arms
from gradatim.report.laws import laws_section
from gradatim.report.method import answer, method_section, reproduce_section, samples_section
from gradatim.report.palette import THEMES, ArmStyle, arm_styles, slice_colours
from gradatim.report.parts import Section, script_json
from gradatim.report.proofs import feeding_section, ledger_section
from gradatim.report.results import result_sections
from gradatim.report.tables import Tables

MAX_PAGE_BYTES = 5_000_000
_HERE = Path(__file__).parent


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
    _write_whole(path, html)
    return path


def _render(styles: Sequence[ArmStyle], num_slices: int, **content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["marked"] = _marked
    bundle, script = _bundle(), _resource("page.js")
    page_data = {
        "arms": {theme: [style.colours[theme] for style in styles] for theme in THEMES},
        "slices": slice_colours(num_slices),
    }
    return environment.get_template("report.html").render(
        styles={style.name: _swatch(place, style) for place, style in enumerate(styles)},
        style=Markup(_resource("style.css") + _colour_rules(page_data)),
        bundle=Markup(bundle),
        script=Markup(script),
        page_data=Markup(script_json(page_data)),
        content_policy=_content_policy(bundle, script),
        version=__version__,
        **content,
    )


def _content_policy(*scripts: str) -> str:
    """No requests at all; only these scripts; styles, since Vega sets them on its elements."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _marked(text: str) -> Markup:
    """Escaped text in which `names between backticks` stand out."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    marked = (
        Markup('<b class="name">{}</b>').format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )
    return Markup("").join(marked)


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

    dark = f"@media (prefers-color-scheme: dark) {{ :root {{{rules('dark')}}} }}"
    return f"\n:root {{{rules('light')}}}\n{dark}\n"


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; made without a network, in about a second."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert not any(mark in bundle for mark in ("</script", "<!--", "\r")), "not safe to inline"
    return bundle


def _resource(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _write_whole(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.aside")
    aside.write_bytes(content.encode())
    aside.replace(path)
