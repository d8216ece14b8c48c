"""The sections of the score report: bands and ends, distributions, agreement, metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradatim.report.parts import (
    Cell,
    Group,
    Part,
    Row,
    Section,
    Table,
    number_columns,
    text_columns,
)
from gradatim.report.scores_agreement import Agreement, agreement_sentences, sample_sentence
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import OTHER, Counts, Groups, Tail
from gradatim.report.scores_drawings import (
    Card,
    Matrix,
    Shade,
    capitalised,
    card_of,
    cropped,
    decimals_of,
    edge_words,
    shade,
    words,
)
from gradatim.report.scores_folder import ScoresFolder
from gradatim.report.wording import MISSING, data_size, listing, number, percent, small_percent

MOSTLY = 0.5
_MAX_REASONS = 5


@dataclass(frozen=True)
class Excerpt:
    """Text out of a row, and where it is from; `warning` says why it is no prose."""

    value: str
    unit: str
    level: str
    source: str
    id: str
    text: str
    warning: str


@dataclass(frozen=True)
class BandHead:
    """A band's title with its colour; `place` counts from 0, None draws no colour."""

    id: str
    place: int | None
    title: str
    edges: str
    caption: str


@dataclass(frozen=True)
class Shown:
    """The excerpts by slot: 0 the easiest end, 1… the bands, the last the hardest end."""

    by_slot: Mapping[int, Sequence[Excerpt]]


def bands_section(folder: ScoresFolder, bands: Bands, counts: Counts, shown: Shown) -> Section:
    """Every band that has a row, with its excerpts."""
    name, unit = words(bands.metric.name), folder.unit
    empty = [str(band + 1) for band, rows in enumerate(counts.band_rows) if rows == 0]
    intro = (
        f"The {unit}s in order of {name}, cut into {counted(bands.num_bands, 'band')} with as "
        f"equal numbers of {unit}s as ties allow. The excerpts of a band are chosen by a hash of "
        "their place, one of each source before a second of any, not by how well they fit."
    )
    if empty:
        which = "Band" if len(empty) == 1 else "Bands"
        intro += f" {which} {listing(empty)} hold nothing, for many {unit}s have the same value."
    csv = Part("caption", "Edges, rows and bytes of every band.", csv=["bands.csv"])
    parts = [Part("prose", intro)]
    for band in range(1, bands.num_bands + 1):
        num_rows = int(counts.band_rows[band - 1])
        if num_rows == 0:
            continue
        share = int(counts.band_not_prose[band - 1]) / num_rows
        size = data_size(int(counts.band_bytes[band - 1]))
        caption = f"{counted(num_rows, unit)}, {size}; {share_words(share)} not prose"
        head = BandHead(
            f"band-{band}",
            band - 1,
            f"Band {band}{_ends(bands, band)}",
            edge_words(bands, band),
            caption,
        )
        parts += [Part("band", head)]
        if share > MOSTLY:
            warning = f"Most of this band is not prose: {name} says little about it."
            parts.append(Part("notice", [warning]))
        parts.append(Part("excerpts", shown.by_slot.get(band, [])))
    return Section("bands", "Bands", f"What every band of {name} reads like", [*parts, csv])


def ends_section(folder: ScoresFolder, bands: Bands, counts: Counts, shown: Shown) -> Section:
    """The easiest and the hardest hundredth: where a metric fails first."""
    name = words(bands.metric.name)
    parts = [
        Part(
            "prose",
            f"A metric fails first at its ends. These are the {folder.unit}s in the easiest and in "
            f"the hardest hundredth of {name}: whatever is only laid out strangely gathers here.",
        )
    ]
    for end, tail in enumerate(counts.tails):
        slot = end * (bands.num_bands + 1)
        value = number(bands.metric.sign * bands.tails[end], decimals_of(bands.metric))
        side = ("and below", "and above")[end if bands.metric.is_harder_high else 1 - end]
        head = BandHead(
            f"end-{('easiest', 'hardest')[end]}",
            None,
            ("The easiest hundredth", "The hardest hundredth")[end],
            f"{value} {bands.metric.unit} {side}".replace("  ", " "),
            f"{counted(tail.num_rows, folder.unit)}; {_not_prose(tail)}",
        )
        parts.append(Part("band", head))
        if is_mostly_not_prose(tail):
            parts.append(Part("notice", [tail_warning(tail, end, folder.unit)]))
        parts.append(Part("excerpts", shown.by_slot.get(slot, [])))
    return Section("ends", "Ends", "The easiest and the hardest ends", parts)


