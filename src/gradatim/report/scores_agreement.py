"""Which metrics order text alike: Spearman's rank correlation of every pair, put in an order.

Metrics are turned so that higher is harder before they are compared, so a negative correlation is
a disagreement. A pair is compared on the rows that have both values. Text that is not prose is
left out, for a readability number means nothing there; when nothing is prose, all rows are used.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from gradatim.report.scores_count import Census, priorities, take_census, values_of
from gradatim.report.scores_folder import Metric, ScoresFolder
from gradatim.report.wording import listing, number

MAX_SAMPLE_ROWS = 100_000
FAMILY_CORRELATION = 0.7
_ALIKE, _OPPOSED = 0.5, -0.1
_LEAST_ROWS = 3  # of two, the correlation is always 1 or −1


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

    def pairs(self) -> list[tuple[str, str, float]]:
        """Known pairs, the most alike first."""
        found = [
            (self.names[left], self.names[right], float(self.correlations[left, right]))
            for left, right in itertools.combinations(range(len(self.names)), 2)
            if not math.isnan(self.correlations[left, right])
        ]
        return sorted(found, key=lambda pair: (-pair[2], pair[:2]))

    def table(self) -> pl.DataFrame:
        """Columns metric, other, rank_correlation (null where unknown), num_rows."""
        both = itertools.combinations(range(len(self.names)), 2)
        rows = [
            (self.names[left], self.names[right], _known(found), int(self.num_rows[left, right]))
            for left, right in both
            for found in [float(self.correlations[left, right])]
        ]
        schema = {"metric": pl.String, "other": pl.String}
        schema |= {"rank_correlation": pl.Float64, "num_rows": pl.Int64}  # type: ignore[dict-item]
        return pl.DataFrame(rows, schema=schema, orient="row")


def measure_agreement(folder: ScoresFolder, census: Census) -> Agreement:
    """Compare all metrics that have values, on at most 100,000 rows chosen by their place."""
    metrics = [metric for metric in folder.metrics if metric.quantiles is not None]
    num_prose = folder.num_rows - census.num_not_prose
    is_prose_only = num_prose > 0
    num_eligible = num_prose if is_prose_only else folder.num_rows
    values = _sample(folder, metrics, num_eligible, is_prose_only=is_prose_only)
    correlations, num_rows = rank_correlations(values)
    order, labels = _order(correlations)
    names = [metrics[place].name for place in order]
    if names and names[0] > names[-1]:
        order, names = order[::-1], names[::-1]
    families = [
        [metrics[place].name for place in order if labels[place] == label]
        for label in dict.fromkeys(labels[place] for place in order)
    ]
    return Agreement(
        names=names,
        correlations=correlations[np.ix_(order, order)],
        num_rows=num_rows[np.ix_(order, order)],
        num_sampled=values.shape[1],
        num_eligible=num_eligible,
        is_prose_only=is_prose_only,
        families=sorted((found for found in families if len(found) > 1), key=lambda f: -len(f)),
    )


def rank_correlations(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spearman's correlation of every pair of rows of a (metrics, texts) array, NaN for null.

    Ties share their mean rank. Each pair is ranked anew on the texts that have both values; pairs
    with the same nulls share the work.
    """
    num_metrics = len(values)
    correlations = np.full((num_metrics, num_metrics), np.nan)
    num_rows = np.zeros((num_metrics, num_metrics), np.int64)
    is_known = ~np.isnan(values)
    kept: dict[tuple[int, bytes], NDArray[np.float64] | None] = {}
    for left in range(num_metrics):
        for right in range(left, num_metrics):
            both = is_known[left] & is_known[right]
            num_rows[left, right] = num_rows[right, left] = both.sum()
            key = np.packbits(both).tobytes()
            for metric in (left, right):
                if (metric, key) not in kept:
                    kept[metric, key] = _standard_ranks(values[metric, both])
            ranks, others = kept[left, key], kept[right, key]
            if ranks is not None and others is not None:
                # Not `@`: its sum depends on the number of threads, the page's bytes must not.
                found = float(np.clip((ranks * others).sum(), -1, 1)) if left != right else 1.0
                correlations[left, right] = correlations[right, left] = found
        # Only rankings on a later metric's own rows can come again.
        own = {np.packbits(is_known[later]).tobytes() for later in range(left + 1, num_metrics)}
        kept = {key: ranks for key, ranks in kept.items() if key[0] > left and key[1] in own}
    return correlations, num_rows


