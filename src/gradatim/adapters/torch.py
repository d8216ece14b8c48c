"""A data timeline in front of PyTorch loaders: a batch sampler, and an iterable with a state.

Every process draws the same global batch and reads its own part of it, so the sequence of blocks
does not depend on how many take part, nor on the loader's workers. A sampler runs in the process
that trains; workers only fetch what it names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from gradatim.adapters.sequence import BlockSequence, read_state
from gradatim.blocks.store import Store
from gradatim.clock import slice_of
from gradatim.errors import SpecError
from gradatim.timelines.data.saved import to_bytes

IGNORED = -100
"""A label that is no target, as PyTorch and Hugging Face have it."""


class StoreBlocks(Dataset[dict[str, Tensor]]):
    """The blocks of a store as a map-style data set: block id to `input_ids` and equal `labels`.

    Worker processes open the store anew by its path.
    """

    def __init__(self, store: Store | Path | str) -> None:
        self.store = store if isinstance(store, Store) else Store.open(store)

    def __len__(self) -> int:
        return self.store.num_blocks

    def __getitem__(self, block_id: int) -> dict[str, Tensor]:
        return self.__getitems__([block_id])[0]

    def __getitems__(self, block_ids: Sequence[int]) -> list[dict[str, Tensor]]:
        """Several at once: one read of the memory map."""
        rows = torch.from_numpy(self.store.read(np.asarray(block_ids)))
        return [{"input_ids": row, "labels": row} for row in rows]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.store.path}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.store = Store.open(state["path"])


@dataclass(frozen=True)
class Ranks:
    """Which of how many data-parallel processes this is."""

    rank: int = 0
    num_processes: int = 1

    @classmethod
    def here(cls) -> Self:
        """As the process group says, or before there is one the environment `torchrun` makes."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    def slice_of(self, num_blocks: int) -> slice:
        """This process's part of a batch; raises as `clock.slice_of` does."""
        return slice_of(num_blocks, self.rank, self.num_processes)

    def all_losses(self, own: Tensor, num_blocks: int) -> NDArray[np.float32]:
        """[num_blocks] losses of a global batch, from those of each process's part of it.

        Raises:
            SpecError: not one loss for each block of this process's part.
        """
        part = self.slice_of(num_blocks)
        if own.shape != (part.stop - part.start,):
            raise SpecError(
                "there is not one loss for each block",
                where="losses",
                expected=f"{part.stop - part.start} on process {self.rank}",
                got=f"shape {tuple(own.shape)}",
            )
        every = torch.zeros(num_blocks, dtype=torch.float32, device=own.device)
        every[part] = own.detach().float()
        if self.num_processes > 1:
            dist.all_reduce(every)
        return np.asarray(every.cpu().numpy())


