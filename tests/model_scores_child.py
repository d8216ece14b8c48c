"""Scores a store in a process of its own, to be killed: store, run folder, table's name."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from gradatim.difficulty.model_scores import TokenLosses, Tokens
from gradatim.evaluate.model_scores import ModelScoresSpec
from gradatim.evaluate.token_scorer import NetworkScorer
from gradatim.study.model_scores import RunAt, score_with_run


def slow_down(seconds: float) -> None:
    """Make every batch last, so that a kill finds the process at work."""
    quick = NetworkScorer.token_losses

    def slow(self: NetworkScorer, tokens: Tokens) -> TokenLosses:
        time.sleep(seconds)
        return quick(self, tokens)

    NetworkScorer.token_losses = slow  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    store, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    slow_down(float(sys.argv[4]))
    print("begins", flush=True)
    score_with_run(
        store,
        RunAt(folder),
        spec=ModelScoresSpec(name=name, batch_blocks=2),
        on_progress=lambda _, num_done, __: print(num_done, flush=True),
    )
