"""What became of blocks, by hand and by a second way of counting; and what the page shows of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.evaluate.bits_per_byte import HeldOutSet
from gradatim.law.compare import compare
from gradatim.record.visits import KINDS, Drift, Visits
from gradatim.report.page import report
from gradatim.study.visiting import visiting
from gradatim.train.run import train
from synthetic_study import write_study
from tiny_runs import TinyStore, tiny_spec


def visits_of(*losses_of_blocks: list[float]) -> Visits:
    """Visits in rounds, the first of every block first."""
    rounds = max(map(len, losses_of_blocks))
    seen = [(10 + b, block[k]) for k in range(rounds)
            for b, block in enumerate(losses_of_blocks) if k < len(block)]  # fmt: skip
    drawn = np.array([block for block, _ in seen], np.uint32)
    losses = np.array([loss for _, loss in seen], np.float32)
    return Visits.of(drawn, losses, np.arange(10, 10 + len(losses_of_blocks), dtype=np.uint32))


@pytest.mark.parametrize(
    ("losses", "kind", "times"),
    [
        ([], "unread", 0),
        ([3], "once", 0),
        ([3, 2], "learned", 0),
        ([3, 2, 2, 1], "learned", 0),
        ([3, 4], "unlearned", 0),
        ([3, 3], "unlearned", 0),
        ([3, 2, 4], "forgotten", 1),
        ([3, 2, 2, 4], "forgotten", 1),
        ([3, 2, 4, 5], "forgotten", 1),
        ([3, 2, 4, 1, 5], "forgotten", 2),
        ([3, 4, 1], "late", 0),
        ([3, 4, 1, 2], "forgotten", 1),
    ],
)
def test_a_block_is_what_its_losses_say(losses: list[float], kind: str, times: int) -> None:
    kinds, num_forgotten = visits_of(losses, [5, 4, 6], [1]).kinds()
    assert [KINDS[code] for code in kinds] == [kind, "forgotten", "once"]
    assert num_forgotten.tolist() == [times, 1, 0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5))
def test_counting_one_by_one_agrees(losses: list[list[int]]) -> None:
    visits = visits_of(*[[float(x) for x in block] for block in losses], [1.0])
    kinds, num_forgotten = visits.kinds()
    for block, kind, times in zip(losses, kinds, num_forgotten, strict=False):
        steps = ["f" if b < a else "r" for a, b in pairwise(block) if a != b]
        moves = "".join(steps)
        assert times == moves.count("fr")
        if len(block) < 2:
            assert KINDS[kind] == ("unread", "once")[len(block)]
        elif "fr" in moves:
            assert KINDS[kind] == "forgotten"
        elif "rf" in moves:
            assert KINDS[kind] == "late"
        else:
            assert KINDS[kind] == ("learned" if "f" in moves else "unlearned")


def test_until_a_time_only_visits_before_it_count() -> None:
    visits = visits_of([3, 2, 4], [3, 4, 5])
    shown = [[KINDS[code] for code in visits.until(time).kinds()[0]] for time in (0.1, 0.3, 0.6, 1)]
    assert shown == [
        ["once", "unread"],
        ["once", "once"],
        ["learned", "unlearned"],
        ["forgotten", "unlearned"],
    ]
    assert visits.typical_times() == pytest.approx([0.5 / 6, 2.5 / 6, 4.5 / 6])


def test_the_drift_of_held_out_text_is_taken_off() -> None:
    drift = Drift(np.array([0.0, 0.5, 1.0]), np.array([[5.0, 3.0], [3.0, 2.0], [1.0, 2.0]]))
    assert drift.mean_at(np.array([0.0, 0.25, 0.5, 1.0])).tolist() == [4.0, 3.25, 2.5, 1.5]
    falling = visits_of([4, 3.5, 3.0, 2.5])  # more slowly than held-out text
    assert [KINDS[code] for code in falling.kinds()[0]] == ["learned"]
    assert [KINDS[code] for code in falling.less(drift).kinds()[0]] == ["unlearned"]
    held_out = drift.as_visits(np.array([0.1, 0.6, 0.9]))
    assert [KINDS[code] for code in held_out.kinds()[0]] == ["learned", "learned"]
    assert [KINDS[code] for code in held_out.less(drift).kinds()[0]] == ["learned", "unlearned"]


def test_the_mean_loss_of_a_held_out_block_is_over_what_is_predicted() -> None:
    held_out = HeldOutSet(
        tokens=np.array([[9, 5, 0, 7], [1, 2, 3, 4], [1, 2, 3, 4]]),
        num_bytes=np.array([8, 9, 9]),
        slices={"all": np.array([True, True, False])},
        strata=np.zeros(3, np.int64),
        separator_id=0,
    )
    assert held_out.mean_losses(np.array([4.0, 9.0, 30.0])) == [2.0, 3.0]


class HeldOutBlocks:
    """An evaluator that says of every held-out block what it has been told to."""

    def __call__(self, network: Any, progress: float) -> list[dict[str, Any]]:
        losses = [4 - progress, 3 + progress, 3.0]
        return [{"event": "evaluate", "bits_per_byte": {"all": 1.0}, "held_out_losses": losses}]

    def num_tokens(self, progress: float) -> int:
        return 3


def test_runs_that_read_text_more_than_twice_are_told_of(tmp_path: Path) -> None:
    store: Any = TinyStore(num_blocks=30)
    evaluate: Any = HeldOutBlocks()
    records = [
        train(tiny_spec(num_steps, {"kind": "phases", "phases": "lfr_fitted"}, rung=rung),
              tmp_path / rung, store, evaluate=evaluate)
        for rung, num_steps in (("long", 40), ("short", 12))
    ]  # fmt: skip
    found = visiting(records, store)
    assert {row["rung"] for rows in found.values() for row in rows} == {"long"}
    last = [row for row in found["visits"] if row["progress"] == 1.0]
    assert sum(row["share"] for row in last) == pytest.approx(1)
    training, held_out, _, held_out_less = found["visit_kinds"]
    assert (training["of"], held_out["of"], held_out_less["is_less_drift"]) == (
        "training", "held out", True,
    )  # fmt: skip
    assert {row["label"]: row["share"] for row in last} == {kind: training[kind] for kind in KINDS}
    assert held_out["learned"] == pytest.approx(1 / 3)
    assert held_out["unlearned"] == pytest.approx(2 / 3)
    assert [row["label"] for row in found["visit_labels"]] == [f"band {n}" for n in range(1, 6)]


def test_runs_under_their_own_best_rate_stand_for_no_arm(tmp_path: Path) -> None:
    spec = tiny_spec(40, {"kind": "phases", "phases": "lfr_fitted"})
    tuned = spec.model_copy(
        update={"operation": spec.operation.model_copy(update={"is_tuned": True})}
    )
    evaluate: Any = HeldOutBlocks()
    store: Any = TinyStore(num_blocks=30)
    record = train(tuned, tmp_path / "tuned", store, evaluate=evaluate)
    assert not any(visiting([record], store).values())


def test_the_page_shows_it_and_the_pages_of_other_studies_are_as_they_were(tmp_path: Path) -> None:
    records = write_study(tmp_path / "runs", rungs=("20k",), num_seeds=2)
    comparison: Any = compare(records)
    plain = report(records, tmp_path / "plain.html", comparison=comparison, laws=())
    none: Any = {"visits": [], "visit_kinds": [], "visit_labels": []}
    without = report(records, tmp_path / "plain.html", comparison=comparison, laws=(), visits=none)
    assert plain.read_bytes() == without.read_bytes()
    assert b'id="visits"' not in plain.read_bytes()
    place = {"arm": "staged", "rung": "20k"}
    shares = dict(zip(KINDS, [0.5, 0.25, 0.1, 0.1, 0.05, 0.0], strict=True))
    rows: Any = {
        "visits": [
            place | {"progress": time, "label": kind, "share": share}
            for time in (0.5, 1.0)
            for kind, share in shares.items()
        ],
        "visit_kinds": [
            place | shares | {"of": of, "is_less_drift": is_less, "share_forgotten_again": again}
            for of, is_less, again in (("training", False, 0.82), ("held out", True, None))
        ],
        "visit_labels": [place | {"label": "band 1"} | shares],
    }  # fmt: skip
    page = report(records, tmp_path / "visits.html", comparison=comparison, laws=(), visits=rows)
    html = page.read_text()
    for text in ("What was learned, and what forgotten", "held-out blocks, less the drift", "82",
                 'href="#visits"', "Rung 20k, band 1", "--slice-5"):  # fmt: skip
        assert text in html
    assert (tmp_path / "visits-data" / "visit_kinds.csv").exists()
