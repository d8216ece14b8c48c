"""What the score report shows: bands, distributions, agreement, metrics; its CSV files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from gradatim.report.figures import strips
from gradatim.report.parts import Figure, Rows, Shade, Table, Tables, columns
from gradatim.report.scores_agreement import Agreement, agreement_sentences, sample_sentence
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import MAX_GROUPS, Counts, Groups
from gradatim.report.scores_excerpts import excerpt
from gradatim.report.scores_folder import NUM_QUANTILES, Metric, ScoresFolder
from gradatim.report.scores_wording import cropped, short_labels
from gradatim.report.wording import MISSING, number, percent, small_percent

NUM_STEPS = 48  # of a histogram that is drawn
_SHARES = (0, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
Texts = dict[tuple[int, int], str]  # by piece and row


def band_results(bands: Bands, counts: Counts, texts: Texts) -> dict[str, Any]:
    """The bands that hold a row, and the easiest and the hardest hundredth, with excerpts."""
    metric, last = bands.metric, len(counts.slots) - 1
    rows = sorted(
        counts.chosen.iter_rows(named=True), key=lambda row: (metric.sign * row["value"], row["id"])
    )
    found = {
        place: {
            "slot": slot,
            "excerpts": [_excerpt(row, metric, texts) for row in rows if row["slot"] == place],
        }
        for place, slot in enumerate(counts.slots)
    }
    ends = {}
    for which, place, edge in (("easiest", 0, bands.tails[0]), ("hardest", last, bands.tails[1])):
        side = "below" if (which == "easiest") == metric.is_harder_high else "above"
        value = f"{metric.shown(metric.sign * edge)} {metric.unit}".rstrip()
        ends[which] = found[place] | {"edges": f"{value} and {side}"}
    filled = counts.filled_bands
    shown = [found[band] | {"band": band, "edges": bands.words(band)} for band in filled]
    empty = [str(band) for band in range(1, last) if band not in filled]
    return {"bands": {"filled": shown, "empty": empty}, "ends": ends}


def _excerpt(row: Mapping[str, Any], metric: Metric, texts: Texts) -> dict[str, str]:
    """A part of a chosen row's text, and where it is from."""
    return {
        "value": metric.shown(row["value"]),
        "text": excerpt(texts[row["piece"], row["row"]]),
        "warning": cropped(row["reason"]),
        **{name: cropped(row[name]) for name in ("level", "source", "id")},
    }


def distributions(metrics: Sequence[Metric], chosen: Metric, counts: Counts) -> dict[str, Any]:
    """The chosen metric large, then all others small; by level first, for levels are ordered."""
    large, small = {}, {}
    for group in reversed(counts.groups):
        order = _order(counts, chosen, group)
        large[group.kind] = _strips_figure(chosen, counts, group, order, is_wide=True)
        others = [metric for metric in metrics if metric is not chosen]
        small[group.kind] = [_strips_figure(metric, counts, group, order) for metric in others]
    joined = any(group.num_joined for group in counts.groups if group.kind == "source")
    return {"chosen": large, "others": small, "num_named": MAX_GROUPS if joined else 0}


def _strips_figure(
    metric: Metric, counts: Counts, group: Groups, order: Sequence[int], *, is_wide: bool = False
) -> Figure:
    """The histograms of a metric by the groups of a column, in an order."""
    found, first = counts.histograms[metric.name], group.first
    names, total = short_labels(group.labels), found.num_values(-2)
    rows: list[dict[str, Any]] = []
    for place in order:
        steps, median = found.steps(first + place, NUM_STEPS), found.median(first + place)
        num_values = found.num_values(first + place)
        says = (
            f"{group.labels[place]}: {num_values:,} values ({percent(num_values / total, 1)} of "
            f"all), median {metric.shown(median)}"
        )
        if outside := num_values - int(steps.sum()):
            says += f"; {percent(outside / num_values, 1)} lie outside of the plot"
        heights = (steps / max(1, steps.max())).round(3).tolist()
        shown = {"median": median, "shown": metric.shown(median), "says": says}
        rows.append({"name": names[place], "heights": heights, **shown})
    spec = strips(
        rows,
        domain=(found.low, found.high),
        middle=metric.quantile(0.5),
        row_height=32 if is_wide else 21,
    )
    direction = "" if metric.is_harder_high else "higher is easier"
    return Figure(
        f"plot-{metric.name}-{group.kind}",
        "" if is_wide else metric.name,
        f"{metric.name} by {group.kind}. {'. '.join(row['says'] for row in rows)}",
        spec,
        note=", ".join(filter(None, [metric.unit, direction])),
        is_wide=is_wide,
    )


def _order(counts: Counts, metric: Metric, group: Groups) -> list[int]:
    """Places of a column's groups: whole numbers as such, else easy to hard; joined ones last."""
    found, first = counts.histograms[metric.name], group.first

    def key(place: int) -> tuple[float, str]:
        if group.kind == "level" and all(name.isdecimal() for name in group.names):
            return int(group.names[place]), ""
        median = found.median(first + place)
        return math.inf if median is None else metric.sign * median, group.names[place]

    named = sorted(range(len(group.names)), key=key)
    return [*named, *range(len(group.names), len(group.labels))]


