"""Reviews that come when they are due: on three clocks, fixed or expanding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gradatim.errors import SpecError
from gradatim.record.read import Record
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.phases import Phases
from gradatim.train.run import train
from tiny_runs import TinyStore, files_of, tiny_spec

REVIEWS = {"learn": 0.2, "share": 0.02, "drop": 0.5}
NUM_BLOCKS, NUM_STEPS, BATCH = 50, 250, 2
NUM_DRAWS = NUM_STEPS * BATCH


def spec_of(**settings: Any) -> Phases:
    control = settings.pop("control", None)
    return Phases.model_validate({"reviews": REVIEWS | settings, "control": control})


def made(**settings: Any) -> Any:
    table = BlockTable(np.arange(NUM_BLOCKS, dtype=np.uint32))
    return make_curriculum(spec_of(**settings), table, num_draws=NUM_DRAWS, seed=1)


def norm_of(step: int) -> float:
    return 1.0 / (1 + step)


def steps(curriculum: Any, first: int = 0) -> tuple[list[list[int]], list[tuple[int, str]]]:
    """What every step drew, and at which step which kind of phase began."""
    drawn, begun = [], []
    for step in range(first, NUM_STEPS):
        ids = curriculum.draw(step / NUM_STEPS, BATCH)
        drawn.append(ids.tolist())
        if news := curriculum.news():
            begun += [(step, one["kind"]) for one in news["phases_begun"]]
        losses = ((ids * 7 + step) % 11).astype(np.float32)
        curriculum.observe(ids, losses, norm_of(step))
    return drawn, begun


def review_steps(**settings: Any) -> list[int]:
    return [step for step, kind in steps(made(**settings))[1] if kind == "review"]


@pytest.mark.parametrize("clock", ["epochs", "compute"])
def test_reviews_come_at_the_days_of_the_table(clock: str) -> None:
    """Day 0 after 50 of 250 steps; 200 steps left are 16 days of 12.5 steps."""
    found = review_steps(clock=clock), review_steps(clock=clock, spacing="fixed")
    if clock == "compute":  # whole steps; epochs part a batch
        assert found == ([63, 75, 100, 138, 238], [88, 125, 163, 200, 238])
    else:
        assert found == ([62, 75, 100, 137, 237], [87, 125, 162, 200, 237])


def test_a_focus_stands_between_reviews_and_ranks_anew() -> None:
    begun = steps(made())[1]
    assert [kind for _, kind in begun] == ["learn"] + ["focus", "review"] * 5 + ["focus"]
    drawn = np.array(steps(made())[0])
    assert len(np.unique(drawn[:25])) == NUM_BLOCKS
    between = [np.unique(drawn[start:stop]) for start, stop in [(105, 138), (143, 238)]]
    assert [len(blocks) for blocks in between] == [25, 25]
    assert set(between[0]) != set(between[1])


def test_a_day_may_be_given() -> None:
    assert review_steps(clock="compute", day=0.04, at=[1, 3]) == [60, 80]
    assert review_steps(clock="epochs", day=0.8, at=[1, 3]) == [70, 110]  # of 25 steps an epoch


def test_a_day_of_the_update_norm_is_what_the_first_steps_come_to() -> None:
    day = sum(map(norm_of, range(6)))
    moved = np.cumsum([norm_of(step) for step in range(NUM_STEPS)])
    at = [0.1, 0.2, 0.5]
    expected = [int(np.argmax(moved - moved[49] >= due * day)) + 1 for due in at]
    assert review_steps(clock="update_norm", day=6, at=at) == expected
    assert spec_of(clock="update_norm").reads_update_norms
    assert not spec_of().reads_update_norms
    assert review_steps(clock="update_norm", at=[100.0]) == []  # never due


def test_the_clock_of_the_update_norm_needs_one() -> None:
    curriculum = made(clock="update_norm")
    ids = curriculum.draw(0.0, BATCH)
    with pytest.raises(SpecError, match=r"data\.reviews\.clock.*update_norm"):
        curriculum.observe(ids, np.ones(BATCH, np.float32))


@pytest.mark.parametrize("clock", ["epochs", "compute", "update_norm"])
def test_restored_anywhere_it_goes_on_bitwise(clock: str) -> None:
    settings = {"clock": clock, "at": [0.1, 0.2, 0.5]}
    drawn, _ = steps(made(**settings))
    curriculum = made(**settings)
    for step in range(NUM_STEPS):
        if step % 9 == 0:
            other = made(**settings)
            other.restore(curriculum.state())
            assert steps(other, first=step)[0] == drawn[step:]
        ids = curriculum.draw(step / NUM_STEPS, BATCH)
        curriculum.observe(ids, ((ids * 7 + step) % 11).astype(np.float32), norm_of(step))


def test_controls_keep_the_clock_and_one_of_them_the_interval() -> None:
    controls = spec_of().controls()
    assert list(controls) == ["random", "easiest", "middle", "fixed"]
    assert "fixed" not in spec_of(spacing="fixed").controls()
    assert review_steps(control="fixed") == review_steps(spacing="fixed")
    assert review_steps(control="random") == review_steps()


@pytest.mark.parametrize("clock", ["compute", "update_norm"])
def test_a_run_with_reviews_keeps_to_its_plan_also_when_stopped(clock: str, tmp_path: Path) -> None:
    reviews: dict[str, Any] = {
        "learn": 0.2,
        "share": 0.1,
        "drop": 0.5,
        "at": [1, 2],
        "clock": clock,
    }
    if clock == "update_norm":
        reviews |= {"day": 5, "at": [0.5, 1]}
    spec = tiny_spec(30, {"kind": "phases", "reviews": reviews})
    store: Any = TinyStore(num_blocks=60)
    whole = train(spec, tmp_path / "whole", store)
    for stop in (8, 11, None):
        train(spec, tmp_path / "stopped", store, stop_after_steps=stop)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "stopped")
    assert whole.finish is not None
    assert whole.finish["matches_plan"]
    kinds = [one["kind"] for event in Record.read(tmp_path / "whole").events("data")
             for one in event["phases_begun"]]  # fmt: skip
    assert kinds.count("review") == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reviews": REVIEWS, "phases": "lfr"}, "either phases or reviews"),
        ({}, "either phases or reviews"),
        ({"reviews": REVIEWS | {"share": 0.16}}, "leave nothing to focus in.*sum to 1"),
        ({"reviews": REVIEWS | {"at": [2, 1]}}, "must rise"),
        ({"reviews": REVIEWS | {"clock": "update_norm", "day": 2.5}}, "whole number of steps"),
        ({"reviews": REVIEWS | {"rank_by": "mean"}}, "rank_by"),
        ({"reviews": REVIEWS, "corpus": "fitted"}, "needs phases in epochs"),
    ],
)
def test_reviews_that_cannot_be_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Phases.model_validate(settings)
    with pytest.raises(SpecError, match="too few blocks for its reviews"):
        spec_of().make(BlockTable(np.arange(9, dtype=np.uint32)), num_draws=9, seed=0)


@pytest.mark.parametrize(("clock", "day", "longest"), [("epochs", 8, "8"), ("compute", 0.8, "0.8")])
def test_a_run_that_ends_before_its_first_review_is_refused(
    clock: str, day: float, longest: str
) -> None:
    with pytest.raises(
        SpecError, match=rf"data.reviews.day: .* expected below {longest}"
    ) as raised:
        made(clock=clock, day=day)
    assert "\n" not in str(raised.value)
    made(clock=clock, day=0.99 * day)


def test_even_spacing_is_no_control_of_itself() -> None:
    with pytest.raises(ValidationError, match="control: fixed is of reviews at expanding"):
        spec_of(spacing="fixed", control="fixed")
    with pytest.raises(ValidationError, match="control: fixed is of reviews at expanding"):
        Phases.model_validate({"phases": "lfr", "control": "fixed"})
