"""The Hugging Face Trainer in front of a sequence of blocks: killed, resumed, in two processes.

Rows carry their number in their first two tokens, so what the network was trained on is read where
the loss is computed, and not where batches are drawn.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.data import Dataset, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from gradatim.adapters.sequence import BlockSequence, make_sequence
from gradatim.adapters.tables import table_of_columns
from gradatim.adapters.transformers import CurriculumTrainer, steps_drawn_ahead
from gradatim.errors import RecordError, SpecError
from gradatim.recipe import Recipe
from gradatim.timelines.data.door import Curriculum
from gradatim.timelines.data.kinds import make_curriculum
from processes import in_processes, start

NUM_ROWS, VOCAB_SIZE, CONTEXT = 150, 64, 12
NUM_STEPS, BATCH, SAVE_STEPS = 14, 4, 4
FEW_ROWS = 16  # 56 draws: learn 14, focus on 8 with 7, review 14, focus on 5 with 21
AGES = np.random.default_rng(0).gamma(6, 2, NUM_ROWS)
CEILING = {"kind": "ceiling", "ramp": 0.5}

pytestmark = pytest.mark.filterwarnings("default")  # of the host


class NumberedRows(Dataset[dict[str, torch.Tensor]]):
    def __len__(self) -> int:
        return NUM_ROWS

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        tokens = np.random.default_rng(row).integers(0, VOCAB_SIZE, CONTEXT)
        tokens[:2] = divmod(row, VOCAB_SIZE)
        return {"input_ids": torch.from_numpy(tokens), "labels": torch.from_numpy(tokens)}


class Endless(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(NUM_ROWS))


class Noting(CurriculumTrainer):
    """Writes down what it is trained on, and what it tells the sequence."""

    def compute_loss(self, model: Any, inputs: Any, **named: Any) -> Any:
        if torch.is_grad_enabled():
            tokens = inputs["input_ids"]
            self.rows.append((tokens[:, 0] * VOCAB_SIZE + tokens[:, 1]).tolist())
            self.losses.append(losses_by_hand(model, tokens).tolist())
        return super().compute_loss(model, inputs, **named)

    def note_step(self, global_step: int) -> None:
        super().note_step(global_step)
        with (Path(self.args.output_dir) / f"rows-{self.args.process_index}.jsonl").open("a") as f:
            f.write(json.dumps({"step": global_step, "rows": self.rows, "losses": self.losses}))
            f.write("\n")
        self.rows, self.losses = [], []

    rows: list[list[int]]
    losses: list[list[float]]


class Dying(TrainerCallback):
    """Kills its own process at the end of a step, or while a checkpoint is written."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@torch.no_grad()
def losses_by_hand(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """[B] each row by itself, in a pass of its own."""
    logits = [model(input_ids=row[None]).logits[0] for row in tokens]
    pairs = zip(logits, tokens, strict=True)
    return torch.stack([F.cross_entropy(of_row[:-1], row[1:]) for of_row, row in pairs])


def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB_SIZE,
            n_positions=CONTEXT,
            n_embd=16,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            **no_dropout,
        )
    )


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": NUM_STEPS,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 3e-3,
        "save_steps": SAVE_STEPS,
        "logging_steps": 1,
        "ignore_data_skip": True,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**(settings | changes))


def ceiling() -> BlockSequence:
    table = table_of_columns({"reading_age": AGES})
    return make_sequence(CEILING, table, num_steps=NUM_STEPS, batch_blocks=BATCH, seed=5)


def reading(lag_steps: int) -> BlockSequence:
    table = table_of_columns({"reading_age": AGES[:FEW_ROWS]})
    return make_sequence(lfr(lag_steps), table, num_steps=NUM_STEPS, batch_blocks=BATCH, seed=5)


def lfr(lag_steps: int) -> dict[str, Any]:
    return {"kind": "phases", "phases": "lfr_fitted", "lag_steps": lag_steps}


def lfr_by_hand(lag_steps: int) -> Curriculum:
    return by_hand(lfr(lag_steps), FEW_ROWS)