def agreement_results(unit: str, metric: str, agreement: Agreement) -> dict[str, Any] | None:
    """The matrix and what it says; nothing when there is one metric."""
    names = agreement.names
    if len(names) < 2:
        return None
    rows: list[list[str | Shade]] = []
    for one, values, nums in zip(names, agreement.correlations, agreement.num_rows, strict=True):
        cells: list[str | Shade] = [one]
        for other, value, num_rows in zip(names, values.tolist(), nums.tolist(), strict=True):
            says = f"{one} and {other}: {number(value, 3)} on {num_rows:,} rows"
            strength = 0 if one == other or math.isnan(value) else value
            cells.append(Shade("" if one == other else number(value, 2), strength, says))
        rows.append(cells)
    look = "matrix is-dense" if len(names) > 16 else "matrix"
    heads = [*columns("head", ""), *columns("shade", *names)]
    return {
        "sentences": agreement_sentences(agreement, metric),
        "table": Table("Rank correlations", heads, {"": rows}, look),
        "sample": sample_sentence(agreement, unit),
    }


def metric_results(folder: ScoresFolder) -> dict[str, Any]:
    """All metrics with their quantiles, then how the scores were made."""
    metrics, about = folder.metrics.values(), folder.about
    rows = [
        [
            metric.name,
            metric.unit,
            *(metric.shown(metric.quantile(s)) if metric.values else MISSING for s in _SHARES),
            small_percent(1 - metric.num_values / folder.num_rows),
        ]
        for metric in metrics
    ]
    numbers = ("Minimum", "1 %", "10 %", "Median", "90 %", "99 %", "Maximum", "Null")
    heads = [*columns("text", "Metric", "Unit"), *columns("number", *numbers)]
    facts = [
        ["Corpus", ", ".join(about["corpus"])],
        ["Fingerprint of the scores", about["fingerprint"]],
    ]
    pair = [*columns("text", ""), *columns("prose", "")]
    return {
        "all": metrics,
        "table": Table("All metrics and their quantiles", heads, {"": rows}),
        "sketched": sorted(
            f"{m.name}: sketch ({m.method}), ranks to within {percent(m.rank_error, 2)}"
            for m in metrics
            if m.method not in ("", "exact")
        ),
        "facts": Table("Corpus and fingerprint", pair, {"": facts}),
        "settings": json.dumps(about["settings"], indent=2, ensure_ascii=False, sort_keys=True),
    }


def score_tables(
    folder: ScoresFolder, bands: Bands, counts: Counts, agreement: Agreement
) -> Tables:
    """Everything the page shows, by the names of the CSV files."""
    return {
        "quantiles": _quantiles(folder),
        "bands": _bands(bands, counts),
        "distributions": list(_distributions(counts)),
        "agreement": [
            {
                "metric": one,
                "other": other,
                "rank_correlation": None if math.isnan(value) else value,
                "num_rows": num_rows,
            }
            for one, other, value, num_rows in agreement.pairs()
        ],
    }


def _quantiles(folder: ScoresFolder) -> Rows:
    """One row a metric; p0 (minimum) to p100 (maximum) are null where it has no value."""
    places = [f"p{place}" for place in range(NUM_QUANTILES)]
    return [
        {
            "metric": metric.name,
            "unit": metric.unit,
            "higher_is": metric.higher_is,
            "describes": metric.describes,
            "num_values": metric.num_values,
            "share_null": 1 - metric.num_values / folder.num_rows,
            "method": metric.method or None,
            "rank_error": metric.rank_error if metric.values else None,
            **dict(zip_longest(places, metric.values)),
        }
        for metric in folder.metrics.values()
    ]


def _bands(bands: Bands, counts: Counts) -> Rows:
    """One row a band; edges are values, null where the band is open."""
    return [
        {
            "band": band,
            "metric": bands.metric.name,
            **dict(zip(("easy_edge", "hard_edge"), bands.edges_of(band), strict=True)),
            "num_rows": slot.num_rows,
            "num_bytes": slot.num_bytes,
            "num_not_prose": slot.num_not_prose,
        }
        for band, slot in enumerate(counts.slots[1:-1], 1)
    ]


def _distributions(counts: Counts) -> Iterator[dict[str, Any]]:
    """Steps of every histogram that hold a value; the first and last have an open end.

    Columns metric, kind (source, level, all), group, from, to, num_rows.
    """
    names = [(group.kind, label) for group in counts.groups for label in group.labels]
    for metric, found in counts.histograms.items():
        width = (found.high - found.low) / NUM_STEPS
        ends = [None, *(found.low + width * place for place in range(NUM_STEPS + 1)), None]
        for row, (kind, group) in enumerate([*names, ("all", "")]):
            steps = found.steps(row, NUM_STEPS)
            below, above = found.counts[row, [0, -1]]
            for place, num_rows in enumerate([below, *steps, above]):
                if num_rows:
                    where = {"metric": metric, "kind": kind, "group": group}
                    step = {"from": ends[place], "to": ends[place + 1], "num_rows": int(num_rows)}
                    yield where | step