def token_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each next token in nats, zero where there is no target, and whether there is one.

    Args:
        logits: [B, T, vocabulary].
        labels: [B, T] token ids; those to be ignored are -100. Token t predicts label t + 1.

    Returns:
        losses [B, T], of which the last column has no target, and bool [B, T].
    """
    targets = F.pad(labels, (0, 1), value=IGNORED)[:, 1:].to(logits.device)
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        reduction="none",
        ignore_index=IGNORED,
    )
    return losses.view_as(targets), targets != IGNORED


def block_losses(losses: Tensor, is_target: Tensor) -> Tensor:
    """[B] mean loss of each block over its targets; zero where it has none."""
    return losses.detach().sum(dim=1) / is_target.sum(dim=1).clamp(min=1)


class BlockBatchSampler(Sampler[list[int]]):
    """This process's part of each batch, for the `batch_sampler` of a `DataLoader`.

    Iterating begins at the first step not yet trained. The loop tells the sequence what it has
    trained: `sequence.trained(step)`, or `observe` where losses are read.

    Args:
        sequence: of blocks; ids are indices of the loader's map-style data set.
        ranks: which process of how many; as the surroundings say by default.
        num_micro_batches: parts of a step whose gradients are accumulated, each yielded by itself.
    """

    def __init__(
        self, sequence: BlockSequence, *, ranks: Ranks | None = None, num_micro_batches: int = 1
    ) -> None:
        super().__init__()
        self.sequence = sequence
        self.ranks = ranks or Ranks.here()
        self.num_micro_batches = num_micro_batches
        part = self.ranks.slice_of(sequence.batch_blocks)
        if not 1 <= num_micro_batches <= part.stop - part.start:
            raise SpecError(
                "a step cannot be cut into so many parts",
                where="num_micro_batches",
                expected=f"1 to {part.stop - part.start}, the blocks of this process in a step",
                got=str(num_micro_batches),
            )

    def __len__(self) -> int:
        """Batches of the whole training, those already trained among them."""
        return self.sequence.num_steps * self.num_micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        part = self.ranks.slice_of(self.sequence.batch_blocks)
        for block_ids in self.sequence.batches():
            for piece in np.array_split(block_ids[part], self.num_micro_batches):
                yield piece.tolist()

    def observe(self, own_losses: Tensor, update_norm: float | None = None) -> None:
        """Note the next step as trained, with the losses of this process's blocks in their order.

        Every process calls it; the losses are gathered from all of them.
        """
        losses = self.ranks.all_losses(own_losses, self.sequence.batch_blocks)
        self.sequence.trained(self.sequence.num_trained + 1, losses, update_norm)


class BlockLoader:
    """An iterable of batches with `state_dict` and `load_state_dict`, aware of its rank.

    The protocol of torchtitan's loaders, of Lightning's stateful ones and of torchdata. What is
    saved is the same on every process and does not depend on how many there are.

    A fixed order needs no word from the loop: a step counts as trained once its last batch has been
    handed out, which is right for a loop that saves between steps and asks for no batch ahead. One
    that does ask ahead says `is_told=True` and calls `trained`, as does any under a timeline that
    reads losses.

    Args:
        sequence: of blocks.
        dataset: map-style; block ids are its indices.
        ranks: which process of how many; as the surroundings say by default.
        num_micro_batches: of a step, each handed out by itself.
        is_told: whether the loop calls `trained`; always where losses are read.
        collate_fn: from a list of items to a batch; PyTorch's own by default.
        num_workers: processes that fetch, ahead of what is handed out.
    """

    def __init__(
        self,
        sequence: BlockSequence,
        dataset: Dataset[Any],
        *,
        ranks: Ranks | None = None,
        num_micro_batches: int = 1,
        is_told: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
    ) -> None:
        check_dataset(sequence, dataset)
        self.sequence = sequence
        self.is_told = is_told or sequence.reads_losses
        self._sampler = BlockBatchSampler(
            sequence, ranks=ranks, num_micro_batches=num_micro_batches
        )
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._sampler,
            collate_fn=collate_fn,
            num_workers=num_workers,
        )
        self._num_handed_out = 0

    def __len__(self) -> int:
        """Batches of the whole training, those already trained among them."""
        return len(self._sampler)

    def __iter__(self) -> Iterator[Any]:
        self._catch_up()
        self._num_handed_out = self.sequence.num_trained * self._sampler.num_micro_batches
        for batch in self._loader:
            self._num_handed_out += 1
            yield batch

    def trained(self, own_losses: Tensor | None = None, update_norm: float | None = None) -> None:
        """Note the next step as trained; see `BlockBatchSampler.observe`."""
        if own_losses is None:
            self.sequence.trained(self.sequence.num_trained + 1)
        else:
            self._sampler.observe(own_losses, update_norm)

    def state_dict(self) -> dict[str, Any]:
        """The steps trained, and the sequence's state as bytes, which any checkpoint can hold."""
        self._catch_up()
        return {
            "num_trained": self.sequence.num_trained,
            "sequence": to_bytes(self.sequence.state()),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on after the last step trained.

        Raises:
            RecordError: the state is damaged.
            MismatchError: it is of another sequence.
        """
        self.sequence.restore(read_state(state_dict["sequence"], where="state_dict"))
        self._num_handed_out = self.sequence.num_trained * self._sampler.num_micro_batches

    def _catch_up(self) -> None:
        num_steps = self._num_handed_out // self._sampler.num_micro_batches
        if not self.is_told and num_steps > self.sequence.num_trained:
            self.sequence.trained(num_steps)


def check_dataset(sequence: BlockSequence, dataset: Any) -> None:
    """Refuse a data set of which a sequence cannot choose rows; raises `SpecError`."""
    is_map = hasattr(dataset, "__getitem__") and isinstance(dataset, Sized)
    if not is_map or isinstance(dataset, torch.utils.data.IterableDataset):
        raise SpecError(
            "an order needs a data set whose rows can be chosen",
            where="data set",
            expected="a map-style one, with __getitem__ and __len__",
            got=type(dataset).__name__,
        )
    if sequence.largest_id is not None and sequence.largest_id >= len(dataset):
        raise SpecError(
            "the timeline draws rows that the data set does not have",
            where="data set",
            expected=f"at least {sequence.largest_id + 1} rows",
            got=str(len(dataset)),
        )
