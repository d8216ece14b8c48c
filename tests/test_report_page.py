"""The page as a file: complete, small, the same bytes for the same study, nothing unescaped."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from gradatim.errors import RecordError
from gradatim.law.compare import compare
from gradatim.law.fit import fit
from gradatim.record.read import Record
from gradatim.report import figures
from gradatim.report.html import MAX_PAGE_BYTES, write_tables
from gradatim.report.page import report
from gradatim.report.parts import script_json
from gradatim.report.results import page_decimals
from gradatim.report.wording import flops, interval, number, signed
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
    return write_study(tmp_path_factory.mktemp("runs"), num_seeds=2, multiples=(0.5, 2.0))


def written(records: Sequence[Record], path: Path, **changes: object) -> str:
    settings: dict[str, object] = {
        "comparison": compare(records, missing=["staged, rung 1m, seed 0: out of memory"]),
        "laws": fit(records, num_bootstrap=4),
        "title": "Do easy levels first help?",
        "study_yaml": "name: synthetic\n",
        "feeding": feeding_of(ARMS),
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
        "Once what its arm and its seed do is taken out, a run scatters by",
        "36, 12 of them at other budgets",
        "48 blocks, 24\u202fkB; by level: a 17\u202f%, b 17\u202f%",
        "8 blocks from elsewhere",
        "Gained where it read last?",
        "for the same loss it needs".capitalize(),
        "staged, rung 1m, seed 0: out of memory",
        "differ in their order alone",
        "In all 24 runs the blocks drawn",
        "At every rung, every run was charged the same number of FLOPs.",
        TEXTS[0][0],
        "name: synthetic",
        "Stages as `staged` draws it.",
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


def test_the_page_shows_the_numbers_of_the_comparison(
    page: Path, records: Sequence[Record]
) -> None:
    html = page.read_text(encoding="utf-8")
    comparison = compare(records)
    found = comparison.difference("staged", "uniform")
    ratio = comparison.ratio("staged", "uniform")
    assert found is not None
    assert ratio is not None
    cells = re.findall(r"<tr><td class=\"arm\">.*?</svg> staged</td>(.*?)</tr>", html, re.DOTALL)
    numbers = [re.findall(r">([^<]*)</td>", row) for row in cells]
    part, at_rung, decimals = found.rungs[0], ratio.rungs[0], page_decimals(comparison)
    final = next(f for f in comparison.finals if (f.arm, f.rung) == ("staged", "20k"))
    assert numbers[0] == [
        number(final.mean, decimals),
        signed(part.estimate.mean, decimals),
        interval(part.estimate.low, part.estimate.high, decimals, sign=True),
        part.verdict,
        number(at_rung.ratio, 2),
        interval(at_rung.low, at_rung.high, 2).replace("–", "…"),
    ]
    spec = json.loads(re.findall(r'id="plot-forest">(.*?)</script>', html)[0])
    (dots,) = [
        found["data"]["values"] for found in spec["layer"] if found["mark"]["type"] == "point"
    ]
    plotted = {(row["arm"], row["rung"]): row["difference"] for row in dots}
    assert plotted["staged", "20k"] == pytest.approx(part.estimate.mean, rel=1e-5)
    assert len(plotted) == 3 * 4


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
    feeding = [row | {"label": EVIL + row["label"]} for row in feeding_of(arms, RUNGS[:2])]
    html = written(
        hostile,
        tmp_path / "report.html",
        title=EVIL,
        study_yaml=EVIL,
        feeding=feeding,
        comparison=compare(hostile, missing=[EVIL]),
    )
    outline = Outline(html)
    assert not outline.of("img")
    assert not [a for _, a in outline.elements if any(name.startswith("on") for name in a)]
    scripts = outline.of("script")
    assert len([s for s in scripts if "type" not in s]) == 2
    assert outline.text.count(EVIL) > 10
    assert "<script>alert(1)" not in html


def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "\tb", "\r=c", "a=b", "", None]
    rows = [{"arm": text, "difference": -0.5} for text in texts]
    write_tables({"summary": rows}, tmp_path)
    found = pl.read_csv(tmp_path / "summary.csv")
    assert found["difference"].to_list() == [-0.5] * len(texts)
    shown = [None if text is None else f"'{text}" for text in texts[:6]]
    assert found["arm"].to_list() == [*shown, *texts[6:]]


def test_the_ledger_says_what_was_not_charged_and_why(tmp_path: Path) -> None:
    evaluation = "Evaluation is not charged: it is the same for every arm."
    shared = "Scores that a model gave are shared by the runs named"
    reference = "Training the model that scored is not charged."
    for name, noted, expected in (
        ("plain", ("evaluation",), (True, False, False)),
        ("scored", ("scoring, paid by 3 other runs", "reference", "train"), (True, True, True)),
    ):
        records = write_study(tmp_path / name, rungs=RUNGS[:1], num_seeds=2, noted=noted)
        html = written(records, tmp_path / f"{name}.html")
        text = Outline(html).text
        spent = next(r.finish for r in records if r.finish)["ledger"]["train"]
        cells = re.findall(r'<td class="number[^"]*">([^<]*)</td>', html)
        assert cells.count(flops(spent)) == 2 * len(ARMS)  # charged, and in sum
        assert tuple(found in text for found in (evaluation, shared, reference)) == expected


def test_runs_off_their_plan_are_named(tmp_path: Path) -> None:
    records = write_study(tmp_path / "runs", rungs=RUNGS[:1], num_seeds=2)
    off = [
        replace(r, _events=tuple(e | {"matches_plan": False} for e in r._events))
        if (r.spec.arm, r.spec.seed) == ("staged", 1)
        else r
        for r in records
    ]
    text = Outline(written(off, tmp_path / "report.html")).text
    assert "The order drawn is not the planned one in: staged, rung 20k, seed 1." in text


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
    assert found == {figures.SHOWN, figures.BAND_SHOWN, figures.UNSIGNED_ZERO}


def test_a_study_of_one_arm_one_rung_one_seed_still_has_a_page(tmp_path: Path) -> None:
    alone = write_study(
        tmp_path / "runs", arms={"uniform": ARMS["uniform"]}, rungs=RUNGS[:1], num_seeds=1, texts=()
    )
    html = written(alone, tmp_path / "report.html", feeding=(), study_yaml=None)
    text = Outline(html).text
    assert "There is nothing to compare" in text
    assert "Nothing is known about noise" in text
    assert "nan" not in text
    assert not (tmp_path / "report-data" / "slices.csv").exists()


def test_no_records_is_an_error_that_says_so(records: Sequence[Record], tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no runs to report on; expected at least one record"):
        report([], tmp_path / "report.html", comparison=compare(records), laws=[])
