"""Averages of the weights as the run goes on: each one operation a step on the one vector.

What an average needs beside its vectors (how many steps, which snapshots) follows from the clock
and the step, so a run that is resumed goes on with the same bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from gradatim.clock import Clock
from gradatim.timelines.rate.averages import Ema, Mean


class WeightAverages:
    """The averages of one run.

    Args:
        settings: what is averaged how.
        clock: the run's steps.
    """

    def __init__(self, settings: Sequence[Ema | Mean], clock: Clock) -> None:
        kinds = {"ema": _RunningEma, "mean": _RunningMean}
        self._running = [kinds[each.kind](each, clock) for each in settings]
        self._clock = clock

    def begin(self, weights: Tensor) -> None:
        """Let every average be the weights as they are, a vector."""
        for each in self._running:
            each.begin(weights)

    @torch.no_grad()
    def update(self, step: int, weights: Tensor) -> None:
        """Take in the weights after a step."""
        begun = self._clock.network_begun(step)
        for each in self._running:
            each.update(begun, step, weights)

    def vectors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, each as long as the weights: the averages by name, and more."""
        return {name: vector for each in self._running for name, vector in each.vectors().items()}


class _RunningEma:
    def __init__(self, settings: Ema, clock: Clock) -> None:
        self._settings = settings

    def begin(self, weights: Tensor) -> None:
        self._average = weights.clone()

    def update(self, begun: int, step: int, weights: Tensor) -> None:
        self._average.lerp_(weights, 1.0 - self._settings.kept(step - begun))

    def vectors(self) -> dict[str, Tensor]:
        return {self._settings.name: self._average}


class _RunningMean:
    def __init__(self, settings: Mean, clock: Clock) -> None:
        self._settings = settings
        steps = {clock.first_step(point) for point in settings.points()}
        self._steps = sorted(steps - {0})

    def begin(self, weights: Tensor) -> None:
        self._average = weights.clone()
        self._snapshots = [weights.clone() for _ in range(self._settings.num_snapshots)]

    def update(self, begun: int, step: int, weights: Tensor) -> None:
        num_taken = bisect_right(self._steps, step)
        if num_taken == 0 or self._steps[num_taken - 1] != step:
            return
        num_taken -= bisect_right(self._steps, begun)
        num_places = len(self._snapshots)
        self._snapshots[(num_taken - 1) % num_places].copy_(weights)
        num_there = min(num_taken, num_places)
        shares = self._settings.shares(num_there)
        self._average.zero_()
        for place, share in zip(range(num_taken - num_there, num_taken), shares, strict=True):
            self._average.add_(self._snapshots[place % num_places], alpha=share)

    def vectors(self) -> dict[str, Tensor]:
        name = self._settings.name
        kept = {f"{name}.{place}": each for place, each in enumerate(self._snapshots, 1)}
        return {name: self._average, **kept}
