"""One evaluation of a network in training: always the same blocks, items and prompts.

Built once from the store, it is called at fixed points of progress, the same for every arm, and
returns the events the record keeps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradatim.blocks.store import Store
from gradatim.evaluate.bits_per_byte import block_nats, held_out_set
from gradatim.evaluate.samples import sample_texts
from gradatim.evaluate.tasks import score_tasks, task_set
from gradatim.model.network import Network

TASK_POINTS = (0.5, 1.0)
"""Tasks cost several times a loss evaluation, so they are scored at these points of progress."""

PROMPT_TOKENS = 16


class Evaluator:
    """Callable evaluation of a network on one store.

    Args:
        store: an open block store.
        num_blocks: held-out blocks for bits per byte.
        num_bands: difficulty bands reported.
        num_tasks: items a split and level; 0 leaves tasks out.
        num_samples: texts generated at the end.
    """

    def __init__(
        self, store: Store, *, num_blocks: int, num_bands: int, num_tasks: int, num_samples: int
    ) -> None:
        self._store = store
        self._held_out = held_out_set(store, num_blocks=num_blocks, num_bands=num_bands)
        self._tasks = task_set(store, num_per_group=num_tasks)
        inside = self._held_out.tokens[self._held_out.slices["all"]]
        stride = max(1, len(inside) // max(1, num_samples))
        self._prompts = [
            passage_start(block, store.separator_id) for block in inside[::stride][:num_samples]
        ]

    def __call__(self, network: Network, progress: float) -> list[dict[str, Any]]:
        """The events of this point: one `evaluate`, and at the end a `sample` a prompt.

        Every `evaluate` has the mean loss of each held-out block, so that it can be seen how text
        fares that is not trained on; the last has more of every block (`HeldOutSet.by_block`).

        Args:
            network: the network as it is now; left in the mode it was in.
            progress: the point of the evaluation grid, 0 to 1.
        """
        was_training = network.training
        network.eval()
        nats = block_nats(network, self._held_out)
        event: dict[str, Any] = {
            "event": "evaluate",
            "bits_per_byte": self._held_out.bits_per_byte(nats),
            "held_out_losses": self._held_out.mean_losses(nats),
        }
        if progress >= 1.0:
            event["blocks"] = self._held_out.by_block(nats)
        if self._has_tasks_at(progress):
            event["tasks"] = score_tasks(network, self._tasks)
        events = [event]
        if progress >= 1.0:
            events += [
                {"event": "sample", "prompt": sample.prompt, "text": sample.text}
                for sample in sample_texts(network, self._store, self._prompts)
            ]
        network.train(was_training)
        return events

    def num_tokens(self, progress: float) -> int:
        """Tokens this point sends through the network: what the ledger notes."""
        task_tokens = self._tasks.num_tokens if self._has_tasks_at(progress) else 0
        return self._held_out.tokens.size + task_tokens

    def _has_tasks_at(self, progress: float) -> bool:
        return bool(self._tasks.items) and any(abs(progress - at) < 1e-9 for at in TASK_POINTS)


def passage_start(block: NDArray[np.int64], separator_id: int) -> list[int]:
    """The first tokens of the first passage that begins inside a block, else of the block."""
    (separators,) = np.nonzero(block[: len(block) - PROMPT_TOKENS] == separator_id)
    start = int(separators[0]) + 1 if len(separators) else 0
    prompt: list[int] = block[start : start + PROMPT_TOKENS].tolist()
    return prompt[: prompt.index(separator_id)] if separator_id in prompt else prompt
