"""How well the reading age does on text that it was not fitted to, and against people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from gradatim.difficulty.counts import count_batch
from gradatim.difficulty.fitting.sources import ANCHOR_YEARS, INFORMATION_LEVELS, Sample
from gradatim.difficulty.formulas import FORMULAS
from gradatim.difficulty.lexicon import Lexicon
from gradatim.difficulty.reading_age import AgeModel, reading_age

Floats = NDArray[np.float64]

_NUM_RESAMPLES = 2000
_PUBLISHED = ("carec_m", "smog", "new_dale_chall", "flesch_kincaid_grade")
"""Columns of the measured corpus that its publishers computed."""


@dataclass(frozen=True)
class Unseen:
    """Reading ages of samples by models that saw nothing of their folds.

    Attributes:
        years: by number of words the samples were cut to, 0 for whole ones.
        words: their words after that.
    """

    samples: Sequence[Sample]
    years: dict[int, Floats]
    words: dict[int, Floats]

    def of(self, source: str, level: str | None = None) -> NDArray[np.bool_]:
        return np.array(
            [s.source == source and level in (None, s.level) for s in self.samples], np.bool_
        )

    def kinds(self) -> list[tuple[str, str]]:
        """Sources and levels, the youngest first."""
        kinds = {(sample.source, sample.level) for sample in self.samples}
        return sorted(kinds, key=lambda kind: (kind[0], ANCHOR_YEARS[kind[1]]))


def error_variance(unseen: Unseen) -> tuple[float, float]:
    """Roots of a and b where the error's variance is a + b / words, levels weighing alike."""
    inverse, squares = [], []
    for num_words, years in unseen.years.items():
        for source, level in unseen.kinds():
            here = unseen.of(source, level)
            if source != "turkcorpus":
                inverse.append(np.mean(1 / unseen.words[num_words][here]))
                squares.append(np.mean((years[here] - ANCHOR_YEARS[level]) ** 2))
    slope, offset = np.polyfit(inverse, squares, 1)
    return round(float(np.sqrt(offset)), 2), round(float(np.sqrt(max(slope, 0.0))), 1)


def share_of_triples_in_order(samples: Sequence[Sample], years: Floats) -> float:
    """Of the articles at three levels, those whose ages rise from the first to the third."""
    articles: dict[str, dict[str, float]] = {}
    for sample, age in zip(samples, years, strict=True):
        if sample.source == "onestop":
            articles.setdefault(sample.group, {})[sample.level] = float(age)
    triples = [a for a in articles.values() if len(a) == 3]
    return float(np.mean([a["elementary"] < a["intermediate"] < a["advanced"] for a in triples]))


def _share_of_pairs_in_order(samples: Sequence[Sample], years: Floats) -> float:
    pairs: dict[str, dict[str, float]] = {}
    for sample, age in zip(samples, years, strict=True):
        if sample.source == "turkcorpus":
            pairs.setdefault(sample.group, {})[sample.level] = float(age)
    return float(np.mean([pair["simple"] < pair["complex"] for pair in pairs.values()]))


def rank_correlation_of_books(samples: Sequence[Sample], years: Floats) -> tuple[float, float]:
    """Of the books' mean ages with their levels, and of all their passages' ages."""
    books: dict[str, tuple[float, list[float]]] = {}
    for sample, age in zip(samples, years, strict=True):
        if sample.source == "books":
            found = books.setdefault(sample.group, (ANCHOR_YEARS[sample.level], []))
            found[1].append(float(age))
    means = spearmanr([a for a, _ in books.values()], [np.mean(b) for _, b in books.values()])
    anchors = np.repeat([a for a, _ in books.values()], [len(b) for _, b in books.values()])
    passages = spearmanr(anchors, np.concatenate([b for _, b in books.values()]))
    return float(means.statistic), float(passages.statistic)


def report(unseen: Unseen, years_without_onestop: Floats, model: AgeModel) -> list[str]:
    """The evaluation on the free sources, in lines."""
    samples, years = unseen.samples, unseen.years[0]
    of_books, of_passages = rank_correlation_of_books(samples, years)
    lines = [
        "By cross-validation over whole books, articles and stories:",
        f"  books: rank correlation with levels {of_books:.3f}, of passages {of_passages:.3f}",
        f"  OneStop: triples in order {share_of_triples_in_order(samples, years):.1%}, "
        f"without OneStop {share_of_triples_in_order(samples, years_without_onestop):.1%}",
        f"  Wikipedia: pairs in order {_share_of_pairs_in_order(samples, years):.1%}",
        f"  information reads {_years_too_old(unseen, True):+.1f} years from its anchors, "
        f"literature {_years_too_old(unseen, False):+.1f}",
        "  source, level, anchor, mean age, root mean square error (years):",
    ]
    for source, level in unseen.kinds():
        here = years[unseen.of(source, level)]
        error = np.sqrt(np.mean((here - ANCHOR_YEARS[level]) ** 2))
        row = f"{source:11s} {level:13s} {ANCHOR_YEARS[level]:5.1f} {here.mean():5.1f} {error:4.1f}"
        lines.append(f"    {row}")
    lines.append("  words, mean error sd, share of ages within 1 and 2 sd of the anchor:")
    for num_words in sorted(unseen.years, key=lambda n: n or 10**6):
        lines.append(_coverage(unseen, num_words, model))
    return lines


