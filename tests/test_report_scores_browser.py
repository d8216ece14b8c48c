"""The score report in a real browser: every plot drawn, no request, wide, narrow, dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradatim.report.scores import report_scores
from synthetic_scores import spread, texts, write_scores
from test_report_browser import DRAWN, EVIL, browser, sync_api

__all__ = ["browser"]

SHAPES = """() => [...document.querySelectorAll(".plot .mark-area path, .plot .mark-rect path")]
    .filter(mark => { const box = mark.getBoundingClientRect(); return box.width * box.height; })
    .length"""
LEVELS = "[data-plot=plot-reading_age-level]"
HEIGHTS = f"""() => [...document.querySelectorAll("{LEVELS} .mark-area path")]
    .map(mark => mark.getBoundingClientRect().height)"""
TOP_OF_BAND_7 = "document.getElementById('band-7').getBoundingClientRect().top"
OVERFLOWING = """() => [...document.querySelectorAll("main *")]
    .filter(part => !part.closest(".scroll, svg") && part.getBoundingClientRect().right >
        document.documentElement.clientWidth + 1)
    .map(part => part.className || part.tagName)"""
CONTRASTS = """() => [...document.querySelectorAll("table.matrix td.shade")].map(cell => {
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const light = parts => parts.map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const style = getComputedStyle(cell);
    const paper = numbers(getComputedStyle(document.body).backgroundColor);
    const [red, green, blue, strength = 1] = numbers(style.backgroundColor);
    const shade = [red, green, blue]
        .map((part, at) => part * strength + paper[at] * (1 - strength));
    const [one, two] = [light(numbers(style.color)), light(shade)];
    return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scores")
    names = ["reading_age", *(f"metric_with_a_long_name_{number}" for number in range(9))]
    ages = spread(300)
    metrics = {
        name: [
            (4 - seed) * age + other
            for age, other in zip(ages, spread(300, seed=seed), strict=True)
        ]
        for seed, name in enumerate(names, 1)
    }
    folder = write_scores(
        place / "scores",
        metrics,
        sources=["w" * 300, EVIL, *(f"source {number}" for number in range(20))],
        levels=["easy", EVIL, "hard"],
        reasons=[None, EVIL],
    )
    return report_scores(
        folder, place / "page.html", texts=lambda p: [f"{EVIL} {text}" for text in texts(p)]
    )


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (375, "dark")])
def test_everything_is_drawn_in_its_width_without_complaint(
    browser: sync_api.Browser, page: Path, width: int, theme: str
) -> None:
    visit = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    complaints: list[str] = []
    requests: list[str] = []
    visit.on("console", lambda message: complaints.append(message.text))
    visit.on("pageerror", lambda error: complaints.append(str(error)))
    visit.on("dialog", lambda dialog: complaints.append(dialog.message))
    visit.on("request", lambda request: requests.append(request.url))
    visit.goto(page.as_uri())
    visit.wait_for_function(DRAWN, arg=theme)
    assert complaints == []
    assert requests == [page.as_uri()]
    assert visit.locator("img").count() == 0
    assert visit.evaluate(SHAPES) > 10 + 10 * (3 + 13)  # steps and bands, and every strip
    heights = visit.evaluate(HEIGHTS)
    assert heights == pytest.approx([0.9 * 32] * 3, abs=1)  # every strip fills its own row
    assert visit.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.evaluate(OVERFLOWING) == []
    assert min(visit.evaluate(CONTRASTS)) > 4.2
    assert EVIL in visit.locator(".excerpt blockquote").first.inner_text()
    visit.locator(".legend a[href='#band-7']").click()
    assert visit.evaluate(TOP_OF_BAND_7) < 200
    visit.evaluate("window.scrollTo(0, 0)")
    key = visit.locator("[data-plot=plot-spread] .mark-rect").nth(1)
    key.locator("path").nth(6).click(force=True)
    assert visit.evaluate(TOP_OF_BAND_7) < 200
    strip = visit.locator(f"{LEVELS} .mark-rect path").first
    strip.hover(force=True)
    tooltip = visit.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert ": 100 values (33.3\u202f% of all), median" in tooltip.inner_text()
    visit.close()
