"""What every fixed order promises: fair draws, exact resuming, the same text in another order."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gradatim import streams
from gradatim.errors import MismatchError, SpecError
from gradatim.streams import Stream
from gradatim.timelines.data.check import consumed, multiset_hash, order_hash, used_fraction
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.pool import Pool
from gradatim.timelines.data.ranking import ranked
from gradatim.timelines.data.sample import sampled

STAGES = [
    {"until": 0.4, "weights": {"a": 6, "b": 3, "c": 1}},
    {"until": 0.7, "weights": {"a": 1, "b": 2, "c": 1}},
    {"until": 1.0, "weights": {"a": 1, "b": 3, "c": 6}},
]
SPECS: list[dict[str, Any]] = [
    {"kind": "uniform"},
    {"kind": "ceiling"},
    {"kind": "ceiling", "scale": "share", "ramp": 0.6, "pacing": "root"},
    {"kind": "ceiling", "ramp": 0.9, "pacing": "quadratic", "start_fraction": 0.02},
    {"kind": "ceiling", "scale": "share", "ramp": 1, "pacing": "quadratic", "start_fraction": 0.01},
    {"kind": "ceiling", "pacing": "step", "control": "reversed"},
    {"kind": "ceiling", "control": "shuffled"},
    {"kind": "stages", "stages": STAGES},
    {"kind": "stages", "stages": STAGES, "control": "shuffled"},
    {"kind": "stages", "stages": STAGES, "control": "reversed"},
    {"kind": "stages", "stages": STAGES, "even_ending_fraction": 0.25},
    {"kind": "ceiling", "even_ending_fraction": 0.3},
]

GOLDEN_WORDS = [7816831880193635674, 13339515545899716002, 3391378928775364362]
GOLDEN_PERMUTATION = [2, 0, 3, 5, 4, 6, 1, 7]
GOLDEN_ORDERS = [
    "600e6abe7a63b2d7",
    "3f83f728c688886c",
    "a5c3f6899f95e6c7",
    "9ba96eb9389e7b74",
    "02f5819fd37cce7e",
    "410677eb2617a095",
    "faee81c4d3f80645",
    "d84816a9fd483681",
    "52436ed692377169",
    "aa97225af5868a44",
    "15ff931b36249919",
    "4b6e6ac592991615",
]


def parsed(**settings: Any) -> DataTimeline:
    return TypeAdapter(DataTimeline).validate_python(settings)


def table_of(num_blocks: int) -> BlockTable:
    """Ages of 4 to 22 years, a tenth unknown; three levels, the last rarest; ids with gaps."""
    rows = np.arange(num_blocks)
    ages = 4 + 18 * (rows * 0.6180339887498949 % 1) ** 2
    ages[3::10] = np.nan
    labels = np.array(list("aaaaabbbcc"))[(rows * 0.7548776662466927 % 1 * 10).astype(int)]
    labels[:3] = ["a", "b", "c"]
    levels = np.unique(labels, return_inverse=True)
    return BlockTable((rows * 3 + 7).astype(np.uint32), {"reading_age": ages}, {"level": levels})


def progresses(num_steps: int) -> list[float]:
    return [step / num_steps for step in range(num_steps)]


def run(spec: DataTimeline, table: BlockTable, num_steps: int, batch: int, seed: int = 0) -> Any:
    curriculum = make_curriculum(spec, table, num_draws=num_steps * batch, seed=seed)
    drawn = [curriculum.draw(progress, batch) for progress in progresses(num_steps)]
    return np.array(drawn, dtype=np.uint32).reshape(-1, batch)


# The numbers


def test_random_words_do_not_depend_on_how_they_are_asked_for() -> None:
    words = Stream(5, "x").words(0, 3000)
    assert np.array_equal(Stream(5, "x").words(1234, 100), words[1234:1334])
    stream = Stream(5, "x")
    for start, count in [(0, 7), (7, 1500), (1507, 3), (2, 4), (2990, 10)]:
        assert stream.ahead(start, count) == words[start : start + count].tolist()


def test_random_words_are_these_on_every_machine() -> None:
    assert Stream(0, "pool").words(0, 3).tolist() == GOLDEN_WORDS
    assert Stream(1, "sample").permutation(8).tolist() == GOLDEN_PERMUTATION


def test_streams_and_seeds_are_unlike() -> None:
    streams = [Stream(0, "pool"), Stream(1, "pool"), Stream(0, "sample"), Stream(10, "")]
    assert len({stream.words(0, 4).tobytes() for stream in streams}) == len(streams)


class FewWords(Stream):
    """Words that often agree, in their high bits or wholly."""

    def words(self, start: int, count: int) -> np.ndarray[Any, Any]:
        words = super().words(start, count)
        return (words & np.uint64(3 << 62)) | (words >> np.uint64(40) & np.uint64(3))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PART_ROWS", 7)


@pytest.mark.usefixtures("small_parts")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 300), st.integers(0, 3), st.sampled_from([Stream, FewWords]))
def test_a_permutation_is_the_stable_order_of_the_words(
    count: int, seed: int, stream_of: type[Stream]
) -> None:
    expected = np.argsort(stream_of(seed, "x").words(0, count), kind="stable")
    assert stream_of(seed, "x").permutation(count).tolist() == expected.tolist()


@pytest.mark.usefixtures("small_parts")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.one_of(
            st.sampled_from(
                [0.0, -0.0, 1.0, 1.0000001, -3.5, 1e-45, math.nan, math.inf, -math.inf]
            ),
            st.floats(width=32),
        ),
        min_size=1,
        max_size=60,
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
    hardest_first=st.booleans(),
    stream_of=st.sampled_from([Stream, FewWords]),
)
def test_a_ranking_is_by_difficulty_and_then_by_words(
    values: list[float], dtype: type, hardest_first: bool, stream_of: type[Stream]
) -> None:
    difficulty = np.array(values, dtype)
    sign = -1.0 if hardest_first else 1.0
    rank = np.where(np.isfinite(difficulty), sign * difficulty.astype(np.float64), np.inf)
    expected = np.lexsort((stream_of(1, "x").words(0, len(rank)), rank))
    found = ranked(difficulty, stream_of(1, "x"), hardest_first=hardest_first)
    assert found.tolist() == expected.tolist()


@given(st.integers(1, 50), st.integers(1, 120))
def test_a_budget_sample_is_whole_passes_and_the_head_of_a_permutation(
    num_blocks: int, num_draws: int
) -> None:
    ids = np.arange(num_blocks) * 10
    rows = np.tile(np.arange(num_blocks), num_draws // num_blocks)
    more = np.argsort(Stream(4, "sample").words(0, num_blocks), kind="stable")
    more = np.sort(more[: num_draws % num_blocks])
    found = sampled(num_blocks, "budget", num_draws=num_draws, seed=4)(ids)
    assert found.tolist() == ids[np.concatenate([rows, more])].tolist()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_order_is_the_one_on_file(spec: dict[str, Any]) -> None:
    drawn = run(parsed(**spec), table_of(400), num_steps=60, batch=8)
    assert order_hash(drawn) == GOLDEN_ORDERS[SPECS.index(spec)]


# The pool


@settings(deadline=None)
@given(
    num_blocks=st.integers(1, 60),
    admissions=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 25)), min_size=1),
)
def test_a_pool_repeats_nothing_within_an_epoch(
    num_blocks: int, admissions: list[tuple[int, int]]
) -> None:
    pool = Pool(np.arange(num_blocks, dtype=np.uint32), Stream(0, "x"), when_empty="refill")
    drawn: set[int] = set()
    for num_admitted, num_draws in admissions:
        pool.admit(num_admitted)
        for _ in range(num_draws):
            epoch = pool.epoch
            block = int(pool.draw(1)[0])
            if pool.epoch > epoch:
                assert len(drawn) == pool.num_admitted, "an epoch ends when all is drawn"
                drawn.clear()
            assert block not in drawn
            assert block < pool.num_admitted
            drawn.add(block)


def test_every_block_of_a_pool_is_equally_likely_at_every_place() -> None:
    num_blocks, num_seeds = 6, 3000
    counts = np.zeros((num_blocks, num_blocks))
    for seed in range(num_seeds):
        pool = Pool(np.arange(num_blocks, dtype=np.uint32), Stream(seed, "x"), when_empty="refill")
        pool.admit(num_blocks)
        counts[np.arange(num_blocks), pool.draw(num_blocks)] += 1
    expected = num_seeds / num_blocks
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 52.6  # 25 degrees of freedom, one in a thousand


def test_a_strict_pool_draws_every_block_once_before_any_twice() -> None:
    pool = Pool(np.arange(10, dtype=np.uint32), Stream(0, "x"), when_empty="admit")
    pool.admit(2)
    assert sorted(pool.draw(10).tolist()) == list(range(10))
    assert pool.epoch == 0
    assert sorted(pool.draw(10).tolist()) == list(range(10))
    assert pool.epoch == 1


def test_uniform_is_shuffled_epochs() -> None:
    drawn = run(parsed(kind="uniform"), table_of(40), num_steps=15, batch=8).ravel()
    for epoch in range(3):
        assert sorted(drawn[40 * epoch : 40 * epoch + 40]) == sorted(table_of(40).ids)
    assert drawn[:40].tolist() != drawn[40:80].tolist()


def test_with_everything_admitted_the_order_does_not_depend_on_the_batches() -> None:
    spec, table = parsed(kind="uniform"), table_of(50)
    in_fives = run(spec, table, num_steps=24, batch=5)
    in_twelves = run(spec, table, num_steps=10, batch=12)
    assert in_fives.ravel().tolist() == in_twelves.ravel().tolist()


# Saving and restoring


@settings(max_examples=60, deadline=None)
@given(
    spec=st.sampled_from(SPECS),
    sample=st.sampled_from(["all", "budget"]),
    stops=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_restored_twice_at_any_step_the_order_goes_on_identically(
    spec: dict[str, Any], sample: str, stops: tuple[int, int]
) -> None:
    data, table = parsed(**spec, sample=sample), table_of(90)

    def fresh() -> Any:
        return make_curriculum(data, table, num_draws=30 * 7, seed=3)

    undisturbed = run(data, table, num_steps=30, batch=7, seed=3)
    curriculum, drawn = fresh(), []
    for step, progress in enumerate(progresses(30)):
        for _ in range(stops.count(step)):
            state, curriculum = curriculum.state(), fresh()
            curriculum.draw(1.0, 11)  # a restore must overwrite whatever was there
            curriculum.restore(state)
        drawn.append(curriculum.draw(progress, 7))
        curriculum.observe(drawn[-1], np.zeros(7, dtype=np.float32))
    assert np.array_equal(np.array(drawn), undisturbed)


def test_a_state_is_not_changed_by_later_draws() -> None:
    for spec in SPECS:
        curriculum = make_curriculum(parsed(**spec), table_of(50), num_draws=100, seed=0)
        curriculum.draw(0.0, 10)
        state = curriculum.state()
        expected = curriculum.draw(0.5, 30)
        curriculum.restore(state)
        assert np.array_equal(curriculum.draw(0.5, 30), expected)


def test_a_restored_pool_knows_its_epoch() -> None:
    one, other = (
        make_curriculum(parsed(kind="uniform"), table_of(50), num_draws=100, seed=0)
        for _ in range(2)
    )
    one.draw(0.0, 120)
    other.restore(one.state())
    assert one.state()["epoch"] == other.state()["epoch"] == 2


def test_a_state_of_other_blocks_is_refused() -> None:
    for spec in SPECS:
        state = make_curriculum(parsed(**spec), table_of(50), num_draws=100, seed=0).state()
        other = make_curriculum(parsed(**spec), table_of(51), num_draws=100, seed=0)
        with pytest.raises(MismatchError, match=r"belongs to other blocks.*Resume with the block"):
            other.restore(state)


# The same text in another order


@settings(max_examples=30, deadline=None)
@given(
    num_blocks=st.integers(40, 120),
    num_steps=st.integers(5, 40),
    batch=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_with_a_budget_sample_all_arms_draw_the_same_multiset(
    num_blocks: int, num_steps: int, batch: int, seed: int
) -> None:
    table, hashes = table_of(num_blocks), set()
    num_steps = max(num_steps, 36 // batch + 1)  # so that no level is missing from the sample
    for spec in SPECS:
        drawn = run(parsed(**spec, sample="budget"), table, num_steps, batch, seed)
        hashes.add(multiset_hash(drawn))
    assert len(hashes) == 1
    counts = Counter(drawn.ravel().tolist()).values()
    assert max(counts) - (min(counts) if len(counts) == num_blocks else 0) <= 1


def test_a_budget_sample_is_of_the_seed_and_spread_over_all_blocks() -> None:
    uniform, table = parsed(kind="uniform", sample="budget"), table_of(1000)
    samples = [set(run(uniform, table, 10, 10, seed).ravel().tolist()) for seed in range(20)]
    assert all(len(sample) == 100 for sample in samples)
    assert 840 < len(set.union(*samples)) < 920  # 1000 (1 - 0.9^20) = 878


def test_controls_are_named_and_differ_in_nothing_else() -> None:
    for settings_of_spec in SPECS:
        spec = parsed(**settings_of_spec)
        controls = spec.controls()
        is_method = spec.kind != "uniform" and spec.control is None
        assert list(controls) == (["shuffled", "reversed"] if is_method else [])
        for name, control in controls.items():
            assert spec.model_dump() | {"control": name} == control.model_dump()
            assert control.controls() == {}


# After the run


def test_hashes_tell_order_from_multiset() -> None:
    assert order_hash([[1, 2], [3, 3]]) == order_hash(np.array([1, 2, 3, 3], dtype=np.uint32))
    assert order_hash([1, 2, 3, 3]) != order_hash([2, 1, 3, 3])
    assert multiset_hash([1, 2, 3, 3]) == multiset_hash([[3, 2], [1, 3]])
    assert multiset_hash([1, 2, 3, 3]) != multiset_hash([1, 2, 2, 3])


def test_consumption_counts_distinct_blocks_of_a_band() -> None:
    ids = np.array([10, 11, 12, 13, 14], dtype=np.uint32)
    bands = np.array([1, 1, 2, 2, 2])
    assert consumed([[10, 10], [12, 13]], ids, bands) == {"1": 1 / 2, "2": 2 / 3}
    assert used_fraction([], ids) == 0.0
    assert math.isnan(used_fraction([1], ids[:0]))
    assert used_fraction([14, 10, 99], ids) == 2 / 5
    assert used_fraction([10], np.array([10, 10, 11], dtype=np.uint32)) == 1 / 2


# What cannot be meant


@pytest.mark.parametrize(
    ("progress", "num_blocks", "message"),
    [
        (-0.1, 1, "from 0 to 1; got -0.1"),
        (1.5, 1, "got 1.5"),
        (float("nan"), 1, "got nan"),
        (0.5, -1, "negative number"),
    ],
)
def test_a_draw_that_cannot_be_meant_is_refused(
    progress: float, num_blocks: int, message: str
) -> None:
    for spec in SPECS:
        curriculum = make_curriculum(parsed(**spec), table_of(50), num_draws=10, seed=0)
        with pytest.raises(SpecError, match=message):
            curriculum.draw(progress, num_blocks)


def test_a_draw_of_nothing_is_empty() -> None:
    for spec in SPECS:
        curriculum = make_curriculum(parsed(**spec), table_of(50), num_draws=10, seed=0)
        assert curriculum.draw(0.0, 0).shape == (0,)


def test_blocks_that_cannot_be_meant_are_refused() -> None:
    uniform = parsed(kind="uniform")
    nothing = BlockTable(np.empty(0, dtype=np.uint32))
    twice = BlockTable(np.array([4, 4], dtype=np.uint32))
    with pytest.raises(SpecError, match="no blocks to draw from"):
        make_curriculum(uniform, nothing, num_draws=1, seed=0)
    with pytest.raises(SpecError, match="stands twice"):
        make_curriculum(uniform, twice, num_draws=1, seed=0)
    with pytest.raises(SpecError, match="at least one block; got 0"):
        make_curriculum(uniform, table_of(50), num_draws=0, seed=0)
    ids = np.array([1, 2], dtype=np.uint32)
    uneven = BlockTable(ids, {"reading_age": np.ones(1)}, {"level": (["a"], np.zeros(3, np.uint8))})
    with pytest.raises(SpecError, match=r"column 'reading_age'.*expected 2 values; got 1"):
        make_curriculum(parsed(kind="ceiling"), uneven, num_draws=1, seed=0)
    with pytest.raises(SpecError, match=r"column 'level'.*expected 2 values; got 3"):
        make_curriculum(parsed(kind="stages", stages=STAGES), uneven, num_draws=1, seed=0)


def test_every_plan_says_itself_in_a_sentence() -> None:
    for spec in SPECS:
        plan = make_curriculum(parsed(**spec), table_of(50), num_draws=100, seed=0).plan
        ending = spec.get("even_ending_fraction", 0)
        draws, blocks = round(100 * (1 - ending)), 50 - round(50 * ending)
        assert f"{draws} draws from {blocks} blocks" in plan["sentence"]
        assert plan["sentence"].startswith(f"{spec.get('control', '')}")
        assert plan["sentence"].endswith(("epochs", "each exactly once", "set aside"))


def test_the_loop_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[1] / "docs" / "stations" / "timelines.md"
    code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    assert "the ceiling of reading_age starts at" in capsys.readouterr().out
    names["curriculum"].restore(names["saved"])
    assert len(names["curriculum"].draw(0.5, 32)) == 32