def _years_too_old(unseen: Unseen, informs: bool) -> float:
    """Mean error of the levels of one kind of text, which weigh alike."""
    kinds = [kind for kind in unseen.kinds() if (kind[1] in INFORMATION_LEVELS) == informs]
    ages = [(np.mean(unseen.years[0][unseen.of(*kind)]), ANCHOR_YEARS[kind[1]]) for kind in kinds]
    return float(np.mean([found - anchor for found, anchor in ages]))


def _coverage(unseen: Unseen, num_words: int, model: AgeModel) -> str:
    words = unseen.words[num_words]
    sd = np.sqrt(model.sd_long_years**2 + model.sd_word_years**2 / words)
    anchors = np.array([ANCHOR_YEARS[sample.level] for sample in unseen.samples])
    deviation = np.abs(unseen.years[num_words] - anchors) / sd
    kinds = [unseen.of(*kind) for kind in unseen.kinds() if kind[0] != "turkcorpus"]
    within = [np.mean([np.mean(deviation[here] < k) for here in kinds]) for k in (1, 2)]
    return f"    {num_words or 'whole':>5} {np.mean(sd):4.1f} {within[0]:.0%} {within[1]:.0%}"


def people_report(file: Path, model: AgeModel, known: Lexicon) -> list[str]:
    """Agreement with people's judgements of ease, |r|, in lines."""
    rows = pq.read_table(file).to_pydict()
    ease = np.array(rows["BT_easiness"])
    counts = count_batch(rows["text"], known=known)
    years = reading_age(counts, model).years.data
    low, high = interval(years, ease)
    is_apart = ~np.array(rows["in_shared_books"], np.bool_)
    apart = interval(years[is_apart], ease[is_apart])
    lines = [
        f"People's judgements of {len(ease)} excerpts, |r| (95 % interval by resampling excerpts):",
        f"  reading_age {agreement(years, ease):.3f} ({low:.3f} to {high:.3f})",
        f"  without excerpts from the books {agreement(years[is_apart], ease[is_apart]):.3f} "
        f"({apart[0]:.3f} to {apart[1]:.3f})",
        f"  rank correlation {abs(spearmanr(years, ease).statistic):.3f}",
    ]
    lines += _by_kind(rows, years, ease)
    informs = np.array(rows["category"]) == "Info"
    lines.append(
        f"  information above literature of the same ease {years_apart(years, ease, informs):.2f}"
    )
    for name, formula in FORMULAS.items():
        values = formula(counts)
        has = ~np.ma.getmaskarray(values)
        apart_by = years_apart(values.data[has], ease[has], informs[has])
        lines.append(f"  {name} {agreement(values.data[has], ease[has]):.3f}, {apart_by:+.2f}")
    lines += [f"  {name}, as published {agreement(rows[name], ease):.3f}" for name in _PUBLISHED]
    return lines


def _by_kind(rows: dict[str, list[object]], years: Floats, ease: Floats) -> list[str]:
    """Within kinds of text; and whether a kind reads older than its readers find it."""
    slope, offset = np.polyfit(ease, years, 1)
    excess = years - (offset + slope * ease)
    kinds = {f"category {kind}": np.array(rows["category"]) == kind for kind in ("Lit", "Info")}
    published = np.array(rows["pub_year"], np.float64)
    for first, last in ((0, 1880), (1880, 1920), (1920, 2000), (2000, 2100)):
        kinds[f"published {first}–{last - 1}"] = (published >= first) & (published < last)
    return [
        f"  {name}: {here.sum()} excerpts, {agreement(years[here], ease[here]):.3f}, mean age "
        f"{years[here].mean():.1f}, {excess[here].mean():+.1f} years for their ease"
        for name, here in kinds.items()
    ]


def years_apart(values: Floats, ease: Floats, informs: NDArray[np.bool_]) -> float:
    """By how much information has more of a metric than literature that is as easy for people.

    The common slope on ease is fitted within both.
    """
    inputs = np.stack([np.ones_like(ease), ease, informs.astype(np.float64)], axis=1)
    (_, _, difference), *_ = np.linalg.lstsq(inputs, values, rcond=None)
    return float(difference)


def agreement(a: ArrayLike, b: ArrayLike) -> float:
    """Absolute value of the correlation."""
    return abs(float(np.corrcoef(np.asarray(a, np.float64), np.asarray(b, np.float64))[0, 1]))


def interval(a: Floats, b: Floats, *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of `agreement`, by resampling."""
    draw = np.random.default_rng(seed)
    resamples = (draw.integers(0, len(a), len(a)) for _ in range(_NUM_RESAMPLES))
    found = [agreement(a[rows], b[rows]) for rows in resamples]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)