def is_mostly_not_prose(tail: Tail) -> bool:
    return tail.share_not_prose > MOSTLY


def tail_warning(tail: Tail, end: int, unit: str) -> str:
    """Why one should not trust an end, and what to do."""
    which = ("easiest", "hardest")[end]
    return (
        f"The {which} hundredth is mostly not prose: {sum(tail.reasons.values()):,} of "
        f"{counted(tail.num_rows, unit)} ({reasons_words(tail.reasons)}). Their values say nothing "
        "of how hard they are to read. Keep only rows with `is_prose` before this end is fed to a "
        "network."
    )


def reasons_words(reasons: Mapping[str, int]) -> str:
    """`list 120, code 7`, the most frequent first."""
    named = [f"{cropped(reason)} {num_rows:,}" for reason, num_rows in reasons.items()]
    rest = sum(list(reasons.values())[_MAX_REASONS:])
    return ", ".join([*named[:_MAX_REASONS], *([f"{OTHER} {rest:,}"] if rest else [])])


def distributions_section(folder: ScoresFolder, bands: Bands, counts: Counts) -> Section:
    """The chosen metric large, then all others small; by level first, for levels are ordered."""
    chosen = bands.metric.name
    starts = [0, len(counts.groups[0].labels)]
    kinds = list(zip(counts.groups, starts, strict=False))[::-1]
    orders = [_order(counts, bands, group, start) for group, start in kinds]
    metrics = [metric for metric in folder.metrics if metric.name in counts.histograms]
    sources = counts.groups[0]
    joined = (
        f" Sources beyond the {len(sources.names)} largest are joined."
        if sources.num_joined
        else ""
    )
    parts = [
        Part(
            "prose",
            "Each strip is one group's histogram, drawn to its own height; the tick on it and the "
            "number beside it are the group's median, and the line through all strips is that of "
            f"the whole. Groups stand in order of their median {words(chosen)}, in every plot."
            f"{joined} The lowest and the highest hundredth of all values lie outside of a plot.",
        )
    ]

    def card(name: str, place: int, *, is_large: bool = False) -> Card:
        (group, start), metric = kinds[place], folder.metric(name)
        found = counts.histograms[name]
        return card_of(metric, found, group, start, orders[place], is_large=is_large)

    for place, (group, _) in enumerate(kinds):
        parts += [
            Part("heading", f"{capitalised(words(chosen))} by {group.kind}{_of_unit(bands)}"),
            Part("histograms", [card(chosen, place, is_large=True)]),
        ]
    others = [metric.name for metric in metrics if metric.name != chosen]
    if others:
        for place, (group, _) in enumerate(kinds):
            parts += [
                Part("heading", f"All other metrics by {group.kind}"),
                Part("histograms", [card(name, place) for name in others]),
            ]
    caption = "Medians of groups are read from histograms of 480 bins."
    parts.append(Part("caption", caption, csv=["distributions.csv"]))
    return Section("distributions", "Distributions", "Where each kind of text lies", parts)


def agreement_section(folder: ScoresFolder, bands: Bands, agreement: Agreement) -> Section | None:
    """The matrix and what it says; nothing when there is one metric."""
    if len(agreement.names) < 2:
        return None
    unit = folder.unit
    parts = [
        Part(
            "prose",
            "Spearman's rank correlation: 1 where two metrics put all text in the same order, 0 "
            "where the order of one says nothing of the other, below 0 where they contradict. "
            "Every metric is turned so that higher is harder; metrics that order text alike stand "
            "side by side.",
        ),
        Part("list", agreement_sentences(agreement, bands.metric.name)),
        Part("matrix", _matrix(agreement)),
        Part("caption", sample_sentence(agreement, unit), csv=["agreement.csv"]),
    ]
    return Section("agreement", "Agreement", "Which metrics agree", parts)


