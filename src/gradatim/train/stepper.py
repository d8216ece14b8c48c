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

from gradatim.model.network import Network
from gradatim.record.spec import RunSpec
from gradatim.train.device import compute_dtype
from gradatim.train.layout import Layout
from gradatim.train.optimizer import AdamW

Losses = NDArray[np.float32]


class Stepper:
    """A network and its optimizer, laid out over the devices of a run.

    This constructor is the one place that knows how weights, gradients and optimizer state lie on
    devices: whole on each process now.
    """

    def __init__(self, network: Network, spec: RunSpec, layout: Layout) -> None:
        self.network = network.to(layout.device)
        self.network.train()
        self.optimizer = AdamW(self.network, spec.optimizer)
        self.dtype = compute_dtype(spec.precision, layout.device)
        self._layout = layout
        self._batch_blocks = spec.batch_blocks
        self._own = layout.slice_of(spec.batch_blocks)
        self._micro_blocks = spec.micro_batch_blocks or spec.batch_blocks
        losses = self.network.training_losses
        self._losses: Callable[[Tensor], tuple[Tensor, Tensor]] = (
            torch.compile(losses) if spec.compile else losses
        )

    def own(self, block_ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The blocks of a global batch that this process trains on."""
        return block_ids[self._own]

    def gradients(self, tokens_bT: NDArray[np.int64]) -> Callable[[], Losses]:
        """Compute the gradient of the mean loss over the global batch.

        Args:
            tokens_bT: tokens of this process's blocks.

        Returns a function that gives the mean loss in nats of each of the B blocks. On an
        accelerator it waits for the forward pass alone, so the next batch can be drawn and read
        while the backward pass runs.
        """
        device = self._layout.device
        tokens = torch.from_numpy(tokens_bT)
        if device.type == "cuda":
            tokens = tokens.pin_memory().to(device, non_blocking=True)
        losses_B = torch.zeros(self._batch_blocks, device=device)
        own_losses_b = losses_B[self._own]
        self.optimizer.forget_gradients()
        for first in range(0, len(tokens), self._micro_blocks):
            micro = slice(first, first + self._micro_blocks)
            with self._precision():
                loss, losses_b = self._losses(tokens[micro])
            own_losses_b[micro] = losses_b
            if first + self._micro_blocks >= len(tokens):
                losses_nats = self._fetch(losses_B)
            fraction = len(losses_b) / self._batch_blocks
            torch.autograd.backward(loss * fraction if fraction < 1 else loss)
        self.optimizer.join_gradients()
        self._layout.sum_in_place(self.optimizer.gradient)
        return losses_nats

    def update(self, rate: float) -> Tensor:
        """Take one optimizer step; gives the gradient norm before clipping."""
        return self.optimizer.update(rate)

    def _fetch(self, losses_B: Tensor) -> Callable[[], Losses]:
        self._layout.sum_in_place(losses_B)
        if losses_B.device.type == "cpu":
            return losses_B.numpy
        on_host_B = torch.empty(losses_B.shape, pin_memory=True)
        on_host_B.copy_(losses_B, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()

        def wait() -> Losses:
            copied.synchronize()
            return on_host_B.numpy()

        return wait

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._layout.device.type, dtype=self.dtype)
