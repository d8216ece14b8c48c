"""PyTorch's own DataLoader, checkpoints and processes in front of a sequence of blocks."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset

from gradatim.adapters.sequence import BlockSequence, make_sequence
from gradatim.adapters.tables import table_of_columns
from gradatim.adapters.torch import (
    BlockBatchSampler,
    BlockLoader,
    Ranks,
    StoreBlocks,
    block_losses,
    token_losses,
)
from gradatim.blocks.store import Store
from gradatim.errors import MismatchError, SpecError
from gradatim.timelines.data.lag import Lagged
from processes import in_processes
from toy_curricula import HighestLossFirst

NUM_ROWS, NUM_STEPS, BATCH = 120, 20, 6
FEW_ROWS = 30  # all read once in 5 steps, from when on losses decide
AGES = np.random.default_rng(0).gamma(6, 2, NUM_ROWS)


class Rows(Dataset[int]):
    """A data set whose items say which row they are."""

    def __len__(self) -> int:
        return NUM_ROWS

    def __getitem__(self, index: int) -> int:
        return index


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(NUM_ROWS))

    def __len__(self) -> int:
        return NUM_ROWS


def ceiling() -> BlockSequence:
    table = table_of_columns({"reading_age": AGES})
    return make_sequence(
        {"kind": "ceiling"}, table, num_steps=NUM_STEPS, batch_blocks=BATCH, seed=1
    )


def reading(lag_steps: int) -> BlockSequence:
    return BlockSequence(
        lambda: Lagged(HighestLossFirst(FEW_ROWS), lag_steps),
        num_steps=NUM_STEPS,
        batch_blocks=BATCH,
        lag_steps=lag_steps,
    )


def loss_of(rows: torch.Tensor) -> torch.Tensor:
    return (rows * 37 % 101).float() / 10


def by_hand_reading(lag_steps: int) -> NDArray[np.uint32]:
    curriculum, drawn = Lagged(HighestLossFirst(FEW_ROWS), lag_steps), []
    for step in range(NUM_STEPS):
        drawn.append(curriculum.draw(step / NUM_STEPS, BATCH))
        curriculum.observe(drawn[-1], loss_of(torch.from_numpy(drawn[-1].astype(int))).numpy())
    return np.array(drawn)


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def whole() -> list[list[int]]:
    return [ids.tolist() for ids in ceiling().batches()]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_data_loader_reads_the_sequence_with_and_without_workers(num_workers: int) -> None:
    sequence = ceiling()
    sampler = BlockBatchSampler(sequence)
    loader = DataLoader(Rows(), batch_sampler=sampler, num_workers=num_workers)
    assert len(loader) == NUM_STEPS
    read = []
    for step, rows in enumerate(loader):
        read.append(rows.tolist())
        sequence.trained(step + 1)
        if step == 11:
            ahead = sequence.num_drawn - sequence.num_trained
            saved = sequence.state()
            break
    assert ahead == 2 * num_workers
    again = ceiling()
    again.restore(saved)
    loader = DataLoader(Rows(), batch_sampler=BlockBatchSampler(again), num_workers=num_workers)
    read += [rows.tolist() for rows in loader]
    assert read == whole()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_losses_reach_a_timeline_that_reads_them(num_workers: int) -> None:
    lag_steps = 4 if num_workers else 0
    sequence = reading(lag_steps)
    sampler = BlockBatchSampler(sequence)
    read = []
    for rows in DataLoader(Rows(), batch_sampler=sampler, num_workers=num_workers):
        read.append(rows.tolist())
        sampler.observe(loss_of(rows))
    assert read == by_hand_reading(lag_steps).tolist()
    assert read != by_hand_reading(lag_steps + 1).tolist()  # losses do matter
    assert sequence.num_trained == NUM_STEPS


def test_a_loader_that_prefetches_more_than_the_lag_is_refused() -> None:
    loader = DataLoader(Rows(), batch_sampler=BlockBatchSampler(reading(1)), num_workers=2)
    with pytest.raises(SpecError, match="expected at least 2, the steps drawn ahead"):
        next(iter(loader))


@pytest.mark.parametrize("num_processes", [1, 2, 4])
@pytest.mark.parametrize("num_micro_batches", [1, 2])
def test_the_parts_of_all_processes_are_the_whole(
    num_processes: int, num_micro_batches: int
) -> None:
    if BATCH // num_processes < num_micro_batches:
        num_micro_batches = 1
    pieces = [
        list(
            BlockBatchSampler(
                ceiling(), ranks=Ranks(rank, num_processes), num_micro_batches=num_micro_batches
            )
        )
        for rank in range(num_processes)
    ]
    for step, expected in enumerate(whole()):
        first = step * num_micro_batches
        of_step = [rows for part in pieces for rows in part[first : first + num_micro_batches]]
        assert flat(of_step) == expected


def two_processes(rank: int, num_processes: int, folder: Path) -> dict[str, Any]:
    """Train under the toy in processes, be cut off, go on from a distributed checkpoint."""
    read = []
    for last in (7, NUM_STEPS):
        loader = BlockLoader(reading(1), Rows(), num_workers=0)
        state = {"loader": loader}
        if last == NUM_STEPS:
            dcp.load(state, checkpoint_id=str(folder / "checkpoint"))
        batches = iter(loader)
        for _ in range(loader.sequence.num_trained, last):
            rows = next(batches)
            read.append(rows.tolist())
            loader.trained(loss_of(rows))
        if last == 7:
            dcp.save(state, checkpoint_id=str(folder / "checkpoint"))
    return {"read": read, "ranks": [Ranks.here().rank, Ranks.here().num_processes]}


def test_two_processes_read_what_one_reads_and_go_on_from_a_distributed_checkpoint(
    tmp_path: Path,
) -> None:
    results = in_processes(two_processes, 2, tmp_path)
    assert [result["ranks"] for result in results] == [[0, 2], [1, 2]]
    read = [flat(parts) for parts in zip(*(r["read"] for r in results), strict=True)]
    assert read == by_hand_reading(1).tolist()


def test_processes_without_a_block_are_refused() -> None:
    with pytest.raises(SpecError, match="at least 7, one a process; got 6"):
        BlockBatchSampler(ceiling(), ranks=Ranks(0, 7))
    with pytest.raises(SpecError, match="1 to 3, the blocks of this process in a step; got 4"):
        BlockBatchSampler(ceiling(), ranks=Ranks(0, 2), num_micro_batches=4)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num_micro_batches", [1, 3])
def test_a_stateful_loader_saves_what_was_handed_out_not_what_was_drawn(
    num_workers: int, num_micro_batches: int
) -> None:
    """As torchtitan's trainer: next, train, save between steps; twice cut off."""
    read: list[int] = []
    saved: dict[str, Any] | None = None
    for last in (5, 6, NUM_STEPS):
        loader = BlockLoader(
            ceiling(), Rows(), num_workers=num_workers, num_micro_batches=num_micro_batches
        )
        if saved is not None:
            loader.load_state_dict(saved)
        batches = iter(loader)
        for _ in range(loader.sequence.num_trained, last):
            for _ in range(num_micro_batches):
                read += next(batches).tolist()
            file = io.BytesIO()
            torch.save(loader.state_dict(), file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        assert saved["num_trained"] == last
    assert read == flat(whole())
    assert len(loader) == NUM_STEPS * num_micro_batches


def test_a_loop_that_asks_ahead_says_what_it_trained() -> None:
    loader = BlockLoader(ceiling(), Rows(), is_told=True)
    batches = iter(loader)
    first, _ = next(batches), next(batches)
    loader.trained()
    again = BlockLoader(ceiling(), Rows(), is_told=True)
    again.load_state_dict(loader.state_dict())
    assert first.tolist() == whole()[0]
    assert next(iter(again)).tolist() == whole()[1]


def test_another_loaders_state_is_refused() -> None:
    loader = BlockLoader(ceiling(), Rows())
    with pytest.raises(MismatchError, match="is another one"):
        loader.load_state_dict(BlockLoader(reading(0), Rows()).state_dict())


def test_a_data_set_of_which_no_rows_can_be_chosen_is_refused() -> None:
    with pytest.raises(SpecError, match=r"a map-style one.*got Endless"):
        BlockLoader(ceiling(), Endless())
    with pytest.raises(SpecError, match="at least 120 rows; got 3"):
        BlockLoader(ceiling(), [1, 2, 3])  # type: ignore[arg-type]


def test_a_store_is_a_data_set_that_workers_open_anew(world_store: Store) -> None:
    blocks = StoreBlocks(world_store)
    carried = pickle.dumps(blocks)
    assert len(carried) < 1000
    again = pickle.loads(carried)
    ids = world_store.ids("train")[[3, 1]]
    sequence = make_sequence({"kind": "ceiling"}, world_store, num_steps=3, batch_blocks=4, seed=0)
    for rows in (blocks.__getitems__(ids), again.__getitems__(ids)):
        read = np.array([row["input_ids"].numpy() for row in rows])
        assert np.array_equal(read, world_store.read(ids))
    loader = DataLoader(blocks, batch_sampler=BlockBatchSampler(sequence), num_workers=2)
    drawn = list(
        make_sequence(
            {"kind": "ceiling"}, world_store, num_steps=3, batch_blocks=4, seed=0
        ).batches()
    )
    for ids, batch in zip(drawn, loader, strict=True):
        assert np.array_equal(batch["input_ids"].numpy(), world_store.read(ids))
        assert torch.equal(batch["labels"], batch["input_ids"])


def test_losses_of_blocks_are_means_over_their_next_tokens() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 7), torch.randint(7, (3, 5))
    labels[1, 2:] = -100
    labels[2, 1:] = -100
    losses, is_target = token_losses(logits, labels)
    expected = []
    for row in range(3):
        of_row = [
            -torch.log_softmax(logits[row, place], dim=0)[labels[row, place + 1]]
            for place in range(4)
            if labels[row, place + 1] != -100
        ]
        expected.append(torch.stack(of_row).mean() if of_row else torch.tensor(0.0))
    assert is_target.sum(dim=1).tolist() == [4, 1, 0]
    torch.testing.assert_close(block_losses(losses, is_target), torch.stack(expected))