def metrics_section(folder: ScoresFolder) -> Section:
    """All metrics with their quantiles, then how the scores were made."""
    columns = [
        *text_columns("Metric", "Unit"),
        *number_columns("Minimum", "1 %", "10 %", "Median", "90 %", "99 %", "Maximum", "Null"),
    ]
    rows = []
    for metric in folder.metrics:
        share_null = 1 - metric.num_values / folder.num_rows
        shares = (0, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
        values = [
            number(metric.quantile(share), decimals_of(metric)) if metric.quantiles else MISSING
            for share in shares
        ]
        cells = [metric.name, metric.unit, *values, small_percent(share_null)]
        rows.append(Row([*map(Cell, cells)]))
    methods = {
        f"{metric.name}: sketch ({metric.method}), ranks to within {percent(metric.rank_error, 2)}"
        for metric in folder.metrics
        if metric.method not in ("", "exact")
    }
    how = (
        "Quantiles are exact."
        if not methods
        else f"Quantiles that are not exact: {'; '.join(sorted(methods))}."
    )
    settings = json.dumps(dict(folder.settings), indent=2, ensure_ascii=False, sort_keys=True)
    facts = [
        ("Corpus", ", ".join(folder.corpus)),
        ("Fingerprint of the scores", folder.fingerprint),
    ]
    facts_rows = [Row([Cell(name), Cell(value, "prose")]) for name, value in facts]
    meanings = [
        f"`{metric.name}`: {metric.describes.rstrip('.')}; "
        f"{'higher' if metric.is_harder_high else 'lower'} is harder."
        for metric in folder.metrics
    ]
    parts = [
        Part("list", meanings),
        Part("table", Table("All metrics and their quantiles", columns, [Group("", rows)])),
        Part(
            "caption",
            f"{how} A null is a text the metric cannot be measured on.",
            csv=["quantiles.csv"],
        ),
        Part("heading", "How the scores were made"),
        Part(
            "table", Table("Corpus and fingerprint", text_columns("", ""), [Group("", facts_rows)])
        ),
        Part("folded text", {"label": "Settings", "text": settings}),
    ]
    return Section("metrics", "Metrics", "All metrics, and how they were made", parts)


def _order(counts: Counts, bands: Bands, group: Groups, start: int) -> list[int]:
    """Places of a column's groups: whole numbers as such, else easy to hard; joined ones last."""
    found = counts.histograms[bands.metric.name]
    places = range(len(group.names))
    if group.kind == "level" and all(name.isdecimal() for name in group.names):
        order = sorted(places, key=lambda place: (int(group.names[place]), group.names[place]))
    else:
        medians = [found.median(start + place) for place in places]
        sign = bands.metric.sign
        order = sorted(
            places,
            key=lambda place: (
                math.inf if (median := medians[place]) is None else sign * median,
                group.names[place],
            ),
        )
    return [*order, *range(len(group.names), len(group.labels))]


def _matrix(agreement: Agreement) -> Matrix:
    rows = []
    for left, name in enumerate(agreement.names):
        cells = []
        for right, other in enumerate(agreement.names):
            value = float(agreement.correlations[left, right])
            num_rows = int(agreement.num_rows[left, right])
            says = f"{name} and {other}: {number(value, 3)} on {num_rows:,} rows"
            is_known = left != right and not math.isnan(value)
            cells.append(
                shade(value, says)
                if is_known
                else Shade("" if left == right else MISSING, None, says)
            )
        rows.append(cells)
    return Matrix(agreement.names, rows)


def _of_unit(bands: Bands) -> str:
    notes = [bands.metric.unit, "" if bands.metric.is_harder_high else "higher is easier"]
    return f" ({', '.join(filter(None, notes))})" if any(notes) else ""


def _ends(bands: Bands, band: int) -> str:
    if bands.num_bands == 1:
        return ""
    return {1: ", the easiest", bands.num_bands: ", the hardest"}.get(band, "")


def _not_prose(tail: Tail) -> str:
    text = f"{share_words(tail.share_not_prose)} not prose"
    return f"{text} ({reasons_words(tail.reasons)})" if tail.reasons else text


def counted(num_rows: int, unit: str) -> str:
    """`1 passage`, `1,204 passages`."""
    return f"{num_rows:,} {unit}{'' if num_rows == 1 else 's'}"


def share_words(share: float) -> str:
    """One decimal, but none of nothing and of all."""
    return percent(share, 0 if share in (0, 1) else 1)