def by_hand(data: Mapping[str, Any], num_rows: int) -> Curriculum:
    spec = Recipe.parse({"data": data}, where="test").data
    table = table_of_columns({"reading_age": AGES[:num_rows]})
    return make_curriculum(spec, table, num_draws=NUM_STEPS * BATCH, seed=5)


def ceiling_by_hand() -> list[list[int]]:
    curriculum = by_hand(CEILING, NUM_ROWS)
    return [curriculum.draw(step / NUM_STEPS, BATCH).tolist() for step in range(NUM_STEPS)]


def trainer_of(
    folder: Path,
    sequence: BlockSequence,
    callbacks: list[TrainerCallback] | None = None,
    **changes: Any,
) -> Noting:
    folder.mkdir(exist_ok=True)
    trainer = Noting(
        model(),
        arguments(folder, **changes),
        train_dataset=NumberedRows(),
        eval_dataset=NumberedRows(),
        sequence=sequence,
        callbacks=callbacks,
    )
    trainer.rows, trainer.losses = [], []
    return trainer


def read_steps(folder: Path, rank: int = 0) -> dict[int, Any]:
    """What each step was trained on; one trained twice, after a kill, must have read the same."""
    steps: dict[int, Any] = {}
    for line in (folder / f"rows-{rank}.jsonl").read_text().splitlines():
        noted = json.loads(line)
        assert steps.setdefault(noted["step"], noted) == noted
    assert sorted(steps) == list(range(1, NUM_STEPS + 1))
    return steps


def rows_of(folder: Path) -> list[list[int]]:
    """[NUM_STEPS, BATCH] in the order in which micro-batches were trained."""
    return [
        [row for rows in noted["rows"] for row in rows] for noted in read_steps(folder).values()
    ]


def replayed(folder: Path, lag_steps: int) -> list[list[int]]:
    """What LFR draws when it is told the losses of one pass by hand, a step after the other."""
    curriculum, drawn = lfr_by_hand(lag_steps), []
    for step, noted in read_steps(folder).items():
        block_ids = curriculum.draw((step - 1) / NUM_STEPS, BATCH)
        drawn.append(block_ids.tolist())
        losses = dict(zip(sum(noted["rows"], []), sum(noted["losses"], []), strict=True))  # noqa: RUF017
        curriculum.observe(block_ids, np.array([losses[i] for i in drawn[-1]], np.float32))
    return drawn


def weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    path = folder / f"checkpoint-{NUM_STEPS}" / "model.safetensors"
    return {name: tensor.numpy() for name, tensor in load_file(path).items()}


@pytest.mark.parametrize(
    ("num_workers", "accumulated"),
    [(0, 1), (2, 1), (0, 2)],
    ids=["plain", "workers", "accumulated"],
)
def test_a_trainer_reads_the_doors_own_sequence(
    num_workers: int, accumulated: int, tmp_path: Path
) -> None:
    trainer = trainer_of(
        tmp_path,
        ceiling(),
        dataloader_num_workers=num_workers,
        gradient_accumulation_steps=accumulated,
        per_device_train_batch_size=BATCH // accumulated,
    )
    trainer.train()
    assert rows_of(tmp_path) == ceiling_by_hand()
    assert trainer.sequence.num_trained == NUM_STEPS


@pytest.mark.parametrize(("num_workers", "accumulated"), [(0, 1), (1, 2)])
def test_losses_of_the_one_pass_reach_a_timeline_that_reads_them(
    num_workers: int, accumulated: int, tmp_path: Path
) -> None:
    changes = {
        "dataloader_num_workers": num_workers,
        "gradient_accumulation_steps": accumulated,
        "per_device_train_batch_size": BATCH // accumulated,
    }
    lag_steps = steps_drawn_ahead(arguments(tmp_path, **changes))
    assert lag_steps == {0: 1, 1: 2}[num_workers]
    told: list[NDArray[np.float32]] = []
    sequence = reading(lag_steps)
    trained = sequence.trained

    def listening(num_steps: int, losses: Any = None, update_norm: Any = None) -> None:
        told.append(losses)
        trained(num_steps, losses, update_norm)

    sequence.trained = listening  # type: ignore[method-assign]
    # An evaluation in between must leave no losses behind.
    trainer_of(tmp_path, sequence, eval_strategy="steps", eval_steps=5, **changes).train()
    noted_losses = [np.concatenate(noted["losses"]) for noted in read_steps(tmp_path).values()]
    np.testing.assert_allclose(told, noted_losses, rtol=1e-5)
    assert rows_of(tmp_path) == replayed(tmp_path, lag_steps)


