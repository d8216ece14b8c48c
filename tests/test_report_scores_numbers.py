"""The numbers behind the score report: bands, histograms, agreement, excerpts, axes."""

from __future__ import annotations

import re
import runpy
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from gradatim.difficulty.bands import band_edges, band_of
from gradatim.errors import SpecError, StoreError
from gradatim.report import scores_agreement
from gradatim.report.scores_agreement import (
    agreement_sentences,
    measure_agreement,
    rank_correlations,
    sample_sentence,
)
from gradatim.report.scores_bands import Bands
from gradatim.report.scores_count import Histogram, count_rows, take_census
from gradatim.report.scores_excerpts import ELLIPSIS, excerpt
from gradatim.report.scores_folder import ScoresFolder
from gradatim.report.scores_wording import short_labels
from gradatim.report.wording import data_size
from synthetic_scores import spread, write_scores

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PROSE = "It was a bright cold day in April, and the clocks were striking thirteen. " * 60


def test_bands_hold_the_rows_that_the_difficulty_station_would_put_there(tmp_path: Path) -> None:
    ages = np.round(np.random.default_rng(0).gamma(3, 3, 700), 1).astype(np.float32)
    folder = ScoresFolder.read(write_scores(tmp_path / "scores", {"reading_age": ages.tolist()}))
    bands = Bands.of(folder, folder.metric("reading_age"), 10)
    counts = count_rows(folder, take_census(folder), bands)
    expected = np.bincount(band_of(ages, band_edges(ages, 10)), minlength=11)[1:]
    assert [slot.num_rows for slot in counts.slots[1:-1]] == expected.tolist()
    assert counts.slots[0].num_rows == (ages <= np.quantile(ages, 0.01)).sum()


def test_bands_are_fewer_where_there_are_fewer_values(tmp_path: Path) -> None:
    folder = ScoresFolder.read(write_scores(tmp_path / "scores", {"lix": [3.0, 1.0, None, 2.0]}))
    bands = Bands.of(folder, folder.metric("lix"), 10)
    assert bands.num_bands == 3
    assert bands.band_of(np.array([1.0, 2.0, 3.0, np.nan])).tolist() == [1, 2, 3, 0]
    assert bands.edges_of(1)[0] is None
    assert bands.edges_of(3)[1] is None


def test_histograms_count_every_value_once_and_know_the_medians(tmp_path: Path) -> None:
    ages, levels = spread(900), ["easy", "hard", None]
    scores = write_scores(tmp_path / "scores", {"reading_age": ages}, levels=levels)
    folder = ScoresFolder.read(scores)
    bands = Bands.of(folder, folder.metric("reading_age"), 10)
    counts = count_rows(folder, take_census(folder), bands)
    found = counts.histograms["reading_age"]
    assert [group.labels for group in counts.groups] == [["books"], ["easy", "hard"]]
    assert [found.num_values(row) for row in range(4)] == [900, 300, 300, 900]
    for row, values in ((0, ages), (1, ages[::3]), (2, ages[1::3])):
        median = found.median(row)
        assert median == pytest.approx(np.median(values), abs=15 / 480 + 0.02)


def test_a_median_outside_of_the_range_is_its_end() -> None:
    counts = np.zeros((3, 482), np.int64)
    counts[0, [0, -1]] = 5, 1
    counts[1, [0, -1]] = 1, 5
    found = Histogram(0, 1, counts)
    assert [found.median(group) for group in range(3)] == [0, 1, None]


def test_rank_correlations_are_those_of_scipy_pair_by_pair() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(5, 300)).cumsum(axis=0).round(1)
    values[1, random.random(300) < 0.2] = np.nan
    values[3, random.random(300) < 0.5] = np.nan
    values[4] = 7.0
    correlations, num_rows = rank_correlations(values)
    for left in range(4):
        for right in range(4):
            both = ~np.isnan(values[left]) & ~np.isnan(values[right])
            expected = spearmanr(values[left, both], values[right, both]).statistic
            assert correlations[left, right] == pytest.approx(expected, abs=1e-12)
            assert num_rows[left, right] == both.sum()
    assert np.isnan(correlations[4]).all()


