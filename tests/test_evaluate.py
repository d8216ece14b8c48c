from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gradatim.blocks.store import Store
from gradatim.compute import rung_shape
from gradatim.evaluate.bits_per_byte import HeldOutSet, block_nats, held_out_set, spread_evenly
from gradatim.evaluate.evaluator import PROMPT_TOKENS, Evaluator, passage_start
from gradatim.evaluate.tasks import score_tasks, task_set
from gradatim.model.network import Network


class UniformNetwork(Network):
    """Gives every token of the vocabulary the same probability."""

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        num_blocks, num_tokens = tokens_BT.shape
        return torch.full((num_blocks, num_tokens - 1), math.log(self.shape.vocab_size))


class KnowingNetwork(Network):
    """Knows the texts it is given: a loss of 0 for their tokens, 20 nats for any other."""

    def know(self, texts: list[list[int]]) -> KnowingNetwork:
        self.texts = texts
        return self

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        rows = tokens_BT.tolist()
        losses = torch.full((len(rows), len(rows[0]) - 1), 20.0)
        for index, row in enumerate(rows):
            for text in self.texts:
                if row[: len(text)] == text:
                    losses[index, : len(text) - 1] = 0.0
        return losses


def small_network(store: Store, kind: type[Network] = Network) -> Network:
    return kind(
        rung_shape("10k", vocab_size=store.vocab_size, context_tokens=store.block_tokens), key=0
    )


def test_bits_per_byte_by_hand() -> None:
    # Two blocks of four tokens over four words of two bytes each; token 0 separates.
    tokens = np.array([[1, 2, 0, 3], [1, 1, 2, 2]])
    held_out = HeldOutSet(
        tokens=tokens,
        num_bytes=np.array([4, 6]),
        slices={"all": np.array([True, True]), "band/1": np.array([True, False])},
        strata=np.array([0, 1]),
        separator_id=0,
    )
    shape = rung_shape("10k", vocab_size=4, context_tokens=4)
    values = held_out.bits_per_byte(block_nats(UniformNetwork(shape), held_out))
    # 2 bits a token; the separator is predicted by nobody: 2 tokens in block 0, 3 in block 1.
    by_block = held_out.by_block(np.array([4.0, 6.0]) * math.log(2))
    assert by_block["slices"]["band/1"] == [0]
    assert by_block["nats"] == pytest.approx([2.7726, 4.1589])
    assert values == pytest.approx({"all": 2 * 5 / 10, "band/1": 2 * 2 / 4})


def test_the_held_out_set_is_the_same_every_time_and_disjoint_from_training(
    world_store: Store,
) -> None:
    first = held_out_set(world_store, num_blocks=24, num_bands=4)
    again = held_out_set(world_store, num_blocks=24, num_bands=4)
    assert np.array_equal(first.tokens, again.tokens)
    training = {row.tobytes() for row in world_store.read(world_store.ids("train"))}
    assert not training & {row.tobytes() for row in first.tokens}
    levels = {name for name in first.slices if name.startswith("level/")}
    assert levels == {f"level/{level}" for level in "abcdef"}
    sizes = [int(first.slices[name].sum()) for name in levels]
    assert sum(sizes) == 24
    assert max(sizes) - min(sizes) <= 1
    outside = first.slices["split/out_of_distribution"]
    assert not (outside & first.slices["all"]).any()


def test_spread_evenly_takes_what_small_strata_have() -> None:
    strata = np.array([1] * 2 + [2] * 50 + [3] * 50)
    picked = spread_evenly(strata, 22)
    assert np.bincount(strata[picked]).tolist() == [0, 2, 10, 10]
    assert len(np.unique(picked)) == 22


def test_within_a_level_sources_are_taken_evenly() -> None:
    levels = np.repeat([0, 1], [60, 600])
    sources = np.concatenate([np.repeat([0, 1], [50, 10]), np.repeat([0, 1, 2], [590, 7, 3])])
    picked = spread_evenly(levels, 48, sources)
    cells = np.zeros((2, 3), int)
    np.add.at(cells, (levels[picked], sources[picked]), 1)
    assert cells.tolist() == [[14, 10, 0], [14, 7, 3]]
    assert len(np.unique(picked)) == 48


