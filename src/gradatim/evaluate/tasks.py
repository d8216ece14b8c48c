"""Tasks with known answers: accuracy and the probability of the right answer, beside chance.

Every choice of an item is scored by the log-likelihood of its tokens after the prompt. Accuracy
asks whether the right choice has the highest; the probability of the right answer (a softmax over
the choices' likelihoods) moves before accuracy does, so that a threshold is not mistaken for
emergence (arXiv 2304.15004).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gradatim.blocks.description import Task
from gradatim.blocks.store import Store
from gradatim.model.network import Network


@dataclass(frozen=True)
class Candidate:
    """One choice of one item as tokens; the last `num_scored` of them are the choice."""

    item_index: int
    choice_index: int
    token_ids: tuple[int, ...]
    num_scored: int


@dataclass(frozen=True)
class TaskSet:
    """Items ready to be scored: `candidates` sorted by length, `items` in their order."""

    items: tuple[Task, ...]
    candidates: tuple[Candidate, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of all candidates together: what scoring them costs."""
        return sum(len(candidate.token_ids) for candidate in self.candidates)


def task_set(store: Store, *, num_per_group: int) -> TaskSet:
    """The first `num_per_group` items of every (split, level) that fit the store's context."""
    chosen: list[Task] = []
    candidates: list[Candidate] = []
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for item in store.tasks():
        group = (item.split, item.level)
        if taken[group] >= num_per_group:
            continue
        prompt_ids = [store.separator_id, *store.tokenizer.encode(item.prompt).ids]
        rows = [
            _candidate(store, prompt_ids, len(chosen), choice_index, choice)
            for choice_index, choice in enumerate(item.choices)
        ]
        if max(len(row.token_ids) for row in rows) > store.block_tokens:
            continue
        taken[group] += 1
        chosen.append(item)
        candidates += rows
    return TaskSet(tuple(chosen), tuple(sorted(candidates, key=lambda row: len(row.token_ids))))


def _candidate(
    store: Store, prompt_ids: list[int], item_index: int, choice_index: int, choice: str
) -> Candidate:
    text = choice if store.vocabulary.prefix else f" {choice}"  # one space before it, not two
    choice_ids = store.tokenizer.encode(text).ids
    return Candidate(item_index, choice_index, (*prompt_ids, *choice_ids), len(choice_ids))


@torch.no_grad()
def score_tasks(
    network: Network, tasks: TaskSet, *, batch_tokens: int = 8192
) -> dict[str, dict[str, float]]:
    """Accuracy, probability of the right answer, chance and number of items by "split/level"."""
    scores = [np.zeros(len(item.choices)) for item in tasks.items]
    start = 0
    while start < len(tasks.candidates):
        # Sorted by length: a batch is padded to its own longest row only.
        stop = start + 1
        while (
            stop < len(tasks.candidates)
            and len(tasks.candidates[stop].token_ids) * (stop - start + 1) <= batch_tokens
        ):
            stop += 1
        rows = tasks.candidates[start:stop]
        for row, log_likelihood in zip(rows, _log_likelihoods(network, rows), strict=True):
            scores[row.item_index][row.choice_index] = log_likelihood
        start = stop
    return _summarise(tasks, scores)


def _log_likelihoods(network: Network, rows: Sequence[Candidate]) -> list[float]:
    device = next(network.parameters()).device
    longest = max(len(row.token_ids) for row in rows)
    tokens = np.zeros((len(rows), longest), dtype=np.int64)
    scored = np.zeros((len(rows), longest - 1), dtype=bool)
    for index, row in enumerate(rows):
        length = len(row.token_ids)
        tokens[index, :length] = row.token_ids
        scored[index, length - 1 - row.num_scored : length - 1] = True
    losses_BS = network.token_losses(torch.from_numpy(tokens).to(device)).double()
    nats_B = (losses_BS * torch.from_numpy(scored).to(device)).sum(dim=1)
    return [-float(nats) for nats in nats_B.cpu()]


def _summarise(
    tasks: TaskSet, scores: Sequence[NDArray[np.float64]]
) -> dict[str, dict[str, float]]:
    results: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for item, values in zip(tasks.items, scores, strict=True):
        shares = np.exp(values - values.max())
        probability = float(shares[item.answer_index] / shares.sum())
        is_right = float(np.argmax(values) == item.answer_index)
        results[f"{item.split}/{item.level}"].append((is_right, probability, item.chance))
    return {
        group: {
            "accuracy": float(np.mean([row[0] for row in rows])),
            "probability": float(np.mean([row[1] for row in rows])),
            "chance": float(np.mean([row[2] for row in rows])),
            "num_items": float(len(rows)),
        }
        for group, rows in sorted(results.items())
    }
