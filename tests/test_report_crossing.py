"""The page of a study under several schedules of the rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gradatim.law.compare import compare
from gradatim.law.fit import fit
from gradatim.record.read import Record
from gradatim.record.tuning import Choice
from gradatim.report.page import report
from gradatim.timelines.rate import Rate
from synthetic_study import ARMS, feeding_of, write_study
from test_report_page import Outline

RATES = {"cosine": Rate(kind="cosine"), "flat": Rate(kind="constant")}
RUNGS = ("20k", "50k")


def under(record: Record, schedule: str, shift: float) -> Record:
    """The same run under a schedule, its arm's losses higher by a shift."""
    spec = record.spec
    recipe = spec.recipe.model_copy(update={"rate": RATES[schedule]})
    operation = spec.operation.model_copy(update={"schedule": schedule})
    spec = spec.model_copy(update={"recipe": recipe, "operation": operation})
    events: list[dict[str, Any]] = []
    for event in record._events:
        if event["event"] == "evaluate":
            bits = {name: value + shift for name, value in event["bits_per_byte"].items()}
            without = {name: value for name, value in event.items() if name != "blocks"}
            events.append(without | {"bits_per_byte": bits})
            mean = {"event": "evaluate_average", "weights": "ema"}
            if schedule == "flat":
                events.append(events[-1] | mean)
        else:
            events.append(event)
    return Record(record.folder, spec, record.segments, record.seconds, tuple(events))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Record]:
    plain = write_study(tmp_path_factory.mktemp("runs"), rungs=RUNGS)
    random = np.random.default_rng(0)
    effect = {("flat", "staged"): 0.04}
    return [
        under(
            record,
            schedule,
            effect.get((schedule, record.spec.arm), 0.0) + random.normal(0, 0.001),
        )
        for record in plain
        for schedule in RATES
    ]


def test_the_page_asks_again_at_every_arm_s_own_best_rate(tmp_path: Path) -> None:
    arms = {name: ARMS[name] for name in ("uniform", "staged")}
    plain = write_study(tmp_path / "runs", arms=arms, rungs=("20k",), effects={"staged": -0.08})
    random = np.random.default_rng(1)
    tuned = []
    for record in plain:
        moved = under(record, "cosine", random.normal(0.0, 0.001))
        rate = Rate(peak=0.005)
        recipe = record.spec.recipe.model_copy(update={"rate": rate})
        more = {"is_tuned": True, "tuning_flops": 5e9}
        operation = record.spec.operation.model_copy(update=more)
        spec = record.spec.model_copy(update={"recipe": recipe, "operation": operation})
        *events, finish = moved._events
        finish = finish | {"noted": {"tuning": 5e9}}
        tuned.append(
            Record(record.folder, spec, record.segments, record.seconds, (*events, finish))
        )
    settings = {"rung": "20k", "rate": 0.005, "weight_decay": 0.1, "is_shared": False, "flops": 5e9}
    choices = [Choice.model_validate({"arm": arm, "at_edge": ["rate"], **settings}) for arm in arms]
    records = [*plain, *tuned]
    comparison = compare(records, choices=choices)
    page = report(records, tmp_path / "report.html", comparison=comparison, laws=[])
    outline = Outline(page.read_text(encoding="utf-8"))
    for text in (
        "That staged is better than uniform survives when each arm has its own best rate",
        "The best rate of uniform at rung 20k (0.005) and staged at rung 20k (0.005) is the least",
        "When each arm has its own best rate",
        "tuning (not charged)",
        "At every rung, every run was charged the same number of FLOPs.",
    ):
        assert text in outline.text, text
    shown = pl.read_csv(tmp_path / "report-data" / "ledger.csv")
    assert set(shown.filter(account="tuning")["is_tuned"]) == {True}
    assert len(pl.read_csv(tmp_path / "report-data" / "curves.csv")) == len(plain) * 17


def test_the_page_shows_every_schedule_and_how_differences_change(
    records: Sequence[Record], tmp_path: Path
) -> None:
    comparison = compare(records)
    page = report(
        records,
        tmp_path / "report.html",
        comparison=comparison,
        laws=fit(records, num_bootstrap=4),
        feeding=feeding_of(ARMS, RUNGS),
    )
    outline = Outline(page.read_text(encoding="utf-8"))
    ids = [attributes["id"] for attributes in outline.of("section")]
    assert ids[:4] == ["answer", "schedules", "results", "curves"]
    for text in (
        "staged against uniform at equal compute: better under cosine; worse under flat",
        "Under cosine: at equal compute, staged ended",
        "Under flat: at equal compute, staged ended",
        "is less in its favour under flat than under cosine, by 0.0",
        "Under flat, minus under cosine",
        "Weights and their averages",
        "Where the difference lies, under cosine",
        "At every rung, every run was charged the same number of FLOPs.",
    ):
        assert text in outline.text, text
    plots = [
        attributes["data-plot"] for attributes in outline.of("div") if "data-plot" in attributes
    ]
    assert len(set(plots)) == len(plots)
    assert {"plot-curves-0-under-cosine", "plot-differences-1-under-flat"} <= set(plots)

    data = tmp_path / "report-data"
    for name in ("summary", "curves", "finals", "ledger", "runs", "law_points"):
        assert set(pl.read_csv(data / f"{name}.csv")["schedule"]) == set(RATES)
    changes = pl.read_csv(data / "interactions.csv").filter(arm="staged", rung="all rungs")
    assert changes["change"].to_list() == pytest.approx([0.04], abs=0.003)
    assert set(pl.read_csv(data / "averages.csv")["weights"]) == {"weights", "ema"}
