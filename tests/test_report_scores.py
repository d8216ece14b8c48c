"""The score report as a file: what it shows, hostile text, odd folders, errors that help."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gradatim.errors import InputError, SpecError, StoreError
from gradatim.report import figures
from gradatim.report.html import MAX_PAGE_BYTES
from gradatim.report.scores import report_scores
from synthetic_scores import spread, texts, write_scores
from test_report_page import EVIL, Outline

EVIL_NAME = "</style></title><script>alert(1)</script>"


def written(folder: Path, path: Path, **changes: Any) -> Outline:
    report_scores(folder, path, **({"texts": texts} | changes))
    html = path.read_text(encoding="utf-8")
    assert len(html.encode()) < MAX_PAGE_BYTES
    assert not re.search(r"\bnan\b|\binf\b|None", Outline(html).text)
    return Outline(html)


def full_scores(folder: Path, num_rows: int = 400, **changes: Any) -> Path:
    ages = spread(num_rows)
    settings: dict[str, Any] = {
        "sources": [f"owner/source-{place:03d}" for place in range(7)],
        "levels": ["2", "10", "1"],
        "reasons": [None, None, None, "list"],
        "easier": ["flesch_reading_ease"],
        "num_parts": 3,
    }
    metrics = {
        "reading_age": ages,
        "flesch_reading_ease": [100 - 4 * age for age in ages],
        "mtld": [
            None if place % 5 == 0 else age for place, age in enumerate(spread(num_rows, seed=1))
        ],
        "loss_mean": [None] * num_rows,
    }
    return write_scores(folder, metrics, **(settings | changes))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scores")
    full_scores(place / "scores")
    return report_scores(place / "scores", place / "page.html", texts=texts)


def test_the_page_says_first_what_was_scored_and_has_every_section(page: Path) -> None:
    outline = Outline(page.read_text(encoding="utf-8"))
    sections = [attributes["id"] for attributes in outline.of("section")]
    assert sections == ["answer", "bands", "ends", "distributions", "agreement", "metrics"]
    for text in (
        "The median reading age of these passages is 12.5 years; one in ten lies below 6.5, one in "
        "ten above 18.5.",
        "400 passages, 40\u202fkB of text from 7 sources, were scored with 4 metrics",
        "25.0\u202f% is not prose (list 100)",
        "Band 1 is the easiest",
        "up to 6.5 years",
        "Band 10 is the hardest",
        "above 18.5 years",
        "flesch_reading_ease and reading_age (1.00)",
        "what mtld says; higher is harder",
        "what flesch_reading_ease says; lower is harder",
        "0123456789abcdef",
        '"max_passage_bytes": 2000',
    ):
        assert text in outline.text, text


def test_every_band_has_five_excerpts_of_five_sources_with_values_in_the_band(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    bands = re.split(r'<h3 class="band" id="', html)[1:]
    assert [band.partition('"')[0] for band in bands] == [
        *(f"band-{number}" for number in range(1, 11)), "end-easiest", "end-hardest",
    ]  # fmt: skip
    for number, band in enumerate(bands[:10]):
        values = [float(value) for value in re.findall(r'"from"><b>([\d.]+)</b> years', band)]
        assert len(values) == 5
        assert values == sorted(values)
        assert 5 + 1.5 * number - 0.06 <= values[0]
        assert values[-1] <= 5 + 1.5 * (number + 1) + 0.06
        assert len(set(re.findall(r"owner/source-\d+", band))) == 5


def test_excerpts_are_the_texts_asked_for(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def noting(places: Sequence[tuple[int, int]]) -> list[str]:
        asked.extend(places)
        return texts(places)

    folder = full_scores(tmp_path / "scores")
    written(folder, tmp_path / "page.html", texts=noting)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(asked) == len(set(asked)) > 40
    ages = pl.concat(
        pl.read_parquet(folder / f"part-{piece:05d}.parquet")
        .with_row_index("row")
        .select(pl.lit(piece).alias("piece"), "row", "reading_age")
        for piece in range(3)
    )
    pattern = r"<b>([\d.]+)</b> years.*?row (\d+) of piece (\d+)"
    for value, row, piece in re.findall(pattern, html, flags=re.DOTALL)[:50]:
        found = ages.filter(piece=int(piece), row=int(row))["reading_age"].item()
        assert abs(found - float(value)) <= 0.051


def test_the_same_scores_give_the_same_bytes_whatever_the_row_groups(
    page: Path, tmp_path: Path
) -> None:
    folder = full_scores(tmp_path / "scores")
    for path in folder.glob("part-*.parquet"):
        pl.read_parquet(path).write_parquet(path)
    again = report_scores(folder, tmp_path / "page.html", texts=texts)
    assert again.read_bytes() == page.read_bytes()


def test_every_number_is_in_a_csv_that_the_page_names(page: Path) -> None:
    folder = page.with_name("page-data")
    on_disk = {path.name for path in folder.iterdir()}
    links = {a["href"] or "" for a in Outline(page.read_text(encoding="utf-8")).of("a")}
    assert on_disk == {link.rpartition("/")[2] for link in links if link.startswith("page-data/")}
    bands = pl.read_csv(folder / "bands.csv")
    assert bands["num_rows"].sum() == 400
    assert bands["num_not_prose"].sum() == 100
    agreement = pl.read_csv(folder / "agreement.csv")
    exact = agreement.filter(pl.col("num_rows") == 300)  # the prose
    assert exact["rank_correlation"].to_list() == [1.0]
    quantiles = pl.read_csv(folder / "quantiles.csv")
    assert quantiles["p50"].null_count() == 1
    assert quantiles.filter(metric="mtld")["share_null"].item() == pytest.approx(0.2)
    steps = pl.read_csv(folder / "distributions.csv").filter(metric="mtld")
    for kind in ("source", "level", "all"):
        assert steps.filter(kind=kind)["num_rows"].sum() == 320


def specs_of(html: str) -> list[dict[str, Any]]:
    """What the page's plots are drawn from."""
    pattern = r'<script type="application/json" id="plot[^>]*>(.*?)</script>'
    return [json.loads(text) for text in re.findall(pattern, html)]