def test_slices_weigh_to_the_whole(world_store: Store) -> None:
    held_out = held_out_set(world_store, num_blocks=24, num_bands=4)
    values = held_out.bits_per_byte(block_nats(small_network(world_store), held_out))
    for kind in ("band/", "level/"):
        names = [name for name in values if name.startswith(kind)]
        num_bytes = {name: held_out.num_bytes[held_out.slices[name]].sum() for name in names}
        mean = sum(values[name] * num_bytes[name] for name in names) / sum(num_bytes.values())
        assert mean == pytest.approx(values["all"])


def test_a_network_that_knows_the_answers_scores_one(world_store: Store) -> None:
    tasks = task_set(world_store, num_per_group=4)
    right = [
        list(row.token_ids)
        for row in tasks.candidates
        if row.choice_index == tasks.items[row.item_index].answer_index
    ]
    network = small_network(world_store, KnowingNetwork)
    assert isinstance(network, KnowingNetwork)
    scores = score_tasks(network.know(right), tasks)
    assert set(scores) == {
        f"{split}/{level}" for split in ("held_out", "out_of_distribution") for level in "abcdef"
    }
    for row in scores.values():
        assert row["accuracy"] == 1.0
        assert row["probability"] > 0.99
        assert row["num_items"] == 4


def test_task_scores_do_not_depend_on_batching(world_store: Store) -> None:
    tasks = task_set(world_store, num_per_group=3)
    network = small_network(world_store)
    one_by_one = score_tasks(network, tasks, batch_tokens=1)
    together = score_tasks(network, tasks, batch_tokens=100_000)
    for group, row in one_by_one.items():
        assert row == pytest.approx(together[group], abs=1e-6)


def test_an_untrained_network_is_near_chance(world_store: Store) -> None:
    tasks = task_set(world_store, num_per_group=12)
    scores = score_tasks(small_network(world_store), tasks)
    items = sum(row["num_items"] for row in scores.values())
    accuracy = sum(row["accuracy"] * row["num_items"] for row in scores.values()) / items
    chance = sum(row["chance"] * row["num_items"] for row in scores.values()) / items
    assert abs(accuracy - chance) < 4 * math.sqrt(chance * (1 - chance) / items)


def test_the_evaluator_scores_tasks_at_half_and_samples_at_the_end(
    world_store: Store,
) -> None:
    evaluator = Evaluator(world_store, num_blocks=12, num_bands=3, num_tasks=2, num_samples=2)
    network = small_network(world_store).train()
    (at_start,) = evaluator(network, 0.0)
    assert "tasks" not in at_start
    (at_half,) = evaluator(network, 0.5)
    assert set(at_half["tasks"]) >= {"held_out/a", "out_of_distribution/f"}
    assert "tasks" not in evaluator(network, 0.25)[0]
    *_, first, second = evaluator(network, 1.0)
    assert [first["event"], second["event"]] == ["sample", "sample"]
    assert first["prompt"]
    assert network.training
    assert evaluator.num_tokens(0.5) > evaluator.num_tokens(0.4)
    assert evaluator(network, 1.0) == evaluator(network, 1.0)


def test_a_prompt_begins_with_a_passage_and_stays_inside_it() -> None:
    words = list(range(1, 2 * PROMPT_TOKENS + 1))
    assert passage_start(np.array(words), 0) == words[:PROMPT_TOKENS]
    assert passage_start(np.array([7, 0, *words]), 0) == words[:PROMPT_TOKENS]
    assert passage_start(np.array([7, 0, 8, 9, 0, *words]), 0) == [8, 9]
    # A passage that begins too late to give a whole prompt is not asked.
    assert passage_start(np.array([*words, 0, 5]), 0) == words[:PROMPT_TOKENS]
