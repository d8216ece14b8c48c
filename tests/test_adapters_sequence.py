"""The sequence of blocks behind every adapter: drawn ahead, saved where training is, gone on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gradatim.adapters.indices import write_indices
from gradatim.adapters.sequence import BlockSequence, make_sequence
from gradatim.adapters.tables import table_of_columns
from gradatim.blocks.store import Store
from gradatim.errors import MismatchError, RecordError, SpecError
from gradatim.recipe import Recipe
from gradatim.streams import run_key
from gradatim.timelines.data.door import BlockIds, BlockTable, Curriculum
from gradatim.timelines.data.kinds import make_curriculum
from gradatim.timelines.data.lag import Lagged
from gradatim.train.run import train
from tiny_runs import BATCH_BLOCKS, TinyStore, tiny_spec
from toy_curricula import HighestLossFirst

NUM_STEPS, BATCH, NUM_ROWS = 60, 8, 200
AGES = np.random.default_rng(0).gamma(6, 2, NUM_ROWS)
CEILING = {"kind": "ceiling", "ramp": 0.5}
STAGES = {
    "kind": "stages",
    "by": "level",
    "stages": [{"until": 0.5, "weights": {"a": 3, "b": 1}}, {"until": 1, "weights": {"b": 1}}],
    "even_ending_fraction": 0.2,
}
TIMELINES = [{"kind": "uniform"}, CEILING, {**CEILING, "sample": "budget"}, STAGES]


def table() -> BlockTable:
    levels = ["a" if age < 12 else "b" for age in AGES]
    return table_of_columns({"reading_age": AGES}, {"level": levels})


def sequence_of(timeline: dict[str, object], seed: int = 3) -> BlockSequence:
    return make_sequence(timeline, table(), num_steps=NUM_STEPS, batch_blocks=BATCH, seed=seed)


def by_hand(timeline: dict[str, object]) -> NDArray[np.uint32]:
    """[NUM_STEPS, BATCH] drawn from the door itself, one step after the other."""
    spec = Recipe.parse({"data": timeline}, where="test").data
    curriculum = make_curriculum(spec, table(), num_draws=NUM_STEPS * BATCH, seed=3)
    return np.array([curriculum.draw(step / NUM_STEPS, BATCH) for step in range(NUM_STEPS)])


def losses_of(block_ids: BlockIds, step: int) -> NDArray[np.float32]:
    """Losses that depend on the block and on when it was read."""
    return ((block_ids * 37 + step * 11) % 101 / 10).astype(np.float32)


def lagged(lag_steps: int) -> Lagged:
    return Lagged(HighestLossFirst(NUM_ROWS), lag_steps)


def reading(lag_steps: int) -> BlockSequence:
    return BlockSequence(
        lambda: lagged(lag_steps), num_steps=NUM_STEPS, batch_blocks=BATCH, lag_steps=lag_steps
    )


def by_hand_reading(curriculum: Curriculum) -> NDArray[np.uint32]:
    drawn = []
    for step in range(NUM_STEPS):
        drawn.append(curriculum.draw(step / NUM_STEPS, BATCH))
        curriculum.observe(drawn[-1], losses_of(drawn[-1], step))
    return np.array(drawn)


def walk(sequence: BlockSequence, *, ahead: int, until: int = NUM_STEPS) -> list[BlockIds]:
    """Train up to a step with a loader that holds `ahead` batches more than the one trained."""
    batches: Iterator[BlockIds] = sequence.batches()
    held: list[BlockIds] = []
    trained: list[BlockIds] = []
    for step in range(sequence.num_trained, until):
        held += islice(batches, ahead + 1 - len(held))
        trained.append(held.pop(0))
        losses = losses_of(trained[-1], step) if sequence.reads_losses else None
        sequence.trained(step + 1, losses)
    return trained


@pytest.mark.parametrize("timeline", TIMELINES, ids=lambda t: "-".join(map(str, t.values()))[:30])
@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_fixed_order_is_the_doors_own_however_far_ahead(
    timeline: dict[str, object], ahead: int
) -> None:
    assert np.array_equal(walk(sequence_of(timeline), ahead=ahead), by_hand(timeline))


@pytest.mark.parametrize("timeline", TIMELINES, ids=lambda t: "-".join(map(str, t.values()))[:30])
def test_a_saved_state_is_that_of_the_last_step_trained(
    timeline: dict[str, object], tmp_path: Path
) -> None:
    expected = by_hand(timeline)
    for cut in (1, 17, 29, 31, 55, NUM_STEPS):  # within the ramp, at its end, in the even ending
        first = sequence_of(timeline)
        before = walk(first, ahead=4, until=cut)
        first.save(tmp_path / "state.npz")
        second = sequence_of(timeline)
        second.load(tmp_path / "state.npz")
        assert second.num_trained == cut
        assert np.array_equal(before, expected[:cut])
        after = [ids.tolist() for ids in walk(second, ahead=2)]
        assert after == expected[cut:].tolist()


def test_a_new_iteration_begins_where_training_is() -> None:
    sequence = sequence_of(CEILING)
    expected = by_hand(CEILING)
    old = sequence.batches()
    assert np.array_equal(list(islice(old, 9)), expected[:9])
    sequence.trained(4)
    assert np.array_equal(list(islice(sequence.batches(), 3)), expected[4:7])
    with pytest.raises(SpecError, match="another one"):
        next(old)
    sequence.restart()
    assert np.array_equal(list(sequence.batches()), expected)


@pytest.mark.parametrize(("lag_steps", "ahead"), [(0, 0), (1, 0), (1, 1), (3, 1), (3, 3)])
def test_a_timeline_that_reads_losses_is_drawn_alike_however_far_ahead(
    lag_steps: int, ahead: int, tmp_path: Path
) -> None:
    expected = by_hand_reading(lagged(lag_steps))
    assert not np.array_equal(expected, by_hand_reading(lagged(lag_steps + 1)))
    first = reading(lag_steps)
    before = walk(first, ahead=ahead, until=33)
    first.save(tmp_path / "state.npz")
    second = reading(lag_steps)
    second.load(tmp_path / "state.npz")
    middle = walk(second, ahead=ahead, until=34)
    second.save(tmp_path / "state.npz")
    third = reading(lag_steps)
    third.load(tmp_path / "state.npz")
    assert np.array_equal([*before, *middle, *walk(third, ahead=ahead)], expected)


def test_draws_too_far_ahead_of_losses_are_refused_in_one_line() -> None:
    with pytest.raises(SpecError) as refused:
        walk(reading(1), ahead=3)
    assert str(refused.value) == (
        "data.lag_steps: this timeline reads losses, and the loop draws batches ahead of them; "
        "expected at least 2, the steps drawn ahead of the last one trained; got 1. "
        "Raise data.lag_steps (a DataLoader with w workers draws 2 w batches ahead), or let "
        "the loader prefetch less"
    )


def test_a_curriculum_that_does_not_hold_losses_back_is_found_out() -> None:
    sequence = BlockSequence(
        lambda: HighestLossFirst(NUM_ROWS), num_steps=NUM_STEPS, batch_blocks=BATCH, lag_steps=1
    )
    with pytest.raises(SpecError, match="drew otherwise when it was drawn ahead"):
        walk(sequence, ahead=1)


def test_update_norms_are_passed_on_and_asked_for() -> None:
    def make() -> BlockSequence:
        return BlockSequence(
            lambda: lagged(0),
            num_steps=2,
            batch_blocks=NUM_ROWS,
            lag_steps=0,
            reads_update_norms=True,
        )

    sequence = make()
    batches = sequence.batches()
    next(batches)
    with pytest.raises(SpecError, match="norm of every update"):
        sequence.trained(1, np.ones(NUM_ROWS))
    sequence = make()
    next(sequence.batches())
    sequence.trained(1, np.ones(NUM_ROWS), 2.0)
    waiting = sequence.state()["curriculum"]["waiting"]
    assert [each["norm"] for each in waiting] == [2.0]


@pytest.mark.parametrize(
    ("step", "losses", "problem"),
    [
        (1, None, "step 1 with none"),
        (1, np.ones(3), r"losses of shape \(3,\)"),
        (3, np.ones(BATCH), "step 3 with losses"),
        (0, np.ones(BATCH), "expected step 1 to 3; got 0"),
        (4, np.ones(BATCH), "expected step 1 to 3; got 4"),
    ],
)
def test_a_step_wrongly_noted_is_named(
    step: int, losses: NDArray[np.float64] | None, problem: str
) -> None:
    sequence = reading(3)
    list(islice(sequence.batches(), 3))
    with pytest.raises(SpecError, match=problem):
        sequence.trained(step, losses)


def test_another_sequences_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    first = sequence_of(CEILING)
    walk(first, ahead=0, until=5)
    first.save(path)
    longer = make_sequence(CEILING, table(), num_steps=61, batch_blocks=BATCH, seed=3)
    with pytest.raises(MismatchError, match="num_steps: was 60, now 61"):
        longer.load(path)
    with pytest.raises(MismatchError, match="seed: was 3, now 4"):
        sequence_of(CEILING, seed=4).load(path)
    others = table_of_columns({"reading_age": AGES[::-1]})
    changed = make_sequence(CEILING, others, num_steps=NUM_STEPS, batch_blocks=BATCH, seed=3)
    with pytest.raises(MismatchError, match="other blocks or another curriculum"):
        changed.load(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RecordError, match="is no saved sequence"):
        first.load(path)
    with pytest.raises(RecordError, match="there is no saved sequence"):
        first.load(tmp_path / "none.npz")


def test_it_reads_the_blocks_that_gradatims_own_training_reads(tmp_path: Path) -> None:
    spec = tiny_spec(40)
    record = train(spec, tmp_path, TinyStore())  # type: ignore[arg-type]
    store = TinyStore()
    ids = store.ids("train")
    sequence = make_sequence(
        {"kind": "ceiling"},
        BlockTable(ids, {"reading_age": store.column("reading_age", "train")}),
        num_steps=40,
        batch_blocks=BATCH_BLOCKS,
        seed=run_key(spec.seed, spec.rung),
    )
    drawn = np.concatenate(list(sequence.batches()))
    assert np.array_equal(drawn, record.drawn_blocks().ravel())


def test_a_store_gives_the_columns_a_timeline_reads(world_store: Store) -> None:
    for timeline in ({"kind": "ceiling"}, {"kind": "uniform"}):
        sequence = make_sequence(timeline, world_store, num_steps=5, batch_blocks=4, seed=0)
        assert len(np.concatenate(list(sequence.batches()))) == 20


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({}, "neither columns nor a number of rows"),
        ({"difficulties": {"a": [1.0, 2.0]}, "labels": {"b": ["x"]}}, "column 'b'.*expected 2"),
        ({"difficulties": {"a": [1.0]}, "num_rows": 2}, "column 'a'.*expected 2 values; got 1"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns: dict[str, object], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        table_of_columns(**columns)  # type: ignore[arg-type]


def test_a_misspelt_setting_is_answered_as_in_a_recipe() -> None:
    with pytest.raises(SpecError, match=r"ramps.*ramp"):
        sequence_of({"kind": "ceiling", "ramps": 0.5})


def test_an_index_file_holds_the_whole_order(tmp_path: Path) -> None:
    sequence = sequence_of(CEILING)
    path = write_indices(sequence, tmp_path / "deep" / "order.npy")
    rows = np.load(path, mmap_mode="r")
    assert rows.dtype == np.uint32
    assert np.array_equal(rows, by_hand(CEILING))
    assert np.array_equal(list(sequence.batches()), rows)
    assert np.load(write_indices(sequence, path, dtype=np.int64)).dtype == np.int64
    assert [p.name for p in path.parent.iterdir()] == ["order.npy"]


@pytest.mark.slow
def test_an_index_file_larger_than_what_is_in_memory(tmp_path: Path) -> None:
    """Twelve megabytes are written while numpy holds a fraction of it."""
    sequence = make_sequence(
        {"kind": "uniform"},
        table_of_columns(num_rows=1000),
        num_steps=3000,
        batch_blocks=1000,
        seed=0,
    )
    tracemalloc.start()
    path = write_indices(sequence, tmp_path / "order.npy")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 12e6
    assert most < 3e6


@pytest.mark.parametrize(
    ("sequence", "dtype", "problem"),
    [
        (reading(1), np.uint32, "kind toy: what this timeline draws depends on losses"),
        (sequence_of(CEILING), np.int8, "does not hold every index"),
        (sequence_of(CEILING), np.float32, "indices are whole numbers"),
    ],
)
def test_an_index_file_that_cannot_be_is_refused(
    sequence: BlockSequence, dtype: type, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=problem):
        write_indices(sequence, tmp_path / "order.npy", dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_clock_of_update_norms_moves_where_no_losses_are_read() -> None:
    reviews = {"learn": 0.1, "share": 0.1, "drop": 0.5, "rank_by": "learnability", "at": [1]}
    timeline: dict[str, object] = {
        "kind": "phases",
        "reviews": {**reviews, "clock": "update_norm", "day": 2},
        "reference": "reading_age",
    }
    sequence = sequence_of(timeline)
    batches = sequence.batches()
    phases = []
    for step in range(NUM_STEPS):
        next(batches)
        sequence.trained(step + 1, np.ones(BATCH), 1.0)
        phases.append(sequence.state()["curriculum"]["leg"])
    assert phases[0] == 0
    assert set(phases) == {0, 1, 2, 3}
    with pytest.raises(SpecError, match="cannot be written down before"):
        write_indices(sequence_of(timeline), Path("x.npy"))


def test_losses_that_come_after_the_end_are_refused() -> None:
    timeline = {"kind": "bandit", "lag_steps": NUM_STEPS}
    with pytest.raises(SpecError, match=f"data.lag_steps.*below {NUM_STEPS}.*got {NUM_STEPS}"):
        sequence_of(timeline)


def test_masked_difficulties_are_unknown() -> None:
    table = table_of_columns({"my_age": np.ma.masked_array([4.0, 99.0], mask=[False, True])})
    assert np.array_equal(table.difficulties["my_age"], [4.0, np.nan], equal_nan=True)
