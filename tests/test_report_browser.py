"""The page in a real browser: every plot drawn, no complaint, no request, wide, narrow, dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gradatim.law.compare import compare
from gradatim.law.fit import fit
from gradatim.record.read import Record
from gradatim.report.page import report
from synthetic_study import ARMS, RUNGS, STAGED, feeding_of, write_study

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
DRAWN = "theme => document.documentElement.dataset.drawn === theme"
SIZES = """() => [...document.querySelectorAll(".plot")].map(place => {
    const box = place.querySelector("svg")?.getBoundingClientRect();
    const marks = place.querySelectorAll(".mark-symbol path, .mark-area path, .mark-line path");
    return [place.dataset.plot, box?.width ?? 0, box?.height ?? 0, marks.length];
})"""
OPACITIES = """() => [...document.querySelectorAll("#plot-forest, [data-plot=plot-forest] path")]
    .filter(mark => mark.getAttribute("aria-roledescription") === "point")
    .map(mark => Number(mark.getAttribute("opacity") ?? 1))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser among {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Visit:
    """A page opened at a width and in a theme, and everything it complained of or asked for."""

    def __init__(self, browser: sync_api.Browser, path: Path, *, width: int, theme: str) -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(DRAWN, arg=theme)

    def assert_is_sound(self, path: Path) -> None:
        assert self.complaints == []
        assert self.requests == [path.as_uri()]
        drawn = self.page.evaluate(SIZES)
        assert len(drawn) >= 1
        for name, width, height, num_marks in drawn:
            assert width > 100, name
            assert height > 60, name
            assert num_marks > 0, name


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = write_study(tmp_path_factory.mktemp("runs"), num_seeds=2)
    return written(records, tmp_path_factory.mktemp("page") / "report.html", feeding_of(ARMS))


def written(records: Sequence[Record], path: Path, feeding: Sequence[dict[str, Any]] = ()) -> Path:
    return report(
        records,
        path,
        comparison=compare(records),
        laws=fit(records, num_bootstrap=4),
        feeding=feeding,
    )


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (375, "dark")])
def test_every_plot_is_drawn_without_complaint(
    browser: sync_api.Browser, page: Path, width: int, theme: str
) -> None:
    visit = Visit(browser, page, width=width, theme=theme)
    visit.assert_is_sound(page)
    assert len(visit.page.evaluate(SIZES)) > 20
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    for name, plot_width, *_ in visit.page.evaluate(SIZES):
        assert plot_width <= width, name
    visit.page.close()


def test_plots_follow_a_change_of_theme_and_a_legend_press(
    browser: sync_api.Browser, page: Path
) -> None:
    visit = Visit(browser, page, width=1280, theme="light")
    line = "[data-plot=plot-curves-0] .mark-line path[stroke='{}']"
    assert visit.page.locator(line.format("#0072b2")).count() > 0
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_function(DRAWN, arg="dark")
    assert visit.page.locator(line.format("#0072b2")).count() == 0
    assert visit.page.locator(line.format("#5ab2ec")).count() > 0

    assert set(visit.page.evaluate(OPACITIES)) == {1}
    legend = visit.page.locator("button[data-arm=staged]")
    legend.click()
    assert legend.get_attribute("aria-pressed") == "true"
    visit.page.wait_for_timeout(100)
    assert set(visit.page.evaluate(OPACITIES)) == {1, 0.08}
    legend.click()
    visit.page.wait_for_timeout(100)
    assert set(visit.page.evaluate(OPACITIES)) == {1}
    visit.assert_is_sound(page)
    visit.page.close()


def test_a_tooltip_shows_hostile_text_as_text(browser: sync_api.Browser, tmp_path: Path) -> None:
    arms = {"uniform": {"kind": "uniform", "sample": "budget"}, EVIL: STAGED}
    records = write_study(
        tmp_path / "runs",
        arms=arms,
        rungs=RUNGS[:1],
        num_seeds=2,
        texts=((EVIL, EVIL),),
        sources=(EVIL, "plain"),
    )
    feeding = [row | {"label": EVIL + row["label"]} for row in feeding_of(arms, RUNGS[:1])]
    path = written(records, tmp_path / "report.html", feeding)
    visit = Visit(browser, path, width=1280, theme="light")
    point = visit.page.locator("[data-plot=plot-forest] path[aria-roledescription=point]").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    tooltip = visit.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert EVIL in tooltip.inner_text()
    assert visit.page.locator("img").count() == 0
    visit.assert_is_sound(path)
    visit.page.close()


def test_names_that_every_object_has_are_names_like_others(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    names = ("constructor", "__proto__", "toString")
    arms = dict(zip(("uniform", *names), ARMS.values(), strict=True))
    records = write_study(tmp_path / "runs", arms=arms, rungs=RUNGS[:2], num_seeds=2, sources=names)
    feeding = [row | {"label": names[i % 3]} for i, row in enumerate(feeding_of(arms, RUNGS[:2]))]
    path = written(records, tmp_path / "report.html", feeding)
    visit = Visit(browser, path, width=1280, theme="light")
    assert visit.page.locator("[data-plot=plot-feeding-0] .mark-area path").count() == 3
    for name in names:
        visit.page.locator(f"button[data-arm={name}]").click()
        visit.page.wait_for_timeout(100)
        assert set(visit.page.evaluate(OPACITIES)) == {1, 0.08}, name
    visit.assert_is_sound(path)
    visit.page.close()


def test_one_seed_without_intervals_draws_too(browser: sync_api.Browser, tmp_path: Path) -> None:
    records = write_study(tmp_path / "runs", rungs=RUNGS[:1], num_seeds=1)
    path = written(records, tmp_path / "report.html")
    visit = Visit(browser, path, width=375, theme="dark")
    visit.assert_is_sound(path)
    visit.page.close()