def test_the_page_asks_nothing_of_the_network_and_runs_two_scripts_it_names(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    outline = Outline(html)
    assert len([script for script in outline.of("script") if "type" not in script]) == 2
    assert not outline.of("link")
    assert not [a for _, a in outline.elements if "src" in a or "srcset" in a]
    policy = next(m["content"] for m in outline.of("meta") if m.get("http-equiv"))
    assert policy is not None
    assert re.match(r"default-src 'none'; script-src 'sha256-\S+' 'sha256-\S+';", policy)
    assert not re.findall(r"url\(|@import", html[: html.index("</style>")])


def test_every_plot_says_in_words_what_it_draws(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    plots = [a["aria-label"] or "" for a in Outline(html).of("div") if "data-plot" in a]
    assert len(plots) == len(specs_of(html)) == 1 + 3 * 2
    assert plots[0].startswith("Histogram of reading age, from 4.")
    assert "reading_age by level. 1: 133 values (33.2\u202f% of all), median" in plots[1]
    for label, spec in zip(plots[1:], specs_of(html)[1:], strict=True):
        (names,) = [layer["layer"] for layer in spec["layer"] if "layer" in layer]
        for row in names[-1]["data"]["values"]:
            assert row["says"] in label


def test_a_strip_is_as_high_as_the_rows_it_counts(page: Path) -> None:
    spec = specs_of(page.read_text(encoding="utf-8"))[1]
    (shapes,) = [layer["data"]["values"] for layer in spec["layer"] if "transform" in layer]
    heights = shapes[-1]["height"]  # of the first strip: level 1
    steps = pl.read_csv(page.with_name("page-data") / "distributions.csv", infer_schema_length=None)
    counts = steps.filter(metric="reading_age", kind="level", group="1").drop_nulls()
    assert len(heights) == 48 + 1  # and the end of the last step
    most = counts["num_rows"].max()
    for start, num_rows in counts.select("from", "num_rows").iter_rows():
        place = round((start - shapes[0]["low"]) / shapes[0]["step_width"])
        assert heights[place] * most == pytest.approx(num_rows, abs=0.02)
    assert sum(height > 0 for height in heights) == len(counts)


def test_hostile_text_stays_text_everywhere(tmp_path: Path) -> None:
    evil = EVIL + EVIL_NAME
    folder = write_scores(
        tmp_path / "scores",
        {EVIL_NAME: spread(60), "other": spread(60, seed=1)},
        sources=[EVIL, EVIL_NAME],
        levels=[EVIL],
        reasons=[EVIL],
        corpus=[EVIL],
        settings={EVIL: EVIL},
        unit="passage<b>",
        fingerprint=EVIL,
    )
    outline = written(
        folder,
        tmp_path / "page.html",
        metric=EVIL_NAME,
        texts=lambda p: [f"{evil}\0\u202e"] * len(p),
    )
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not outline.of("img")
    assert len([script for script in outline.of("script") if "type" not in script]) == 2
    assert "<script>alert(1)" not in html
    assert not [a for _, a in outline.elements if any(name.startswith("on") for name in a)]
    assert len(outline.of("title")) == 1
    assert outline.text.count(EVIL) > 20
    assert not re.search("[\0\u202e]", html)
    expressions = r'"(?:test|labelExpr|expr|calculate|filter)":("[^"]*")'
    calculated = re.findall(expressions, html[html.index("<body>") : html.index("</main>")])
    ours = {figures.STEP_PLACE, figures.STEP_TOP, figures.LABEL_LIMIT}
    assert {json.loads(text) for text in calculated} == ours


def test_a_tail_of_mostly_other_things_than_prose_is_warned_of_with_its_reasons(
    tmp_path: Path,
) -> None:
    ages = sorted(spread(1000))
    reasons: list[str | None] = [None] * 990 + ["code"] * 6 + ["list"] * 3 + [None]
    folder = write_scores(tmp_path / "scores", {"reading_age": ages}, reasons=reasons)
    outline = written(folder, tmp_path / "page.html")
    warning = "The hardest hundredth is mostly not prose: 9 of 11 passages (code 6, list 3)."
    assert outline.text.count(warning) == 2  # on the first screen, and at the end itself
    assert "The easiest hundredth is mostly" not in outline.text


def test_the_first_screen_shows_prose_where_a_band_has_some(tmp_path: Path) -> None:
    for name, reasons in (("some", ["list", None, "list"]), ("none", ["list"])):
        folder = full_scores(tmp_path / name, reasons=reasons)
        path = report_scores(folder, tmp_path / f"{name}.html", texts=texts)
        html = path.read_text(encoding="utf-8")
        poles = html[html.index('class="poles"') : html.index('class="facts"')]
        poles = poles.partition('class="notice"')[0]
        assert poles.count("<blockquote") == 2
        assert poles.count("not prose: list") == (2 if name == "none" else 0)


def test_a_metric_where_higher_is_easier_has_its_high_values_in_band_1(tmp_path: Path) -> None:
    outline = written(
        full_scores(tmp_path / "scores"), tmp_path / "page.html", metric="flesch_reading_ease"
    )
    assert "Higher is easier." in outline.text
    assert "Band 1 is the easiest 74.0 or more" in outline.text
    assert "Band 10 is the hardest below 26.0" in outline.text


def test_bands_named_in_the_folder_are_the_bands_of_the_page(tmp_path: Path) -> None:
    named = {"num_bands": 3, "edges": {"reading_age": [6.0, 7.0]}}
    folder = full_scores(tmp_path / "scores", bands=named)
    assert "6.0 to 7.0 years" in written(folder, tmp_path / "a.html", num_bands=3).text
    assert "up to 12.5 years" in written(folder, tmp_path / "b.html", num_bands=2).text


@pytest.mark.parametrize(
    ("metrics", "changes"),
    [
        ({"reading_age": [7.0]}, {}),
        ({"reading_age": [7.0, 8.0, 9.5]}, {"reasons": ["no words"]}),
        ({"reading_age": [7.0] * 40, "lix": [1.0] * 40}, {}),
        ({"reading_age": [None] * 98 + [3.0, 4.0], "lix": [1.0] + [None] * 99}, {}),
        ({"reading_age": spread(500)}, {"sources": [f"{place:03d}" for place in range(200)]}),
        ({"reading_age": [-1e30, 0.0, 1e-30, 1e30] * 5}, {"sources": ["x" * 5000]}),
        ({"reading_age": [0.0] * 30 + spread(30)}, {"levels": [str(n) for n in range(50)]}),
        ({"reading_age": spread(30), "lix": spread(30)}, {"sources": [None]}),
    ],
    ids=["one row", "no prose", "constant", "nulls", "200 sources", "huge", "ties", "no sources"],
)
def test_odd_scores_have_a_page_too(
    tmp_path: Path, metrics: dict[str, list[float | None]], changes: dict[str, Any]
) -> None:
    folder = write_scores(tmp_path / "scores", metrics, **changes)
    outline = written(folder, tmp_path / "page.html")
    counts = pl.read_csv(tmp_path / "page-data" / "bands.csv")
    known = sum(value is not None for value in metrics["reading_age"])
    assert counts["num_rows"].sum() == known
    assert "Band 1" in outline.text or "Bands" in outline.text
    assert ("agreement" in [a["id"] for a in outline.of("section")]) == (len(metrics) > 1)


def test_sources_beyond_the_largest_are_joined(tmp_path: Path) -> None:
    sources = [f"source {place}" for place in [*range(40), *range(12), *range(12)]]
    folder = write_scores(tmp_path / "scores", {"reading_age": spread(640)}, sources=sources)
    outline = written(folder, tmp_path / "page.html")
    (names,) = [
        layer["layer"][0]["data"]["values"]
        for spec in specs_of((tmp_path / "page.html").read_text(encoding="utf-8"))
        for layer in spec["layer"]
        if "layer" in layer
    ]
    assert [row["name"] for row in names[-1:]] == ["28 others"]
    assert "Sources beyond the 12 largest are joined." in outline.text
    steps = pl.read_csv(tmp_path / "page-data" / "distributions.csv").filter(kind="source")
    assert steps["group"].n_unique() == 13
    assert steps["num_rows"].sum() == 640
    assert steps.filter(group="28 others")["num_rows"].sum() == 280


def test_levels_that_are_numbers_stand_in_their_order(page: Path) -> None:
    spec = specs_of(page.read_text(encoding="utf-8"))[1]
    (names,) = [layer["layer"] for layer in spec["layer"] if "layer" in layer]
    assert [row["name"] for row in names[0]["data"]["values"]] == ["1", "2", "10"]


def test_errors_say_what_is_wrong_and_what_is_known(tmp_path: Path) -> None:
    folder = full_scores(tmp_path / "scores")

    def reported(place: Path, **changes: Any) -> None:
        report_scores(place, tmp_path / "page.html", texts=texts, **changes)

    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(StoreError, match=r"no folder of scores; expected scores\.json"):
            reported(place)
    with pytest.raises(
        SpecError, match=r"one of reading_age, .*; got reading_ages\. Did you mean r"
    ):
        reported(folder, metric="reading_ages")
    with pytest.raises(InputError, match="metric loss_mean: no text has a value"):
        reported(folder, metric="loss_mean")
    for num_bands in (0, 101):
        with pytest.raises(SpecError, match=f"expected 1 to 100; got {num_bands}"):
            reported(folder, num_bands=num_bands)
    (folder / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        InputError, match=r"part-00001\.parquet: part of the scores is missing or dam"
    ):
        reported(folder)
    pl.DataFrame({"id": ["a"]}).write_parquet(folder / "part-00001.parquet")
    with pytest.raises(InputError, match=r"part-00001\.parquet: .* damaged; got .*source"):
        reported(folder)
    pl.read_parquet(folder / "part-00000.parquet").head(9).write_parquet(
        folder / "part-00001.parquet"
    )
    with pytest.raises(InputError, match="got 9 rows instead of 134"):
        reported(folder)
    for content, error, message in (
        ("{", StoreError, "no folder of scores"),
        ("[]", StoreError, "no folder of scores"),
        ('{"schema_version": 2}', StoreError, "got schema_version 2"),
        (
            '{"schema_version": 1}',
            InputError,
            "not the description of scores; got KeyError 'columns'",
        ),
    ):
        (folder / "scores.json").write_text(content, encoding="utf-8")
        with pytest.raises(error, match=message):
            reported(folder)
    assert not (tmp_path / "page.html").exists()


def test_memory_holds_a_batch_not_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradatim.report.scores_folder._BATCH_ROWS", 64)
    folder = full_scores(tmp_path / "scores", 1000)
    small = report_scores(folder, tmp_path / "small.html", texts=texts).read_text(encoding="utf-8")
    monkeypatch.undo()
    large = report_scores(folder, tmp_path / "large.html", texts=texts).read_text(encoding="utf-8")
    assert small == large.replace("large-data", "small-data")
    assert np.all([len(part) > 64 for part in _parts(folder)])


def _parts(folder: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))]
