"""The page as a file: complete, small, the same bytes for the same study, nothing unescaped."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from gradatim.errors import RecordError
from gradatim.law.compare import compare
from gradatim.law.fit import fit
from gradatim.record.read import Record
from gradatim.report import plots
from gradatim.report.page import MAX_PAGE_BYTES, report
from gradatim.report.parts import script_json
from synthetic_study import ARMS, RUNGS, STAGED, TEXTS, feeding_of, write_study

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Outline(HTMLParser):
    """What a browser would see of a page: elements, their attributes, text outside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._is_code = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._is_code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._is_code = False

    def handle_data(self, data: str) -> None:
        if not self._is_code:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Record]:
    return write_study(tmp_path_factory.mktemp("runs"), num_seeds=2)


def written(records: Sequence[Record], path: Path, **changes: object) -> str:
    settings: dict[str, object] = {
        "comparison": compare(records),
        "laws": fit(records, num_bootstrap=4),
        "title": "Do easy levels first help?",
        "study_yaml": "name: synthetic\n",
        "feeding": feeding_of(ARMS),
        "missing": ["staged, rung 1m, seed 0: out of memory"],
    }
    return report(records, path, **(settings | changes)).read_text(encoding="utf-8")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(records: Sequence[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    written(records, path)
    return path


def test_the_page_answers_first_and_has_every_section(page: Path) -> None:
    outline = Outline(page.read_text(encoding="utf-8"))
    assert "At equal compute, staged ended 0.0" in outline.text
    ids = [attributes["id"] for attributes in outline.of("section")]
    assert ids == [
        *("answer", "results", "curves", "differences", "slices", "tasks", "laws"),
        *("feeding", "ledger", "samples", "method", "reproduce"),
    ]
    links = [a["href"] for a in outline.of("a") if (a["href"] or "").startswith("#")]
    assert links == [f"#{name}" for name in ids]
    for text in (
        "The smallest difference this study could have seen",
        "staged, rung 1m, seed 0: out of memory",
        "differ in the order alone",
        "In all 24 runs the blocks drawn",
        "At every rung, every run was charged the same number of FLOPs.",
        TEXTS[0][0],
        "name: synthetic",
    ):
        assert text in outline.text, text


def test_the_page_is_small_and_the_same_bytes_again(
    page: Path, records: Sequence[Record], tmp_path: Path
) -> None:
    assert page.stat().st_size < MAX_PAGE_BYTES / 2
    assert written(records, tmp_path / "report.html") == page.read_text(encoding="utf-8")


def test_every_plot_has_its_numbers_in_a_csv_that_the_page_names(page: Path) -> None:
    folder = page.with_name("report-data")
    on_disk = {path.name for path in folder.iterdir()}
    links = {a["href"] for a in Outline(page.read_text(encoding="utf-8")).of("a")}
    named = {link.rpartition("/")[2] for link in links if link and link.startswith("report-data/")}
    assert named <= on_disk
    assert on_disk - named == {"finals.csv"}
    assert len(pl.read_csv(folder / "curves.csv")) == 24 * 17


def test_the_page_asks_nothing_of_the_network(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    outline = Outline(html)
    assert not [a for _, a in outline.elements if "src" in a or "srcset" in a]
    assert not outline.of("link")
    policy = next(m["content"] for m in outline.of("meta") if m.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.findall(r"url\(|@import", html[: html.index("</style>")])


def test_hostile_text_stays_text_everywhere(tmp_path: Path) -> None:
    arms = {"uniform": {"kind": "uniform", "sample": "budget"}, EVIL: STAGED}
    hostile = write_study(
        tmp_path / "runs",
        arms=arms,
        rungs=RUNGS[:2],
        num_seeds=2,
        texts=((EVIL, EVIL),),
        sources=(EVIL, "plain"),
    )
    feeding = feeding_of(arms, RUNGS[:2]).with_columns(label=pl.lit(EVIL) + pl.col("label"))
    html = written(
        hostile,
        tmp_path / "report.html",
        title=EVIL,
        study_yaml=EVIL,
        feeding=feeding,
        missing=[EVIL],
    )
    outline = Outline(html)
    assert not outline.of("img")
    assert not [a for _, a in outline.elements if any(name.startswith("on") for name in a)]
    scripts = outline.of("script")
    assert len([s for s in scripts if "type" not in s]) == 2
    assert outline.text.count(EVIL) > 10
    assert "<script>alert(1)" not in html


def test_json_in_a_script_cannot_end_it() -> None:
    text = script_json({"text": EVIL, "separator": "\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["text"] == EVIL


def test_user_text_is_never_part_of_an_expression(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    specs = re.findall(r'<script type="application/json" id="plot[^>]*>(.*?)</script>', html)
    assert len(specs) > 10
    key = r'"(?:test|labelExpr|expr|calculate|filter)":("(?:[^"\\]|\\.)*")'
    found = {json.loads(text) for spec in specs for text in re.findall(key, spec)}
    assert found == {plots.SHOWN, plots.BAND_SHOWN, plots.UNSIGNED_ZERO}


def test_a_study_of_one_arm_one_rung_one_seed_still_has_a_page(tmp_path: Path) -> None:
    alone = write_study(
        tmp_path / "runs", arms={"uniform": ARMS["uniform"]}, rungs=RUNGS[:1], num_seeds=1, texts=()
    )
    html = written(alone, tmp_path / "report.html", feeding=None, study_yaml=None, missing=())
    text = Outline(html).text
    assert "There is nothing to compare" in text
    assert "With one seed there is no measure of noise" in text
    assert "nan" not in text
    assert not (tmp_path / "report-data" / "slices.csv").exists()


def test_no_records_is_an_error_that_says_so(records: Sequence[Record], tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no runs to report on; expected at least one record"):
        report([], tmp_path / "report.html", comparison=compare(records), laws=[])
