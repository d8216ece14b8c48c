"""Scores to one HTML page that works offline, and its numbers as CSV.

The page is for the eyes: what the bands of a metric read like, how every metric lies over sources
and levels, and which metrics agree. It is drawn without a script, so it is small, prints, and what
a corpus says can at most be read. Memory does not grow with the corpus: rows are streamed, in
three passes over the scores; of the corpus, only the texts that are shown are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from gradatim import __version__, files
from gradatim.report.html import content_policy, resource, template, theme_rules
from gradatim.report.parts import Section
from gradatim.report.scores_agreement import measure_agreement
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import Census, Counts, count_rows, take_census
from gradatim.report.scores_drawings import (
    Spread,
    capitalised,
    colour_variables,
    cropped,
    decimals_of,
    edge_words,
    shade_rules,
    spread_of,
    words,
)
from gradatim.report.scores_excerpts import excerpt
from gradatim.report.scores_folder import ScoresFolder
from gradatim.report.scores_sections import (
    BandHead,
    Excerpt,
    Shown,
    agreement_section,
    bands_section,
    counted,
    distributions_section,
    ends_section,
    is_mostly_not_prose,
    metrics_section,
    reasons_words,
    share_words,
    tail_warning,
)
from gradatim.report.scores_tables import ScoreTables
from gradatim.report.wording import count, data_size, number

Texts = Callable[[Sequence[tuple[int, int]]], list[str]]


@dataclass(frozen=True)
class Pole:
    """The easiest or the hardest band at a glance."""

    head: BandHead
    excerpt: Excerpt


@dataclass(frozen=True)
class Answer:
    """The first screen."""

    headline: str
    sentences: Sequence[str]
    warnings: Sequence[str]
    facts: Sequence[tuple[str, str]]
    spread: Spread
    poles: Sequence[Pole]


@dataclass(frozen=True)
class Key:
    """A band in the margin: its colour, its edges, a link to it."""

    place: int
    id: str
    edges: str


def report_scores(
    folder: Path,
    path: Path,
    *,
    texts: Texts,
    metric: str = "reading_age",
    num_bands: int = 10,
) -> Path:
    """Write the page to `path`, and its numbers to the folder `<stem>-data` beside it.

    Args:
        folder: of scores.
        path: the HTML file; its folder is made.
        texts: the texts at (piece, row) pairs, in their order; `piece` is that of `parts` in
            `scores.json`, `row` counts from 0 within the piece. Called once.
        metric: whose bands are shown.
        num_bands: how many, 1 to 100; fewer are made where there are fewer values.

    Returns:
        The path written; the same arguments give the same bytes.

    Raises:
        InputError: not a scores folder, a damaged one, or a metric without a value.
        SpecError: an unknown metric, or an impossible number of bands.
    """
    folder, path = Path(folder), Path(path)
    scores = ScoresFolder.read(folder)
    bands = Bands.of(scores, scores.metric(metric), num_bands)
    census = take_census(scores)
    counts = count_rows(scores, census, bands)
    agreement = measure_agreement(scores, census)
    data_folder = path.with_name(f"{path.stem}-data")
    ScoreTables.of(scores, bands, counts, agreement).write(data_folder)
    shown = _shown(counts, bands, texts)
    sections = [
        bands_section(scores, bands, counts, shown),
        ends_section(scores, bands, counts, shown),
        distributions_section(scores, bands, counts),
        agreement_section(scores, bands, agreement),
        metrics_section(scores),
    ]
    keys = [
        Key(band - 1, f"band-{band}", edge_words(bands, band)) for band in _filled(bands, counts)
    ]
    html = _render(
        bands.num_bands,
        title=f"How hard is this text? {capitalised(words(metric))} of {_corpus(scores)}",
        answer=_answer(scores, census, bands, counts, shown),
        contents=[Section("answer", "At a glance", "", []), *filter(None, sections)],
        keys=keys,
        data_folder=data_folder.name,
        data_address=quote(data_folder.name),
    )
    files.write_whole(path, html)
    return path


def _render(num_bands: int, **content: object) -> str:
    colours = theme_rules(*(colour_variables(theme, num_bands) for theme in ("light", "dark")))
    style = "\n".join([resource("style.css"), resource("scores.css"), shade_rules(), colours])
    return template("scores.html").render(
        styles={},
        style=Markup(style),
        content_policy=content_policy(),
        version=__version__,
        **content,
    )


def _answer(
    scores: ScoresFolder, census: Census, bands: Bands, counts: Counts, shown: Shown
) -> Answer:
    metric, unit = bands.metric, scores.unit
    higher_is = "harder" if metric.is_harder_high else "easier"
    share = census.num_not_prose / scores.num_rows
    sentences = [
        f"Higher is {higher_is}. {counted(scores.num_rows, unit)}, {data_size(scores.num_bytes)} "
        f"of text from {counted(len(census.sources), 'source')}, were scored with "
        f"{counted(len(scores.metrics), 'metric')}; the {words(metric.name)} of "
        f"{_most(metric.num_values, scores.num_rows)} is known."
    ]
    if census.num_not_prose:
        sentences.append(
            f"{share_words(share)} is not prose ({reasons_words(census.reasons)}): there a "
            "readability number means nothing."
        )
    warnings = [
        tail_warning(tail, end, unit)
        for end, tail in enumerate(counts.tails)
        if is_mostly_not_prose(tail)
    ]
    facts = [
        (f"{unit.capitalize()}s", count(scores.num_rows)),
        ("Text", data_size(scores.num_bytes)),
        ("Sources", count(len(census.sources))),
        *([("Levels", count(len(census.levels)))] if census.levels else []),
        ("Metrics", str(len(scores.metrics))),
        ("Not prose", share_words(share)),
    ]
    spread = spread_of(counts.histograms[metric.name], bands, _filled(bands, counts))
    return Answer(
        _headline(bands, unit), sentences, warnings, facts, spread, _poles(bands, counts, shown)
    )


def _headline(bands: Bands, unit: str) -> str:
    """The middle and the outer tenths of the chosen metric."""
    metric, decimals = bands.metric, decimals_of(bands.metric)
    low, median, high = (number(metric.quantile(share), decimals) for share in (0.1, 0.5, 0.9))
    if low == high:
        some = (
            f"the only {unit}"
            if metric.num_values == 1
            else f"eight in ten of these {unit}s or more"
        )
        return f"The {words(metric.name)} of {some} is {median}{_spaced(metric.unit)}."
    return (
        f"The median {words(metric.name)} of these {unit}s is {median}{_spaced(metric.unit)}; "
        f"one in ten lies below {low}, one in ten above {high}."
    )


def _filled(bands: Bands, counts: Counts) -> list[int]:
    """The bands that hold a row."""
    return [band for band in range(1, bands.num_bands + 1) if counts.band_rows[band - 1]]


def _poles(bands: Bands, counts: Counts, shown: Shown) -> list[Pole]:
    """An excerpt of the easiest and of the hardest band that have one; prose where there is."""
    filled = _filled(bands, counts)
    poles = []
    for band in dict.fromkeys([filled[0], filled[-1]]):
        found = sorted(shown.by_slot[band], key=lambda excerpt: bool(excerpt.warning))
        side = " is the easiest" if band == 1 else " is the hardest"
        title = f"Band {band}{side if bands.num_bands > 1 else ''}"
        head = BandHead(f"band-{band}", band - 1, title, edge_words(bands, band), "")
        poles.append(Pole(head, found[0]))
    return poles


def _shown(counts: Counts, bands: Bands, texts: Texts) -> Shown:
    """Ask for the texts of the chosen rows, once; excerpts of a slot from easy to hard."""
    rows = counts.chosen.to_dicts()
    places = sorted({(row["piece"], row["row"]) for row in rows})
    found = dict(zip(places, texts(places), strict=True))
    rows.sort(key=lambda row: (row["slot"], bands.metric.sign * row["value"], row["id"]))
    by_slot: dict[int, list[Excerpt]] = {}
    for row in rows:
        is_prose = row["is_prose"] is not False
        shown = Excerpt(
            value=number(row["value"], decimals_of(bands.metric)),
            unit=bands.metric.unit,
            level=cropped(row["level"] or ""),
            source=cropped(row["source"] or ""),
            id=cropped(row["id"] or ""),
            text=excerpt(found[row["piece"], row["row"]]),
            warning="" if is_prose else cropped(row["not_prose_reason"] or "no reason given"),
        )
        by_slot.setdefault(row["slot"], []).append(shown)
    return Shown(by_slot)


def _corpus(scores: ScoresFolder) -> str:
    names = [place.rstrip("/").rpartition("/")[2] for place in scores.corpus]
    return cropped(", ".join(names))


def _most(num_values: int, num_rows: int) -> str:
    return "all of them" if num_values == num_rows else f"{num_values:,} of them"


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""
