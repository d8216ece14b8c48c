"""AdamW with decoupled weight decay on matrices, and clipping by the global norm, on one vector.

All weights of the network are views into one vector, and gradients are joined into another, so
that clipping, updating and exchanging gradients between processes are single operations: with
forty small tensors the calls would cost more than the arithmetic. The update itself is torch's
fused kernel, called directly: going through `torch.optim.AdamW` would load the compiler of torch,
a second for every process, whether or not it is used.

Decay pulls towards zero what multiplies (matrices, embeddings), not what shifts or scales (biases,
norms).

Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2; betas
(0.9, 0.95) and clipping at 1 as in Brown et al. 2020, "Language models are few-shot learners",
appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from gradatim.record.spec import OptimizerSpec


class AdamW:
    """The optimizer of one network, whose weights it moves into one vector.

    Args:
        network: on its device; its parameters become views.
        settings: betas, epsilon, weight decay, clipping.

    Attributes:
        weights: all of them, one vector.
        gradient: the joined gradient, once `join_gradients` was called.
        new: names of weights that may get a rate of their own.
        change_norm: L2 norm of all that the last update changed, where it was asked for.
    """

    def __init__(self, network: nn.Module, settings: OptimizerSpec) -> None:
        self._settings = settings
        named = sorted(network.named_parameters(), key=lambda item: item[1].ndim < 2)
        self._parameters = [parameter for _, parameter in named]
        self._names = [name for name, _ in named]
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._num_in_matrices = sum(p.numel() for p in self._parameters if p.ndim >= 2)
        self.weights = torch.cat([p.detach().reshape(-1) for p in self._parameters])
        for parameter, view in zip(self._parameters, self._views(self.weights), strict=True):
            parameter.data = view
        self.gradient = torch.zeros_like(self.weights)
        self.new: frozenset[str] = frozenset()
        self.change_norm: Tensor | None = None
        self._first_moment = torch.zeros_like(self.weights)
        self._second_moment = torch.zeros_like(self.weights)
        self._num_updates = torch.zeros((), device=self.weights.device)

    def forget_gradients(self) -> None:
        """Start a new batch."""
        for parameter in self._parameters:
            parameter.grad = None

    def join_gradients(self) -> None:
        """Copy every parameter's gradient to its place in `gradient`."""
        gradients = [p.grad.reshape(-1) for p in self._parameters if p.grad is not None]
        assert len(gradients) == len(self._parameters), "a parameter took no part in the loss"
        torch.cat(gradients, out=self.gradient)

    @torch.no_grad()
    def update(
        self, rate: float, *, rate_of_new: float | None = None, measures_change: bool = False
    ) -> Tensor:
        """Clip `gradient` and take a step; gives the norm before clipping.

        Args:
            rate: of the step.
            rate_of_new: that of the weights named in `new`; None is the same.
            measures_change: whether `change_norm` is wanted of this update.
        """
        settings = self._settings
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        if settings.clip_norm is not None:
            # Reading the norm is free on a CPU; an accelerator would have to wait for it.
            if norm.device.type != "cpu":
                self.gradient.mul_((settings.clip_norm / (norm + 1e-6)).clamp(max=1.0))
            elif norm.item() > settings.clip_norm:
                self.gradient.mul_(settings.clip_norm / (norm.item() + 1e-6))
        before = self.weights.clone() if measures_change else None
        if rate_of_new is None or rate_of_new == rate or not self.new:
            self.weights[: self._num_in_matrices].mul_(1 - rate * settings.weight_decay)
            self._step([self._vectors()], rate)
        else:
            self._step_apart(rate, rate_of_new)
        self._num_updates += 1
        if before is not None:
            self.change_norm = torch.linalg.vector_norm(self.weights - before)
        return norm

    def _vectors(self) -> tuple[Tensor, ...]:
        return self.weights, self.gradient, self._first_moment, self._second_moment

    def _step_apart(self, rate: float, rate_of_new: float) -> None:
        """A step on views, the new weights at their own rate."""
        views = zip(self._names, *map(self._views, self._vectors()), strict=True)
        apart: dict[bool, list[tuple[Tensor, ...]]] = {False: [], True: []}
        for name, *vectors in views:
            apart[name in self.new].append(tuple(vectors))
        for is_new, parts in apart.items():
            its_rate = rate_of_new if is_new else rate
            for weight, *_ in parts:
                if weight.ndim >= 2:
                    weight.mul_(1 - its_rate * self._settings.weight_decay)
            if parts:
                self._step(parts, its_rate)

    def _step(self, parts: Sequence[tuple[Tensor, ...]], rate: float) -> None:
        """AdamW on (weights, gradient, both moments), which counts the update of each by itself."""
        settings = self._settings
        weights, gradients, first_moments, second_moments = map(list, zip(*parts, strict=True))
        adamw(
            weights,
            gradients,
            first_moments,
            second_moments,
            [],
            [self._num_updates.clone() for _ in parts],
            fused=self.weights.device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=settings.epsilon,
            maximize=False,
        )

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """The state by group: both moments by name of the weight, and the number of updates.

        Views: they change with the next update.
        """
        moments = {"first_moment": self._first_moment, "second_moment": self._second_moment}
        named = {group: self.named(vector) for group, vector in moments.items()}
        return {**named, "updates": {"num_updates": self._num_updates}}

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The parts of a vector as long as the weights, as views by name of the weight."""
        return dict(zip(self._names, self._views(vector), strict=True))

    def _views(self, vector: Tensor) -> list[Tensor]:
        parts = torch.split(vector, self._sizes)
        return [part.view(p.shape) for part, p in zip(parts, self._parameters, strict=True)]
