"""The report's table of repetition and its figure of the weights of online mixtures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradatim.law.compare import compare
from gradatim.record.read import Record
from gradatim.report.mixtures import MAX_POINTS, passes, passes_table, weights, weights_proof
from gradatim.report.page import report
from gradatim.report.palette import arms_of
from synthetic_records import make_study


def changed(record: Record, *first: dict[str, Any], **finish: Any) -> Record:
    """The same with other events before, and with more in its last one."""
    kinds = ("start", "data", "evaluate", "finish")
    events = [event for kind in kinds for event in record.events(kind)]
    return replace(record, _events=(*first, *events[:-1], {**events[-1], **finish}))


def with_passes(record: Record, **shares: float) -> Record:
    """The same with passes over bands, such as `band_1=2.0`."""
    return changed(record, passes={n.replace("_", "/"): s for n, s in shares.items()})


def with_weights(record: Record, *told: tuple[float, dict[str, float]]) -> Record:
    start = {"event": "start", "plan": {"by": "band"}}
    events = [{"event": "data", "progress": progress, "weights": w} for progress, w in told]
    return changed(record, start, *events)


@pytest.fixture(scope="module")
def study() -> list[Record]:
    read = {"uniform": (1.0, 1.0, 1.0), "odm": (3.0, 1.05, 0.5)}
    records = []
    for place, record in enumerate(make_study({"odm": -0.02}, rungs=("20k", "50k"), num_seeds=2)):
        easy, middle, hard = read[record.spec.arm]
        many = 2 if record.spec.rung == "50k" else 1
        record = with_passes(
            record, band_1=easy * many + place % 2 / 50, band_2=middle * many, band_3=hard * many
        )
        if record.spec.arm == "odm":
            moved = {"1": 0.25 + place / 100, "2": 0.5, "none": 0.25 - place / 100}
            record = with_weights(record, (0.0, {"1": 0.5, "2": 0.3, "none": 0.2}), (0.5, moved))
        records.append(record)
    return records


def tables_of(records: list[Record]) -> dict[str, Any]:
    return {"passes": passes(records), "weights": weights(records)}


def test_passes_are_shown_of_the_parts_in_which_arms_differ(study: list[Record]) -> None:
    comparison = compare(study)
    table = passes_table(comparison, tables_of(study), arms_of(comparison))
    assert table is not None
    assert [label for label, _ in table.columns] == ["Arm", "band 1", "band 3"]
    assert table.groups == {
        "Rung 20k": [["uniform", "1", "1"], ["odm", "3", "0.5"]],
        "Rung 50k": [["uniform", "2", "2"], ["odm", "6", "1"]],
    }


def test_arms_that_read_alike_have_no_table(study: list[Record]) -> None:
    alike = [with_passes(record, band_1=1.0, band_2=1.1) for record in study]
    comparison = compare(alike)
    assert passes_table(comparison, tables_of(alike), arms_of(comparison)) is None


def test_weights_are_those_of_the_record_at_the_lowest_seed(study: list[Record]) -> None:
    rows = [row for row in weights(study) if row["rung"] == "50k"]
    shown = [(row["progress"], row["label"], row["share"]) for row in rows]
    assert shown[:3] == [(0.0, "band 1", 0.5), (0.0, "band 2", 0.3), (0.0, "band none", 0.2)]
    assert shown[3:5] == [(0.5, "band 1", pytest.approx(0.31)), (0.5, "band 2", 0.5)]
    comparison = compare(study)
    proof = weights_proof(comparison, tables_of(study), arms_of(comparison))
    assert proof is not None
    assert proof["rung"] == "50k"
    assert proof["labels"] == ["band none", "band 1", "band 2"]
    assert [figure.title for figure in proof["figures"]] == ["odm"]


def test_weights_of_very_many_changes_are_thinned_and_end_where_they_do(
    study: list[Record],
) -> None:
    told = [(step / 1000, {"1": step / 1000, "2": 1 - step / 1000}) for step in range(1000)]
    rows = weights([with_weights(study[0], *told)])
    assert len(rows) <= 2 * (MAX_POINTS + 1)
    assert rows[-1]["progress"] == 0.999


def test_the_page_has_both_where_there_is_something_to_show(
    study: list[Record], tmp_path: Path
) -> None:
    page = report(study, tmp_path / "a.html", comparison=compare(study), laws=()).read_text()
    for text in ("How often each part was read", "How online mixtures moved", "plot-weights-1"):
        assert text in page
    plain = make_study({"odm": -0.02}, rungs=("20k",), num_seeds=2)
    page = report(plain, tmp_path / "b.html", comparison=compare(plain), laws=()).read_text()
    assert "How often each part was read" not in page
    assert "How online mixtures moved" not in page


def test_a_mixture_that_never_moved_has_no_figure(study: list[Record]) -> None:
    still = [with_weights(make_study({"odm": 0.0})[-1], (0.0, {"1": 0.5, "2": 0.5}))]
    comparison = compare(study)
    assert weights_proof(comparison, tables_of(still), arms_of(comparison)) is None
