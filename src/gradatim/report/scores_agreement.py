"""Which metrics order text alike: Spearman's rank correlation of every pair, put in an order.

Metrics are turned so that higher is harder before they are compared, so a negative correlation is
a disagreement. A pair is compared on the rows that have both values. Text that is not prose is
left out, for a readability number means nothing there; when nothing is prose, all rows are used.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from gradatim.law.phrases import listing
from gradatim.report.scores_count import Census, priorities, values_of
from gradatim.report.scores_folder import Metric, ScoresFolder
from gradatim.report.wording import number

MAX_SAMPLE_ROWS = 100_000
FAMILY_CORRELATION = 0.7
_ALIKE, _OPPOSED = 0.5, -0.1
_LEAST_ROWS = 3  # of two, the correlation is always 1 or −1
_MAX_KEPT_RANKS = 100


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of metrics, alike ones side by side.

    Attributes:
        names: the metrics in their order.
        correlations: NaN where a pair has under 3 rows or a metric does not vary; shape (M, M).
        num_rows: rows that have both values; shape (M, M).
        num_sampled: rows the comparison saw.
        num_eligible: rows it could have seen.
        is_prose_only: whether these are the rows that are prose.
        families: metrics that correlate 0.7 or more on average, largest family first; two or more
            in each.
    """

    names: Sequence[str]
    correlations: NDArray[np.float64]
    num_rows: NDArray[np.int64]
    num_sampled: int
    num_eligible: int
    is_prose_only: bool
    families: Sequence[Sequence[str]]

    def pairs(self) -> list[tuple[str, str, float, int]]:
        """Two metrics, their correlation, the rows it is measured on; the most alike first."""
        found = [
            (one, other, float(self.correlations[place]), int(self.num_rows[place]))
            for (row, one), (column, other) in itertools.combinations(enumerate(self.names), 2)
            for place in [(row, column)]
        ]
        return sorted(found, key=lambda pair: (math.isnan(pair[2]), -pair[2], pair[:2]))


def measure_agreement(folder: ScoresFolder, census: Census) -> Agreement:
    """Compare all metrics that have values, on at most 100,000 rows chosen by their place."""
    metrics = folder.filled_metrics
    num_prose = folder.num_rows - census["reason"].total()
    num_eligible = num_prose or folder.num_rows
    values = _sample(folder, metrics, num_eligible, is_prose_only=num_prose > 0)
    correlations, num_rows = rank_correlations(values)
    order, labels = _order(correlations)
    if order and metrics[order[0]].name > metrics[order[-1]].name:
        order = order[::-1]
    families: dict[int, list[str]] = {}
    for place in order:
        families.setdefault(labels[place], []).append(metrics[place].name)
    return Agreement(
        names=[metrics[place].name for place in order],
        correlations=correlations[np.ix_(order, order)],
        num_rows=num_rows[np.ix_(order, order)],
        num_sampled=values.shape[1],
        num_eligible=num_eligible,
        is_prose_only=num_prose > 0,
        families=sorted((f for f in families.values() if len(f) > 1), key=len, reverse=True),
    )