def test_the_loss_that_is_minimised_is_the_trainers_own(tmp_path: Path) -> None:
    """Reading losses changes the order alone: over the same rows the weights are the same."""
    fixed = lfr_by_hand(NUM_STEPS - 1)  # losses late by the whole run
    drawn = [fixed.draw(0.0, BATCH) for _ in range(NUM_STEPS)]
    changes = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": BATCH // 2}
    trainer_of(tmp_path / "reading", reading(NUM_STEPS - 1), **changes).train()
    subset = torch.utils.data.Subset(NumberedRows(), np.concatenate(drawn).tolist())
    Trainer(
        model(),
        arguments(tmp_path / "plain", train_sampling_strategy="sequential", **changes),
        train_dataset=subset,
    ).train()
    assert rows_of(tmp_path / "reading") == [ids.tolist() for ids in drawn]
    plain = weights(tmp_path / "plain")
    for name, found in weights(tmp_path / "reading").items():
        np.testing.assert_allclose(found, plain[name], atol=2e-6, err_msg=name)


def killed_twice(folder: Path, make: Callable[[], BlockSequence], **changes: Any) -> None:
    """Killed after step 6, killed after step 9, each time gone on from the last checkpoint."""
    for kill_at, is_resumed in ((6, False), (9, True), (None, True)):
        callbacks: list[TrainerCallback] = [Dying(kill_at)] if kill_at else []

        def work(callbacks: Any = callbacks, is_resumed: bool = is_resumed) -> None:
            trainer_of(folder, make(), callbacks, **changes).train(
                resume_from_checkpoint=is_resumed
            )

        status = os.waitpid(start(work), 0)[1]
        assert os.WTERMSIG(status) == (signal.SIGKILL if kill_at else 0)
        assert os.WEXITSTATUS(status) == 0


@pytest.mark.parametrize(
    ("kind", "num_workers"),
    [
        ("ceiling", 2),
        ("reading", 0),
        pytest.param("ceiling", 0, marks=pytest.mark.slow),
        pytest.param("reading", 2, marks=pytest.mark.slow),
    ],
)
def test_killed_twice_it_reads_and_learns_as_if_left_alone(
    kind: str, num_workers: int, tmp_path: Path
) -> None:
    changes = {"dataloader_num_workers": num_workers}
    lag_steps = steps_drawn_ahead(arguments(tmp_path, **changes))
    make = ceiling if kind == "ceiling" else partial(reading, lag_steps)
    trainer_of(tmp_path / "alone", make(), **changes).train()
    killed_twice(tmp_path / "killed", make, **changes)
    alone = rows_of(tmp_path / "alone")
    assert rows_of(tmp_path / "killed") == alone
    expected = ceiling_by_hand() if kind == "ceiling" else replayed(tmp_path / "alone", lag_steps)
    assert alone == expected
    left_alone = weights(tmp_path / "alone")
    for name, found in weights(tmp_path / "killed").items():
        assert found.tobytes() == left_alone[name].tobytes(), name


