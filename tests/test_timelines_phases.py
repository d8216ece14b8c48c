"""Learn, focus, review: exact phases, an exact rule of dropping, and nothing lost in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from gradatim.errors import MismatchError, SpecError
from gradatim.record.read import Record
from gradatim.timelines.data.door import BlockIds, BlockTable, Curriculum, Losses
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.phases import Phases
from gradatim.train.run import train
from tiny_runs import TinyStore, files_of, tiny_spec

NUM_BLOCKS = 40
BATCH = 4
LFR_DRAWS = 40 + 20 + 40 + 5 * 12


def table_of(num_blocks: int = NUM_BLOCKS, /, **columns: Any) -> BlockTable:
    ids = np.arange(num_blocks, dtype=np.uint32) * 3 + 5  # a split is no range
    labels = np.arange(num_blocks) % 2
    return BlockTable(ids, columns, {"source": (("a", "b"), labels)})


def losses_of(ids: BlockIds, step: int) -> Losses:
    """Losses of which several are equal, and which change in time otherwise than evenly."""
    return ((ids.astype(np.int64) * 7 + step * (ids % 5)) % 23).astype(np.float32)


def made(num_draws: int, table: BlockTable | None = None, seed: int = 3, **settings: Any) -> Any:
    spec = Phases.model_validate({"phases": "lfr"} | settings)
    return make_curriculum(spec, table or table_of(), num_draws=num_draws, seed=seed)


def batches(
    curriculum: Curriculum, num_draws: int, first: int = 0, batch: int = BATCH
) -> Iterator[BlockIds]:
    """Draw, train on it, and so on, from a step."""
    for step in range(first, num_draws // batch):
        drawn = curriculum.draw(step * batch / num_draws, batch)
        curriculum.observe(drawn, losses_of(drawn, step))
        yield drawn


def drawn_by(curriculum: Curriculum, num_draws: int, batch: int = BATCH) -> NDArray[np.uint32]:
    return np.concatenate(list(batches(curriculum, num_draws, batch=batch)))


# The schedule


def test_the_published_phases_are_those_of_the_table() -> None:
    """Of 40 blocks: phase, kind, draws, blocks, epochs."""
    table = [
        (1, "learn", 40, 40, 1.0),
        (2, "focus", 20, 20, 1.0),
        (3, "review", 40, 40, 1.0),
        (4, "focus", 60, 12, 5.0),
    ]
    curriculum = made(LFR_DRAWS)
    planned = curriculum.plan["phases"]
    assert table == [
        (index, phase["kind"], phase["draws"], phase["blocks"], phase["epochs"])
        for index, phase in enumerate(planned, 1)
    ]
    drawn = drawn_by(curriculum, LFR_DRAWS)
    for start, stop, num_blocks, times in [
        (0, 40, 40, 1), (40, 60, 20, 1), (60, 100, 40, 1), (100, 160, 12, 5),
    ]:  # fmt: skip
        counts = np.unique(drawn[start:stop], return_counts=True)[1]
        assert counts.tolist() == [times] * num_blocks
    assert curriculum.plan["epochs"] == 4.0
    assert json.dumps(curriculum.plan)
    assert (
        "focus for 5 epochs on those left when the 70% of lowest mean loss are dropped"
        in (curriculum.plan["sentence"])
    )


def test_in_proportion_the_same_phases_fill_any_run() -> None:
    draws = [phase["draws"] for phase in made(97, phases="lfr_fitted").plan["phases"]]
    assert draws == [24, 12, 25, 36]


def test_fitted_blocks_are_as_many_as_the_phases_use_up() -> None:
    curriculum = made(82, corpus="fitted")
    assert curriculum.plan["num_blocks"] == 20  # 82 / 4
    assert [phase["draws"] for phase in curriculum.plan["phases"]] == [20, 10, 20, 32]
    counts = np.unique(drawn_by(curriculum, 82, batch=2), return_counts=True)[1]
    assert len(counts) == 20
    assert counts.min() >= 2
    plenty = made(400, corpus="fitted").plan
    assert plenty["num_blocks"] == NUM_BLOCKS
    assert [phase["draws"] for phase in plenty["phases"]] == [100, 50, 100, 150]


def test_fitted_blocks_are_of_the_sample_that_the_arms_share() -> None:
    fitted = made(30, corpus="fitted", sample="budget")
    uniform = Phases.model_validate({"phases": [{"kind": "learn", "epochs": 1}]})
    assert uniform.controls() == {}
    shared = make_curriculum(
        tiny_spec(data={"kind": "uniform", "sample": "budget"}).recipe.data,
        table_of(),
        num_draws=30,
        seed=3,
    )
    assert set(drawn_by(fitted, 30, batch=1)) <= set(shared.draw(0.0, 30))


@pytest.mark.parametrize("batch", [1, 3, 7, 160])
def test_phases_are_exact_whatever_the_batch(batch: int) -> None:
    drawn = drawn_by(made(LFR_DRAWS), LFR_DRAWS, batch=batch)
    assert len(np.unique(drawn[:40])) == 40
    assert len(np.unique(drawn[60:100])) == min(40, len(drawn[60:100]))


def test_a_focus_may_rank_anew_before_every_pass() -> None:
    phases = [
        {"kind": "learn", "epochs": 1},
        {"kind": "focus", "epochs": 3, "drop": 0.5, "rerank": True},
    ]
    curriculum = made(100, phases=phases)
    begun = []
    for _ in batches(curriculum, 100):
        if news := curriculum.news():
            begun += news["phases_begun"]
    assert [(one["phase"], one["blocks"]) for one in begun] == [(1, 40), (2, 20), (2, 20), (2, 20)]


# The rule


def reference_of_lfr(drawn: NDArray[np.uint32], ids: BlockIds) -> tuple[set[int], set[int]]:
    """What both focuses of the default may draw, by the losses of the steps before them."""
    last: dict[int, float] = {}
    allowed = []
    for place, block in enumerate(drawn.tolist()):
        if place in (40, 100):
            num_dropped = int({40: 0.5, 100: 0.7}[place] * len(ids))
            border = sorted(last.values())[num_dropped - 1]
            allowed.append({block for block in last if last[block] >= border})
        last[block] = float(losses_of(np.array([block], np.uint32), place // BATCH)[0])
    return allowed[0], allowed[1]


def test_the_blocks_left_are_those_of_highest_loss() -> None:
    drawn = drawn_by(made(LFR_DRAWS), LFR_DRAWS)
    first, second = reference_of_lfr(drawn, table_of().ids)
    assert set(drawn[40:60].tolist()) <= first
    assert set(drawn[100:].tolist()) <= second


def kept_after(values_of_visits: list[dict[int, float]], **focus: Any) -> list[int]:
    """Which of ten blocks a focus keeps, after these losses were seen in this order."""
    settings = {name: focus.pop(name) for name in ("control", "reference") if name in focus}
    table = focus.pop("table", None) or BlockTable(np.arange(10, dtype=np.uint32))
    phases = [{"kind": "learn", "share": 0.5}, {"kind": "focus", "share": 0.5, **focus}]
    curriculum = made(200, table, phases=phases, **settings)
    curriculum.draw(0.0, 100)
    for seen in values_of_visits:
        losses = np.array(list(seen.values()), np.float32)
        curriculum.observe(np.array(list(seen), np.uint32), losses)
    return sorted(set(curriculum.draw(0.5, 100).tolist()))


RISING = {block: float(block) for block in range(10)}


def test_what_is_dropped_is_what_the_setting_says() -> None:
    assert kept_after([RISING], drop=0.3) == [3, 4, 5, 6, 7, 8, 9]
    assert kept_after([RISING], drop=0.3, control="easiest") == [0, 1, 2, 3, 4, 5, 6]
    assert kept_after([RISING], drop=0.3, control="middle") == [1, 2, 3, 4, 5, 6, 7]
    assert len(kept_after([RISING], drop=0.3, control="random")) == 7
    assert kept_after([RISING], drop=0.3, control="random") != [3, 4, 5, 6, 7, 8, 9]


def test_blocks_never_visited_are_kept() -> None:
    seen = {0: 5.0, 1: 6.0, 2: 9.0, 3: 7.0}
    assert kept_after([seen], drop=0.5) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert kept_after([], drop=0.9) == list(range(10))


def test_equal_losses_are_dropped_at_random() -> None:
    equal = dict.fromkeys(range(10), 1.0) | {9: 0.5, 8: 2.0}
    kept = kept_after([equal], drop=0.5)
    assert len(kept) == 5
    assert 8 in kept
    assert 9 not in kept
    assert kept != [4, 5, 6, 7, 8]
    assert len(kept_after([dict.fromkeys(range(10), 1.0)], drop=0.7, control="middle")) == 3


def test_every_way_to_rank_is_its_formula() -> None:
    falls = {block: 10.0 - block for block in range(10)}  # 10 .. 1
    again = dict.fromkeys(range(10), 5.0)
    reference = np.array([0, 9, 0, 9, 0, 9, 0, 9, 0, 9], np.float32)
    table = BlockTable(np.arange(10, dtype=np.uint32), {"scores/loss_mean": reference})
    compared = {"reference": "scores/loss_mean", "table": table}
    assert kept_after([again, falls], drop=0.5, rank_by="last") == [0, 1, 2, 3, 4]
    assert kept_after([falls, falls, again], drop=0.5, rank_by="mean") == [0, 1, 2, 3, 4]
    assert kept_after([falls, again], drop=0.6, rank_by="rise") == [6, 7, 8, 9]
    assert kept_after([again], drop=0.5, rank_by="excess", **compared) == [0, 2, 4, 6, 8]
    assert kept_after([], drop=0.5, rank_by="learnability", **compared) == [1, 3, 5, 7, 9]


def test_a_block_visited_twice_in_a_batch_counts_twice() -> None:
    table = BlockTable(np.arange(2, dtype=np.uint32))
    phases = [{"kind": "learn", "share": 0.5}, {"kind": "focus", "share": 0.5, "drop": 0.5}]
    phases[1]["rank_by"] = "mean"
    curriculum = made(8, table, phases=phases)
    curriculum.draw(0.0, 4)
    curriculum.observe(np.array([0, 0, 1, 0], np.uint32), np.array([9, 1, 5, 2], np.float32))
    assert set(curriculum.draw(0.5, 4).tolist()) == {1}  # the mean of 0 is 4


def test_groups_drop_the_same_fraction_of_their_own() -> None:
    phases = [{"kind": "learn", "epochs": 1}, {"kind": "focus", "epochs": 1, "drop": 0.5}]
    ages = np.arange(NUM_BLOCKS, dtype=np.float32)
    ages[0] = np.nan
    table = table_of(reading_age=ages)
    sources = dict(zip(table.ids.tolist(), table.labels["source"][1].tolist(), strict=True))
    kept = drawn_by(made(60, table, phases=phases, within="source"), 60)[40:]
    assert sorted(sources[block] for block in kept.tolist()) == [0] * 10 + [1] * 10
    kept = drawn_by(made(60, table, phases=phases, within="band", num_bands=3), 60)[40:]
    bands = np.searchsorted([13, 26], ages[(kept - 5) // 3][(kept != 5)], side="right")
    assert np.all(np.bincount(bands) >= 6)


# Nothing lost


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lag_steps": 3},
        {"phases": "lfr_fitted", "control": "random"},
        {"corpus": "fitted", "control": "epochs"},
        {
            "phases": [
                {"kind": "learn", "epochs": 1},
                {"kind": "focus", "epochs": 3, "drop": 0.5, "rank_by": "rise", "rerank": True},
                {"kind": "review", "epochs": 0.25},
                {"kind": "focus", "epochs": 1.5, "drop": 0.25, "rank_by": "mean"},
            ]
        },
    ],
)
def test_restored_anywhere_it_goes_on_bitwise(settings: dict[str, Any]) -> None:
    curriculum = made(LFR_DRAWS, **settings)
    states = [curriculum.state()]
    drawn = []
    for batch in batches(curriculum, LFR_DRAWS):
        drawn.append(batch)
        states.append(curriculum.state())
    for step, state in enumerate(states):
        other = made(LFR_DRAWS, **settings)
        other.restore(state)
        rest = list(batches(other, LFR_DRAWS, first=step))
        assert [one.tolist() for one in rest] == [one.tolist() for one in drawn[step:]]


def test_it_is_not_restored_over_other_blocks() -> None:
    curriculum = made(LFR_DRAWS)
    curriculum.draw(0.0, BATCH)
    with pytest.raises(MismatchError):
        made(LFR_DRAWS, table_of(39)).restore(curriculum.state())


def test_news_come_once_as_a_phase_begins() -> None:
    curriculum = made(LFR_DRAWS)
    told = [curriculum.news() for _ in batches(curriculum, LFR_DRAWS)]
    assert [step for step, news in enumerate(told) if news] == [0, 10, 15, 25]
    assert told[0] == {
        "phases_begun": [
            {"phase": 1, "kind": "learn", "blocks": 40, "dropped": 0, "threshold": None}
        ]
    }
    assert told[10] is not None
    (focus,) = told[10]["phases_begun"]
    assert (focus["blocks"], focus["dropped"]) == (20, 20)
    assert isinstance(focus["threshold"], float)


@pytest.mark.parametrize("data", [{"phases": "lfr_fitted"}, {"phases": "lfr", "corpus": "fitted"}])
def test_a_run_keeps_to_its_plan_also_when_it_is_stopped(
    data: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec(40, {"kind": "phases", **data})
    store: Any = TinyStore(num_blocks=60)
    whole = train(spec, tmp_path / "whole", store)
    for steps in (5, 10, 9, 13, None):  # inside every phase
        train(spec, tmp_path / "stopped", store, stop_after_steps=steps)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "stopped")
    assert whole.finish is not None
    assert whole.finish["matches_plan"]
    begun = [one for event in Record.read(tmp_path / "whole").events("data")
             for one in event["phases_begun"]]  # fmt: skip
    assert [one["kind"] for one in begun] == ["learn", "focus", "review", "focus"]


# Controls


def test_controls_draw_as_much_in_every_phase_and_drop_other_blocks() -> None:
    spec = Phases.model_validate({"phases": "lfr", "corpus": "fitted"})
    assert list(spec.controls()) == ["random", "easiest", "middle", "epochs"]
    assert list(Phases.model_validate({"phases": "lfr"}).controls()) == [
        "random", "easiest", "middle",
    ]  # fmt: skip
    method = drawn_by(made(LFR_DRAWS), LFR_DRAWS)
    for name, control in Phases.model_validate({"phases": "lfr"}).controls().items():
        curriculum = make_curriculum(control, table_of(), num_draws=LFR_DRAWS, seed=3)
        drawn = drawn_by(curriculum, LFR_DRAWS)
        assert np.array_equal(drawn[:40], method[:40])
        assert len(np.unique(drawn[40:60])) == 20
        assert len(np.unique(drawn[100:])) == 12
        assert set(drawn[40:60]) != set(method[40:60])
        assert curriculum.plan["sentence"].startswith(f"{name} control, ")


def test_the_control_in_epochs_reads_the_same_blocks() -> None:
    spec = Phases.model_validate({"phases": "lfr", "corpus": "fitted"})
    epochs = spec.controls()["epochs"]
    assert not epochs.reads_losses
    curriculum = make_curriculum(epochs, table_of(), num_draws=80, seed=3)
    drawn = drawn_by(curriculum, 80)
    assert set(drawn) == set(drawn_by(made(80, corpus="fitted"), 80))
    assert np.unique(drawn, return_counts=True)[1].tolist() == [4] * 20


# Bad input


LEARN, FOCUS = {"kind": "learn", "epochs": 1}, {"kind": "focus", "epochs": 1, "drop": 0.5}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"phases": [LEARN, FOCUS | {"drop": 1}]}, "drops everything"),
        ({"phases": [FOCUS, LEARN]}, "nobody has seen"),
        ({"phases": [LEARN, {"kind": "focus", "epochs": 1}]}, "needs drop"),
        ({"phases": [LEARN | {"drop": 0.5}]}, "of a focus alone"),
        ({"phases": [LEARN, {"kind": "review", "share": 0.5}]}, "all of them shares"),
        ({"phases": [{"kind": "learn", "share": 0.5}]}, "must sum to 1; got 0.5"),
        ({"phases": [{"kind": "learn"}]}, "either epochs or a share"),
        ({"phases": "lrf"}, "expected a list or lfr or lfr_fitted, got lrf"),
        ({"phases": "lfr_fitted", "corpus": "fitted"}, "needs phases in epochs"),
        ({"phases": "lfr", "sample": "budget"}, "corpus: fitted"),
        ({"phases": [LEARN, FOCUS | {"rank_by": "excess"}]}, "needs a reference"),
        ({"phases": "lfr", "reference": "a/b"}, "a reference is for phases"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Phases.model_validate(settings)


def test_more_epochs_than_the_run_draws_are_refused() -> None:
    with pytest.raises(
        SpecError, match=r"160 draws, 4 passes.*got 150.*corpus: fitted.*lfr_fitted"
    ):
        made(150)
    assert made(159).plan["phases"][-1]["draws"] == 59  # less than a hundredth is missing
    with pytest.raises(SpecError, match="too few blocks"):
        made(3, corpus="fitted")
    with pytest.raises(SpecError, match="a block in every phase"):
        made(3, phases="lfr_fitted")


def test_a_reference_that_says_nothing_is_refused() -> None:
    phases = [LEARN, FOCUS | {"rank_by": "excess"}]
    constant: Any = np.full(NUM_BLOCKS, 2.0, np.float32)
    with pytest.raises(SpecError, match=r"data\.reference.*a/b, constant"):
        made(60, table_of(**{"a/b": constant}), phases=phases, reference="a/b")
    with pytest.raises(SpecError, match=r"data\.reference: no such metric"):
        made(60, table_of(**{"a/c": constant}), phases=phases, reference="a/b")


@pytest.mark.parametrize("num_draws", [24, 100, 400])
def test_the_plan_tells_how_little_is_dropped_where_little_was_read(num_draws: int) -> None:
    """Under four passes the proportional phases know the losses of a part of the blocks alone."""
    num_blocks = 100
    table = BlockTable(np.arange(num_blocks, dtype=np.uint32))
    spec = Phases.model_validate({"phases": "lfr_fitted"})
    curriculum: Any = make_curriculum(spec, table, num_draws=num_draws, seed=1)
    begun = []
    for draw in range(num_draws):
        ids = curriculum.draw(draw / num_draws, 1)
        begun += (curriculum.news() or {}).get("phases_begun", [])
        curriculum.observe(ids, np.float32([ids[0]]))
    planned = [phase["blocks"] for phase in curriculum.plan["phases"]]
    assert [each["blocks"] for each in begun] == pytest.approx(planned, abs=1)
    says = f"left when, of the {num_draws / 4:.0f}% read before, the 50% of lowest mean loss"
    assert (says in curriculum.plan["sentence"]) == (num_draws < 400)