def agreement_sentences(agreement: Agreement, metric: str | None = None) -> list[str]:
    """The most alike and the most opposed pairs, families, and what stands near a metric."""
    pairs = agreement.pairs()
    if not pairs:
        return ["There are no two metrics to compare on the same rows."]
    alike = [pair for pair in pairs[:3] if pair[2] >= _ALIKE] or pairs[:1]
    sentences = [f"Most alike: {listing([_said(pair) for pair in alike])}."]
    apart = [pair for pair in pairs[::-1][:3] if pair not in alike]
    opposed = [pair for pair in apart if pair[2] <= _OPPOSED]
    if apart:
        which = "Most opposed" if opposed else "Least alike"
        sentences.append(f"{which}: {listing([_said(pair) for pair in opposed or apart])}.")
    for family in agreement.families:
        if len(family) < len(agreement.names):
            inside = [value for left, right, value in pairs if {left, right} <= set(family)]
            names = listing([f"`{name}`" for name in family])
            sentences.append(f"A family (any two at {number(min(inside), 2)} or more): {names}.")
    near = [pair for pair in pairs if metric in pair[:2]]
    if metric is not None and len(near) > 1:
        (best, best_value), (worst, worst_value) = (
            (left if right == metric else right, found)
            for left, right, found in (near[0], near[-1])
        )
        sentences.append(
            f"`{metric}` orders text most like `{best}` ({number(best_value, 2)}) and least like "
            f"`{worst}` ({number(worst_value, 2)})."
        )
    return sentences


def sample_sentence(agreement: Agreement, unit: str) -> str:
    """Which rows the comparison is made on."""
    kind = f"{unit}s that are prose" if agreement.is_prose_only else f"{unit}s, none of them prose"
    seen = f"{agreement.num_sampled:,}"
    if agreement.num_sampled == agreement.num_eligible:
        rows = f"all {seen} {kind}"
    else:
        rows = f"{seen} of the {agreement.num_eligible:,} {kind}, chosen by a hash of their place"
    least = int(agreement.num_rows.min()) if agreement.num_rows.size else 0
    if least == agreement.num_sampled:
        return f"Measured on {rows}; all of them have every value."
    return f"Measured on {rows}; each pair on those that have both values, {least:,} at least."


def agreement_markdown(folder: Path | str, *, metric: str | None = None) -> str:
    """The agreement of the metrics of a scores folder as sentences and tables of Markdown.

    Args:
        folder: of scores.
        metric: whose nearest and furthest metric is said too.

    Raises:
        InputError: not a scores folder.
        SpecError: it has no such metric.
    """
    scores = ScoresFolder.read(folder)
    if metric is not None:
        scores.metric(metric)
    agreement = measure_agreement(scores, take_census(scores))
    lines = [
        f"Spearman's rank correlation, every metric turned so that higher is harder. "
        f"{sample_sentence(agreement, scores.unit)}",
        "",
        *(f"- {sentence}" for sentence in agreement_sentences(agreement, metric)),
        "",
        "Metrics that order text alike stand side by side; columns are numbered as rows are.",
        "",
    ]
    places = range(1, len(agreement.names) + 1)
    lines += [
        "| | metric | " + " | ".join(str(place) for place in places) + " |",
        "| --: | :-- |" + " --: |" * len(agreement.names),
    ]
    for place, name in zip(places, agreement.names, strict=True):
        cells = (number(_known(float(value)), 2) for value in agreement.correlations[place - 1])
        lines.append(f"| {place} | `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _sample(
    folder: ScoresFolder, metrics: Sequence[Metric], num_eligible: int, *, is_prose_only: bool
) -> NDArray[np.float64]:
    """Difficulties of the rows with the lowest hashes, in corpus order; shape (metrics, rows)."""
    # A little more than wanted passes, so that the cut to the exact number is not at chance.
    share = min(1.0, 1.05 * MAX_SAMPLE_ROWS / num_eligible + 1e-4)
    limit = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    hashes, blocks = [], []
    for batch in folder.batches(["is_prose", *(metric.name for metric in metrics)]):
        found = priorities(batch)
        is_kept = found <= limit
        if is_prose_only:
            is_kept &= batch.frame["is_prose"].fill_null(True).to_numpy()
        frame = batch.frame.filter(pl.Series(is_kept))
        difficulties = [metric.sign * values_of(frame[metric.name]) for metric in metrics]
        blocks.append(np.array(difficulties).reshape(len(metrics), len(frame)))
        hashes.append(found[is_kept])
    values, order = np.concatenate(blocks, axis=1), np.concatenate(hashes)
    if values.shape[1] > MAX_SAMPLE_ROWS:
        lowest = np.argsort(order, kind="stable")[:MAX_SAMPLE_ROWS]
        values = values[:, np.sort(lowest)]
    return values


def _standard_ranks(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Ranks with mean 0 and length 1, whose dot product is the correlation; None of a constant."""
    if len(values) < _LEAST_ROWS or values.min() == values.max():
        return None
    ranks = rankdata(values)
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks), np.float64)


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


def _said(pair: tuple[str, str, float]) -> str:
    return f"`{pair[0]}` and `{pair[1]}` ({number(pair[2], 2)})"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