def test_a_checkpoint_half_written_is_passed_over(tmp_path: Path) -> None:
    class DiesSaving(Noting):
        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            if output_dir.endswith("checkpoint-8"):
                os.kill(os.getpid(), signal.SIGKILL)
            super()._save_optimizer_and_scheduler(output_dir)

    def work() -> None:
        trainer = DiesSaving(
            model(), arguments(tmp_path), train_dataset=NumberedRows(), sequence=ceiling()
        )
        trainer.rows, trainer.losses = [], []
        trainer.train()

    assert os.WTERMSIG(os.waitpid(start(work), 0)[1]) == signal.SIGKILL
    assert (tmp_path / "checkpoint-8").is_dir()
    trainer = trainer_of(tmp_path, ceiling())
    trainer.train(resume_from_checkpoint=True)
    assert rows_of(tmp_path) == ceiling_by_hand()


def in_two(kind: str, accumulated: int, rank: int, num_processes: int, folder: Path) -> int:
    changes = {
        "gradient_accumulation_steps": accumulated,
        "per_device_train_batch_size": BATCH // accumulated // num_processes,
        "ddp_backend": "gloo",
    }
    sequence = ceiling() if kind == "ceiling" else reading(1)
    trainer_of(folder, sequence, **changes).train()
    return sequence.num_trained


@pytest.mark.parametrize(("kind", "accumulated"), [("ceiling", 1), ("reading", 2)])
def test_two_processes_read_what_one_reads(kind: str, accumulated: int, tmp_path: Path) -> None:
    num_trained = in_processes(partial(in_two, kind, accumulated), 2, tmp_path)
    assert num_trained == [NUM_STEPS, NUM_STEPS]
    by_rank = [read_steps(tmp_path, rank) for rank in (0, 1)]
    together, losses = [], []
    for step in range(1, NUM_STEPS + 1):
        # Micro-batches are dealt out in turn.
        noted = [
            (by_rank[r][step]["rows"][k], by_rank[r][step]["losses"][k])
            for k in range(accumulated)
            for r in (0, 1)
        ]
        together.append([row for rows, _ in noted for row in rows])
        losses.append([loss for _, of_rows in noted for loss in of_rows])
    if kind == "ceiling":
        assert together == ceiling_by_hand()
        return
    curriculum = lfr_by_hand(1)
    for step, (rows, of_rows) in enumerate(zip(together, losses, strict=True)):
        drawn = curriculum.draw(step / NUM_STEPS, BATCH)
        assert drawn.tolist() == rows
        curriculum.observe(drawn, np.array(of_rows, np.float32))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"per_device_train_batch_size": 3}, "batch_blocks:.*expected 3: per-device.*got 4"),
        ({"max_steps": 20}, "max_steps:.*expected 14, the sequence's; got 20"),
        ({"max_steps": -1}, "max_steps:.*got -1"),
        ({"ignore_data_skip": False}, "ignore_data_skip: a resumed Trainer would skip batches"),
        ({"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy:"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size:"),
        ({"accelerator_config": {"split_batches": True}}, "accelerator_config:"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=problem):
        trainer_of(tmp_path, ceiling(), **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dataloader_num_workers": 2}, "data.lag_steps:.*expected at least 5.*got 1"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor:"),
    ],
)
def test_what_losses_cannot_be_read_from_is_refused(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=problem):
        trainer_of(tmp_path, reading(1), **changes)


def test_a_loss_of_ones_own_is_refused_where_losses_are_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="compute_loss_func"):
        CurriculumTrainer(
            model(),
            arguments(tmp_path),
            train_dataset=NumberedRows(),
            sequence=reading(1),
            compute_loss_func=lambda *_, **__: None,
        )


def test_a_data_set_that_would_pass_the_order_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a map-style one"):
        CurriculumTrainer(model(), arguments(tmp_path), train_dataset=Endless(), sequence=ceiling())


def test_a_checkpoint_without_a_sequence_is_refused(tmp_path: Path) -> None:
    trainer_of(tmp_path, ceiling()).train()
    (tmp_path / "checkpoint-14" / "curriculum.npz").unlink()
    with pytest.raises(RecordError, match="there is no saved sequence"):
        trainer_of(tmp_path, ceiling()).train(resume_from_checkpoint=True)
    with pytest.raises(SpecError, match="no checkpoint to go on from"):
        trainer_of(tmp_path / "empty", ceiling()).train(resume_from_checkpoint=True)
