"""A data timeline in front of the Hugging Face `Trainer`.

    trainer = CurriculumTrainer(model, args, train_dataset=blocks, sequence=sequence)
    trainer.train(resume_from_checkpoint=...)

`WithCurriculum` does the same for a subclass of `Trainer`. It gives the trainer its sampler, notes
each step as trained, and writes the sequence's state into every checkpoint, before the file by
which the trainer knows a checkpoint as complete. Of a timeline that reads losses it takes the
losses of blocks from the one pass that trains: it computes the loss from the logits, row by row,
and their sum is what is minimised.

`accelerate` deals micro-batches out to the processes in turn, and draws one ahead to know which is
the last; worker processes draw more (`steps_drawn_ahead`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from gradatim.adapters.sequence import BlockSequence, lag_error
from gradatim.adapters.torch import block_losses, check_dataset, token_losses
from gradatim.errors import MissingExtraError, SpecError

try:
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer import TRAINER_STATE_NAME
except ImportError:
    raise MissingExtraError(
        "the Trainer's adapter needs transformers and accelerate",
        remedy="pip install 'gradatim[hf]'",
    ) from None

STATE_FILE = "curriculum.npz"
"""In each checkpoint folder of the trainer."""

_DEFAULT_PREFETCH = 2
"""Batches a worker of a PyTorch loader fetches ahead unless told otherwise."""


def steps_drawn_ahead(args: TrainingArguments) -> int:
    """How many steps the trainer's loader is drawn ahead of the step being trained.

    One micro-batch by `accelerate`, and each worker's prefetched ones.
    """
    prefetched = args.dataloader_num_workers * (
        args.dataloader_prefetch_factor or _DEFAULT_PREFETCH
    )
    return math.ceil((1 + prefetched) / args.gradient_accumulation_steps)


class BlockSampler(Sampler[int]):
    """The rows of the whole training one by one, from the first step not yet trained."""

    def __init__(self, sequence: BlockSequence) -> None:
        super().__init__()
        self.sequence = sequence

    def __len__(self) -> int:
        """Rows of the whole training, by which the trainer counts its steps."""
        return self.sequence.num_steps * self.sequence.batch_blocks

    def __iter__(self) -> Iterator[int]:
        for block_ids in self.sequence.batches():
            yield from block_ids.tolist()


class _Follow(TrainerCallback):
    """Notes each step of a trainer as trained."""

    def __init__(self, trainer: WithCurriculum) -> None:
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.note_step(state.global_step)


class WithCurriculum:
    """To be put before `Trainer` or a subclass of it: `class Mine(WithCurriculum, SFTTrainer)`.

    Args:
        sequence: of blocks; ids are indices of `train_dataset`, steps those of the trainer.

    Raises:
        SpecError: the trainer's arguments and the sequence do not fit together.
    """

    # What is used of the trainer.
    args: Any
    accelerator: Any
    model: Any
    train_dataset: Any

    def __init__(self, *positional: Any, sequence: BlockSequence, **named: Any) -> None:
        if sequence.reads_losses:
            if named.get("compute_loss_func") is not None:
                raise _refusal("compute_loss_func", "none: it is computed here", "one")
            named["compute_loss_func"] = self._loss
        self.sequence = sequence
        self._losses_of_step: list[Tensor] = []  # one [per-device batch] a micro-batch
        super().__init__(*positional, **named)
        check_dataset(sequence, self.train_dataset)
        _check_steps(sequence, self.args, self.get_total_train_batch_size(self.args))  # type: ignore[attr-defined]
        _check_loader(self.args)
        if sequence.reads_losses:
            self._check_losses()
        self.add_callback(_Follow(self))  # type: ignore[attr-defined]

    def _check_losses(self) -> None:
        ahead = steps_drawn_ahead(self.args)
        assert self.sequence.lag_steps is not None
        if ahead > self.sequence.lag_steps:
            raise lag_error(ahead, self.sequence.lag_steps)
        if self.sequence.reads_update_norms:
            raise SpecError(
                "this timeline reads the norm of every update, which the Trainer does not tell",
                where="sequence",
                remedy="Use a loop of your own, or gradatim's",
            )
        if self.args.label_smoothing_factor:
            got = str(self.args.label_smoothing_factor)
            raise _refusal("label_smoothing_factor", "0, where losses are read", got)
        if getattr(getattr(self.model, "config", None), "output_router_logits", False):
            raise _refusal("output_router_logits", "false, where losses are read", "true")
        if self.args.n_gpu > 1:
            raise _refusal(
                "processes", "one an accelerator (torchrun)", f"{self.args.n_gpu} in one"
            )
        if self.args.world_size != self.accelerator.num_processes or self._num_alike() != 1:
            raise _refusal(
                "parallelism", "data-parallel processes, where losses are read", "others"
            )

    def _num_alike(self) -> int:
        """Processes that share a batch."""
        sizes = [getattr(self, f"get_{kind}_size", lambda: 1)() for kind in ("tp", "cp", "sp")]
        return math.prod(sizes)

    # What the trainer calls

    def _get_train_sampler(self, *_: Any) -> BlockSampler:
        return BlockSampler(self.sequence)

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *positional: Any, **named: Any
    ) -> Any:
        """As the trainer's; the sequence begins anew, or goes on as the checkpoint left it.

        Raises:
            RecordError: the checkpoint has no state of a sequence, or it is damaged.
            MismatchError: it has that of another sequence.
        """
        checkpoint: str | None = None
        if resume_from_checkpoint:
            folder = self._last_checkpoint()
            if isinstance(resume_from_checkpoint, str):
                folder = Path(resume_from_checkpoint)
            self.sequence.load(folder / STATE_FILE)
            checkpoint = str(folder)
        else:
            self.sequence.restart()
        self._losses_of_step.clear()
        return super().train(checkpoint, *positional, **named)  # type: ignore[misc]

    def _last_checkpoint(self) -> Path:
        """The last one that a kill has not left half-written."""
        output_dir = Path(self.args.output_dir)
        found = {
            int(path.parent.name.rpartition("-")[2]): path.parent
            for path in output_dir.glob(f"checkpoint-*/{TRAINER_STATE_NAME}")
        }
        if not found:
            raise SpecError("there is no checkpoint to go on from", where=str(output_dir))
        return found[max(found)]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As the trainer's; into a checkpoint the state of the sequence goes first."""
        if _internal_call and self.args.should_save:
            self.sequence.save(Path(output_dir or self.args.output_dir) / STATE_FILE)
        super().save_model(output_dir, _internal_call=_internal_call)  # type: ignore[misc]

    def _loss(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """The loss of the next token, as the trainer's own for causal language models.

        It is divided by what the trainer counts, as the model's own would be, so that arms with and
        without it minimise the same. (Of some models it counts the first token of each row too.)
        """
        if labels is None:
            raise _refusal("train_dataset", "items with `labels`", "none")
        losses, is_target = token_losses(outputs["logits"], labels)
        if torch.is_grad_enabled():  # training, not evaluation
            self._losses_of_step.append(block_losses(losses, is_target))
        count = is_target.sum() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / count

    def note_step(self, global_step: int) -> None:
        """Note the step just trained, with its losses where they are read."""
        losses = self._gathered_losses() if self.sequence.reads_losses else None
        self.sequence.trained(global_step, losses)

    def _gathered_losses(self) -> NDArray[np.float32]:
        """[batch_blocks] losses of the step, in the order in which its blocks were drawn.

        Micro-batches were dealt out in turn: the first of each process, then the second of each.
        """
        own = torch.stack(self._losses_of_step)  # [accumulated, per-device batch]
        self._losses_of_step.clear()
        every = self.accelerator.gather(own.contiguous())
        every = every.view(-1, *own.shape).transpose(0, 1)
        return np.asarray(every.flatten().float().cpu().numpy())


class CurriculumTrainer(WithCurriculum, Trainer):
    """A `Trainer` whose training blocks are chosen by a data timeline."""


def _check_steps(sequence: BlockSequence, args: TrainingArguments, batch_blocks: int) -> None:
    if batch_blocks != sequence.batch_blocks:
        raise _refusal(
            "batch_blocks",
            f"{batch_blocks}: per-device batch x accumulation steps x processes",
            str(sequence.batch_blocks),
        )
    if args.max_steps != sequence.num_steps:
        raise _refusal("max_steps", f"{sequence.num_steps}, the sequence's", str(args.max_steps))
    if not args.ignore_data_skip:
        raise SpecError(
            "a resumed Trainer would skip batches that the sequence has already left behind",
            where="TrainingArguments, ignore_data_skip",
            expected="true",
            got="false",
        )


def _check_loader(args: TrainingArguments) -> None:
    """Refuse what would undo the order or deal it out otherwise."""
    strategy = getattr(args, "train_sampling_strategy", "random")
    if strategy not in ("random", "sequential"):
        raise _refusal("train_sampling_strategy", "left out: the sequence is the order", strategy)
    if args.auto_find_batch_size:
        raise _refusal("auto_find_batch_size", "false: the batch is the sequence's", "true")
    if not getattr(args, "dataloader_in_order", True):
        raise _refusal("dataloader_in_order", "true", "false")
    config: Any = args.accelerator_config
    if config.split_batches or config.dispatch_batches:
        raise _refusal("accelerator_config", "no split_batches, no dispatch_batches", "one of them")


def _refusal(where: str, expected: str, got: str) -> SpecError:
    return SpecError(
        "the Trainer and the sequence of blocks do not fit together",
        where=where,
        expected=expected,
        got=got,
    )
