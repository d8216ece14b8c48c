"""What a run learns: a network and its optimizer, as named groups of tensors.

Groups go into checkpoints as they are, and a network can be evaluated with any group that has its
weights' names and shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from gradatim.compute import Shape
from gradatim.errors import RecordError
from gradatim.model.network import Network
from gradatim.record.spec import OptimizerSpec
from gradatim.timelines.rate.averages import WEIGHTS
from gradatim.train.averages import WeightAverages
from gradatim.train.optimizer import AdamW


class State:
    """The network of a run as it is now.

    This is the one place that knows how weights, gradients and optimizer state lie on devices:
    whole on each process now.

    Args:
        shape: of the network.
        key: the run's (`streams.run_key`), from which weights are drawn by name.
        optimizer: its settings.
        device: where all tensors lie.
        averages: of the weights, to be kept beside them.
        before: the shape it had before; what that had not is new to the optimizer.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        key: str,
        optimizer: OptimizerSpec,
        device: torch.device,
        averages: WeightAverages | None = None,
        before: Shape | None = None,
    ) -> None:
        self._key, self._settings, self._device = key, optimizer, device
        self._averages = averages
        self._make(shape)
        if before is not None:
            self._note_new(dict(Network(before, key=key).named_parameters()))
        self._begin_averages()

    def _make(self, shape: Shape) -> None:
        self.network = Network(shape, key=self._key).to(self._device)
        self.network.train()
        self.optimizer = AdamW(self.network, self._settings)

    def _note_new(self, before: Mapping[str, Tensor]) -> None:
        """Tell the optimizer what the network before had not, by name and shape."""
        shapes = {name: tensor.shape for name, tensor in before.items()}
        now = self.network.named_parameters()
        self.optimizer.new = frozenset(n for n, p in now if shapes.get(n) != p.shape)

    def _begin_averages(self) -> None:
        if self._averages is not None:
            self._averages.begin(self.optimizer.weights)

    @property
    def shape(self) -> Shape:
        """Of the network as it is now."""
        return self.network.shape

    @torch.no_grad()
    def reshape(self, shape: Shape) -> None:
        """Go on with a network of another shape.

        What has the same name and shape in both is kept, weights and moments; the rest is drawn as
        if the network had begun so, with moments of zero. Averages begin anew.
        """
        before = self._trained()
        self._make(shape)
        for group, tensors in self._trained().items():
            for name, tensor in tensors.items():
                kept = before[group].get(name)
                if kept is not None and kept.shape == tensor.shape:
                    tensor.copy_(kept)
        self._note_new(before[WEIGHTS])
        self._begin_averages()

    def average(self, step: int) -> None:
        """Take the weights after a step into their averages."""
        if self._averages is not None:
            self._averages.update(step, self.optimizer.weights)

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """All that a checkpoint holds of tensors; views, which change with the next update."""
        averages = {} if self._averages is None else self._averages.vectors()
        named = {name: self.optimizer.named(vector) for name, vector in averages.items()}
        return {**self._trained(), **named}

    def _trained(self) -> dict[str, dict[str, Tensor]]:
        return {WEIGHTS: dict(self.network.named_parameters()), **self.optimizer.groups()}

    @torch.no_grad()
    def restore(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `groups` gave.

        Raises:
            RecordError: they are another network's.
        """
        own, found = _flat(self.groups()), _flat(groups)
        differing = [
            "/".join(key)
            for key in {**own, **found}
            if key not in own or key not in found or own[key].shape != found[key].shape
        ]
        if differing:
            raise RecordError(
                "the checkpoint holds another network's state", got=", ".join(differing[:5])
            )
        for key, tensor in own.items():
            tensor.copy_(found[key])

    @contextmanager
    def network_with(self, group: str = WEIGHTS) -> Iterator[Network]:
        """The network, carrying the tensors of a group while the block runs."""
        if group == WEIGHTS:
            yield self.network
            return
        groups = self.groups()
        trained = {name: tensor.detach().clone() for name, tensor in groups[WEIGHTS].items()}
        try:
            _copy(groups[group], groups[WEIGHTS])
            yield self.network
        finally:
            _copy(trained, groups[WEIGHTS])


def _flat(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[tuple[str, str], Tensor]:
    return {(group, name): t for group, tensors in groups.items() for name, t in tensors.items()}


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