def test_agreement_turns_metrics_and_puts_alike_ones_side_by_side(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    hard, other = random.normal(size=(2, 500))
    metrics = {
        "a": hard,
        "b": other,
        "c": -hard + 0.1 * random.normal(size=500),
        "d": other + 0.1 * random.normal(size=500),
        "e": -hard,
    }
    lists = {name: values.tolist() for name, values in metrics.items()}
    reasons = [None, None, None, "code"]
    folder = write_scores(tmp_path / "scores", lists, easier=["c"], reasons=reasons)
    scores = ScoresFolder.read(folder)
    agreement = measure_agreement(scores, take_census(scores))
    assert {frozenset(agreement.names[:2]), frozenset(agreement.names[-2:])} <= {
        *map(frozenset, (["a", "c"], ["b", "d"], ["b", "e"], ["d", "e"])),
    }
    assert sorted(map(sorted, agreement.families)) == [["a", "c"], ["b", "d"]]
    pairs = agreement.pairs()
    assert set(pairs[-1][:2]) == {"a", "e"}
    assert pairs[-1][2] == pytest.approx(-1)
    assert agreement.num_sampled == 375
    said = agreement_sentences(agreement, "a")
    assert re.fullmatch(
        r"Most alike: `[bd]` and `[bd]` \(1\.00\) and `[ac]` and `[ac]` \(0\.99\)\.", said[0]
    )
    assert re.match(r"Most opposed: `[ae]` and `[ae]` \(−1\.00\) and `[ce]` and", said[1])
    assert "A family (any two at 0.99 or more): `a` and `c`." in [
        sentence.replace("`c` and `a`", "`a` and `c`") for sentence in said
    ]
    assert said[-1] == "`a` orders text most like `c` (0.99) and least like `e` (−1.00)."
    assert len(pairs) == 10
    assert {pair[3] for pair in pairs} == {375}


def test_the_sample_is_the_same_rows_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores_agreement, "MAX_SAMPLE_ROWS", 1000)
    metrics = {"a": spread(20_000), "b": [-value for value in spread(20_000)]}
    scores = ScoresFolder.read(write_scores(tmp_path / "scores", metrics, num_parts=3))
    census = take_census(scores)
    once = measure_agreement(scores, census)
    monkeypatch.setattr("gradatim.report.scores_folder._BATCH_ROWS", 777)
    again = measure_agreement(scores, census)
    np.testing.assert_array_equal(once.correlations, again.correlations)
    assert (once.num_sampled, once.num_eligible) == (1000, 20_000)
    assert sample_sentence(once, "passage") == (
        "Measured on 1,000 of the 20,000 passages that are prose, chosen by a hash of their place; "
        "all of them have every value."
    )


def test_the_markdown_has_the_sentences_and_a_square_table(tmp_path: Path) -> None:
    metrics = {"a": spread(50), "b": [*spread(40, seed=3), *[None] * 10], "c": [1.0] * 50}
    folder = write_scores(tmp_path / "scores", metrics)
    lines = runpy.run_path(str(BENCHMARKS / "metric_agreement.py"))["agreement_lines"]
    text = "\n".join(lines(folder, "a"))
    assert "Measured on all 50 passages that are prose; each pair on those that have both" in text
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| \d", line)]
    assert [len(row) for row in rows] == [5, 5, 5]
    assert {row[1] for row in rows} == {"`a`", "`b`", "`c`"}
    constant = next(row for row in rows if row[1] == "`c`")
    assert constant[2:] == ["–", "–", "– |"]
    with pytest.raises(SpecError, match="no such metric"):
        list(lines(folder, "d"))
    with pytest.raises(StoreError, match=r"no folder of scores; expected scores\.json"):
        list(lines(tmp_path))


def test_an_excerpt_ends_where_a_reader_would_pause() -> None:
    sentences = excerpt(PROSE[:1500])
    assert sentences.endswith(f"thirteen. {ELLIPSIS}")
    assert 140 <= len(sentences) <= 345
    words = excerpt("word " * 300)
    assert words.endswith(f"word{ELLIPSIS}")
    assert excerpt("A short text.") == "A short text."
    assert excerpt("") == ""
    assert excerpt("x" * 5000).startswith(f"{ELLIPSIS} xxx")


def test_an_excerpt_of_a_long_document_is_from_its_inside() -> None:
    text = "TITLE PAGE. " + "Nothing but front matter here. " * 40 + PROSE
    found = excerpt(text)
    assert found.startswith(f"{ELLIPSIS} It was") or found.startswith(f"{ELLIPSIS} Nothing")
    assert "TITLE" not in found


def test_an_excerpt_keeps_the_lines_of_verse_and_joins_those_of_prose() -> None:
    verse = "Little Bo-Peep\nhas lost her sheep,\nand can't tell\nwhere to find them;\n"
    assert excerpt(verse) == verse.strip()
    wrapped = "\n".join(["A line of a book that somebody has wrapped at seventy letters or"] * 4)
    assert "\n" not in excerpt(wrapped)


@given(st.text(max_size=4000))
def test_an_excerpt_of_anything_can_be_printed(text: str) -> None:
    found = excerpt(text)
    assert len(found) < 360
    assert all(
        character in "\n\u200c\u200d" or unicodedata.category(character)[0] != "C"
        for character in found
    )


def test_labels_are_short_and_still_apart() -> None:
    assert short_labels(["owner/a", "owner/b", "else/c", "others"]) == [
        "a",
        "b",
        "else/c",
        "others",
    ]
    assert short_labels(["x/a", "x/a/b", "a"]) == ["x/a", "x/a/b", "a"]
    assert len(short_labels(["z" * 500])[0]) == 80


def test_sizes_are_rounded_to_three_digits() -> None:
    sizes = (0, 812, 20_500, 999_900, 4_123_000, 7.25e9, 3e12)
    said = [data_size(size).replace("\u202f", " ") for size in sizes]
    assert said == ["0 B", "812 B", "20.5 kB", "1 MB", "4.12 MB", "7.25 GB", "3 TB"]
    assert data_size(None) == "–"


def test_the_folder_is_read_in_batches_in_corpus_order(tmp_path: Path) -> None:
    scores = ScoresFolder.read(write_scores(tmp_path / "s", {"a": spread(100)}, num_parts=3))
    batches = list(scores.batches(["id"]))
    rows = pl.concat(batches)
    assert rows["id"].to_list() == [f"document {row}" for row in range(100)]
    assert rows["piece"].to_list() == sorted(rows["piece"])
    assert rows.filter(piece=1)["row"].to_list() == list(range(34))