def rank_correlations(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spearman's correlation of every pair of rows of a (metrics, texts) array, NaN for null.

    Ties share their mean rank. Each pair is ranked anew on the texts that have both values; pairs
    with the same nulls share the work.
    """
    is_known = ~np.isnan(values)
    first: dict[bytes, int] = {}
    alike = [first.setdefault(known.tobytes(), place) for place, known in enumerate(is_known)]

    @functools.lru_cache(_MAX_KEPT_RANKS)
    def ranks(metric: int, other: int) -> NDArray[np.float64] | None:
        """With mean 0 and length 1, so that a sum of products is a correlation."""
        found = values[metric, is_known[metric] & is_known[other]]
        if len(found) < _LEAST_ROWS or found.min() == found.max():
            return None
        centred = rankdata(found) - (len(found) + 1) / 2
        return np.asarray(centred / np.linalg.norm(centred), np.float64)

    correlations = np.full((len(values), len(values)), np.nan)
    num_rows = np.zeros_like(correlations, np.int64)
    for one, other in itertools.combinations_with_replacement(range(len(values)), 2):
        both = (is_known[one] & is_known[other]).sum()
        num_rows[one, other] = num_rows[other, one] = both
        left, right = ranks(one, alike[other]), ranks(other, alike[one])
        if left is not None and right is not None:
            # Not `@`: its sum depends on the number of threads, the page's bytes must not.
            found = np.clip((left * right).sum(), -1, 1) if one != other else 1
            correlations[one, other] = correlations[other, one] = found
    return correlations, num_rows


def agreement_sentences(agreement: Agreement, metric: str | None = None) -> list[str]:
    """The most alike and the most opposed pairs, families, and what stands near a metric."""
    pairs = [pair for pair in agreement.pairs() if not math.isnan(pair[2])]
    if not pairs:
        return ["There are no two metrics to compare on the same rows."]
    alike = [pair for pair in pairs[:3] if pair[2] >= _ALIKE] or pairs[:1]
    sentences = [f"Most alike: {_listed(alike)}."]
    apart = [pair for pair in pairs[::-1][:3] if pair not in alike]
    opposed = [pair for pair in apart if pair[2] <= _OPPOSED]
    if apart:
        which = "Most opposed" if opposed else "Least alike"
        sentences.append(f"{which}: {_listed(opposed or apart)}.")
    for family in agreement.families:
        if len(family) < len(agreement.names):
            least = min(pair[2] for pair in pairs if {*pair[:2]} <= set(family))
            names = listing([f"`{name}`" for name in family])
            sentences.append(f"A family (any two at {number(least, 2)} or more): {names}.")
    near = [pair for pair in pairs if metric in pair[:2]]
    if metric is not None and len(near) > 1:
        best, worst = (
            f"`{pair[0] if pair[1] == metric else pair[1]}` ({number(pair[2], 2)})"
            for pair in (near[0], near[-1])
        )
        sentences.append(f"`{metric}` orders text most like {best} and least like {worst}.")
    return sentences


def sample_sentence(agreement: Agreement, unit: str) -> str:
    """Which rows the comparison is made on."""
    kind = f"{unit}s that are prose" if agreement.is_prose_only else f"{unit}s, none of them prose"
    seen = f"{agreement.num_sampled:,}"
    if agreement.num_sampled == agreement.num_eligible:
        rows = f"all {seen} {kind}"
    else:
        rows = f"{seen} of the {agreement.num_eligible:,} {kind}, chosen by a hash of their place"
    least = int(agreement.num_rows.min(initial=agreement.num_sampled))
    if least == agreement.num_sampled:
        return f"Measured on {rows}; all of them have every value."
    return f"Measured on {rows}; each pair on those that have both values, {least:,} at least."


def _sample(
    folder: ScoresFolder, metrics: Sequence[Metric], num_eligible: int, *, is_prose_only: bool
) -> NDArray[np.float64]:
    """Difficulties of the rows with the lowest hashes, in corpus order; shape (metrics, rows)."""
    # A little more than wanted passes, so that the cut to the exact number is not at chance.
    share = min(1.0, 1.05 * MAX_SAMPLE_ROWS / num_eligible + 1e-4)
    limit = pl.lit(min(int(share * 2.0**64), 2**64 - 1), pl.UInt64)
    is_prose = pl.col("is_prose").fill_null(True) | (not is_prose_only)
    sample = pl.concat(
        batch.with_columns(priority=pl.Series(priorities(batch))).filter(
            is_prose, pl.col("priority") <= limit
        )
        for batch in folder.batches(["is_prose", *(metric.name for metric in metrics)])
    ).filter(pl.col("priority").rank("ordinal") <= MAX_SAMPLE_ROWS)
    return np.array([metric.sign * values_of(sample[metric.name]) for metric in metrics])


def _order(correlations: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Metrics so that alike ones are neighbours, and the family of each; unknown counts as 0."""
    num_metrics = len(correlations)
    if num_metrics < 2:
        return list(range(num_metrics)), [1] * num_metrics
    distances = 1 - np.nan_to_num(correlations, nan=0.0)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    families = fcluster(tree, 1 - FAMILY_CORRELATION, criterion="distance")
    return leaves_list(tree).tolist(), families.tolist()


def _listed(pairs: Sequence[tuple[str, str, float, int]]) -> str:
    return listing([f"`{one}` and `{two}` ({number(value, 2)})" for one, two, value, _ in pairs])
