"""The part of a step that touches the network: gradients of a batch, then one update.

Shapes: B blocks of the global batch, b blocks of this process, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradatim.compute import Shape
from gradatim.record.spec import RunSpec
from gradatim.train.device import compute_dtype, fetch
from gradatim.train.layout import Layout
from gradatim.train.objectives import OBJECTIVES
from gradatim.train.state import State

Losses = NDArray[np.float32]


class Stepper:
    """Gradients and updates of a run's state."""

    def __init__(self, state: State, spec: RunSpec, layout: Layout) -> None:
        self.state = state
        self.dtype = compute_dtype(spec.precision, layout.device)
        self._spec, self._layout = spec, layout
        self._losses = OBJECTIVES[spec.recipe.objective.kind](state.network, spec)

    def use(self, shape: Shape) -> None:
        """Let the network have a shape, where it has another."""
        if shape != self.state.shape:
            self.state.reshape(shape)
            self._losses = OBJECTIVES[self._spec.recipe.objective.kind](
                self.state.network, self._spec
            )

    def own(self, block_ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The blocks of a global batch that this process trains on."""
        return block_ids[self._layout.slice_of(len(block_ids))]

    def gradients(
        self, tokens_bT: NDArray[np.int64], progress: float, *, batch_blocks: int
    ) -> Callable[[], Losses]:
        """Compute the gradient of the mean loss over the global batch.

        Args:
            tokens_bT: tokens of this process's blocks.
            progress: where the objective stands.
            batch_blocks: B.

        Returns a function that gives the mean loss in nats of each of the B blocks. On an
        accelerator it waits for the forward pass alone, so the next batch can be drawn and read
        while the backward pass runs.
        """
        device = self._layout.device
        tokens = torch.from_numpy(tokens_bT)
        if device.type == "cuda":
            tokens = tokens.pin_memory().to(device, non_blocking=True)
        losses_B = torch.zeros(batch_blocks, device=device)
        own_losses_b = losses_B[self._layout.slice_of(batch_blocks)]
        micro_blocks = self._spec.micro_batch_blocks or batch_blocks
        self.state.optimizer.forget_gradients()
        for first in range(0, len(tokens), micro_blocks):
            micro = slice(first, first + micro_blocks)
            with self._precision():
                loss, losses_b = self._losses(tokens[micro], progress)
            own_losses_b[micro] = losses_b
            if first + micro_blocks >= len(tokens):
                self._layout.sum_in_place(losses_B)
                losses_nats = fetch(losses_B)
            fraction = len(losses_b) / batch_blocks
            torch.autograd.backward(loss * fraction if fraction < 1 else loss)
        self.state.optimizer.join_gradients()
        self._layout.sum_in_place(self.state.optimizer.gradient)
        return losses_nats

    def update(self, rate: float, rate_of_new: float | None = None) -> Tensor:
        """Take one optimizer step; gives the gradient norm before clipping."""
        return self.state.optimizer.update(rate, rate_of_new=rate_of_new)

    def measured_update(self, rate: float, rate_of_new: float) -> tuple[Tensor, float]:
        """As `update`, and the Euclidean norm of the whole change of the weights."""
        optimizer = self.state.optimizer
        gradient_norm = optimizer.update(rate, rate_of_new=rate_of_new, measures_change=True)
        assert optimizer.change_norm is not None
        return gradient_norm, optimizer.change_norm.item()

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._layout.device.type, dtype=self.dtype)
