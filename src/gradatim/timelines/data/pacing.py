"""How much is admitted when: pacing shapes, ceilings, and the ramp that spares the easy text.

A pacing maps progress to the admitted share of blocks. `ShareScale` lets that share itself rise;
`YearsScale` lets a ceiling in difficulty units (years, for reading age) rise and admits what lies
under it. Both answer in blocks, and an order's controls ask the very same object.

A ramp can be given, or found: `ramp_for` solves for the ramp by whose end a wished fraction of the
starting blocks has been drawn. With m = draws / blocks, a starting block still in the pool at
progress p is drawn at rate m / (F(p) - m p), since the pool holds F(p) - m p of all blocks while
none has come back. F depends on u = p / ramp alone, so with z = m ramp the survival to the end is

    survival(z) = exp(-integral from 0 to 1 of z du / (F(u) - z u)),

one scalar equation: closed for `step` (1 - z / F(0)) and for a linear share, exact on a grid else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

PacingShape = Literal["linear", "root", "quadratic", "inverse_quadratic", "step"]

TOP_QUANTILE = 0.99  # a few absurd ages must not set the slope of the ceiling
NUM_CELLS = 1024
NUM_BISECTIONS = 60
RAMP_DECIMALS = 9  # beyond them, logarithms differ between machines
POWER_DECIMALS = 12  # beyond them, powers do


def competence(
    shape: PacingShape, ramp_progress: float, start_fraction: float, power: float = 2.0
) -> float:
    """Share reached at `ramp_progress` (0 to 1) of a rise from `start_fraction` to 1.

    Platanios et al. 2019 (arXiv 1903.09848): (u (1 - s^p) + s^p)^(1/p), with p = 1 for `linear`,
    any p for `root`, 1/2 for `quadratic`. `inverse_quadratic` does at its start what `quadratic`
    does at its end, 1 + s - quadratic(1 - u): "Beyond Random Sampling" (arXiv 2506.11300) names
    the two, its formulas were not found, and this one is ours. `step` stays at the start and jumps
    at the end. An order is the same on every machine: all round these operations alike, and of a
    power other than 2 the digits in which they may differ are dropped.
    """
    if ramp_progress >= 1.0:
        return 1.0
    if shape == "root" and power != 2.0:
        start = round(start_fraction**power, POWER_DECIMALS)
        risen: float = (ramp_progress * (1.0 - start) + start) ** (1.0 / power)
        return round(min(1.0, max(start_fraction, risen)), POWER_DECIMALS)
    if shape == "root":
        start = start_fraction * start_fraction
        return math.sqrt(ramp_progress * (1.0 - start) + start)
    if shape == "quadratic":
        return _squared_rise(ramp_progress, start_fraction)
    if shape == "inverse_quadratic":
        turned = _squared_rise(1.0 - ramp_progress, start_fraction)
        return min(1.0, 1.0 + start_fraction - turned)
    if shape == "linear":
        return ramp_progress * (1.0 - start_fraction) + start_fraction
    return start_fraction


def _squared_rise(ramp_progress: float, start_fraction: float) -> float:
    start = math.sqrt(start_fraction)
    rooted = ramp_progress * (1.0 - start) + start
    return rooted * rooted


@dataclass(frozen=True)
class Scale(ABC):
    """How a position u on the ramp (0 to 1) turns into admitted blocks.

    `sorted_difficulties` [known blocks], ascending; unknown ones rank behind them. `power` is that
    of the shape `root`. With `num_groups`, whole groups of a share of the ranking are admitted.
    """

    shape: PacingShape
    start_fraction: float
    sorted_difficulties: NDArray[np.floating[Any]]
    num_blocks: int
    power: float = 2.0
    num_groups: int | None = None

    @abstractmethod
    def num_admitted(self, ramp_progress: float) -> int:
        """Admitted blocks, from 1 to all; never falling."""

    @abstractmethod
    def ceiling(self, ramp_progress: float) -> float | None:
        """Highest difficulty admitted; None when there is no ceiling any more."""


class ShareScale(Scale):
    """The admitted share itself rises from `start_fraction` to 1.

    Of equal groups, those are admitted that lie wholly within the share, and always the first.
    """

    def num_admitted(self, ramp_progress: float) -> int:
        share = competence(self.shape, ramp_progress, self.start_fraction, self.power)
        if self.num_groups is not None:
            num_open = max(1, math.floor(share * self.num_groups + 1e-9))
            return max(1, num_open * self.num_blocks // self.num_groups)
        return min(self.num_blocks, max(1, math.floor(share * self.num_blocks + 1e-9)))

    def ceiling(self, ramp_progress: float) -> float | None:
        if ramp_progress >= 1.0:
            return None
        last = min(self.num_admitted(ramp_progress), len(self.sorted_difficulties)) - 1
        return float(self.sorted_difficulties[last])


class YearsScale(Scale):
    """The ceiling rises from the start quantile's difficulty to the 0.99 quantile's, then is gone.

    Blocks of unknown difficulty are admitted when it is gone, and so is the top hundredth.
    """

    @property
    def start(self) -> float:
        """Ceiling at progress 0: at least `start_fraction` of all blocks lie under it."""
        rank = max(1, math.ceil(self.start_fraction * self.num_blocks - 1e-9))
        return float(self.sorted_difficulties[min(rank, len(self.sorted_difficulties)) - 1])

    @property
    def top(self) -> float:
        """Ceiling just before it goes."""
        rank = math.ceil(TOP_QUANTILE * len(self.sorted_difficulties) - 1e-9)
        return max(self.start, float(self.sorted_difficulties[rank - 1]))

    def ceiling(self, ramp_progress: float) -> float | None:
        if ramp_progress >= 1.0:
            return None
        rise = competence(self.shape, ramp_progress, 0.0, self.power)
        return self.start + rise * (self.top - self.start)

    def num_admitted(self, ramp_progress: float) -> int:
        ceiling = self.ceiling(ramp_progress)
        if ceiling is None:
            return self.num_blocks
        # Compared in double precision, without widening the array.
        return bisect_right(cast("Sequence[float]", self.sorted_difficulties.data), ceiling)


def linear_share_survival(start_fraction: float, z: float) -> float:
    """Share of the starting blocks not drawn when a linear share reaches 1; z = epochs x ramp.

    (start / (1 - z))^(z / (1 - start - z)), written to be smooth where 1 - start - z is 0.
    """
    if z >= 1.0:
        return 0.0
    growth = (1.0 - z - start_fraction) / start_fraction
    slope = 1.0 if growth == 0.0 else math.log1p(growth) / growth
    return math.exp(-z / start_fraction * slope)


def survival_of(scale: Scale) -> Callable[[float], float]:
    """The survival of a starting block to the end of the ramp, as a function of z = epochs x ramp.

    0 where the pool would run dry before. Between two grid points the admitted share is taken as
    constant, and for a constant share the integral is exact.
    """
    if isinstance(scale, ShareScale) and scale.shape == "linear" and scale.num_groups is None:
        start_fraction = scale.start_fraction
        return lambda z: linear_share_survival(start_fraction, z)
    if scale.num_admitted(0.0) == scale.num_admitted(math.nextafter(1.0, 0.0)):  # a step
        share = scale.num_admitted(0.0) / scale.num_blocks
        return lambda z: max(0.0, 1.0 - z / share)

    edges = np.linspace(0.0, 1.0, NUM_CELLS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    shares = np.array([scale.num_admitted(u) for u in middles.tolist()]) / scale.num_blocks

    def survival(z: float) -> float:
        before, after = shares - z * edges[:-1], shares - z * edges[1:]
        if np.any(after <= 0.0):
            return 0.0
        return float(np.exp(np.sum(np.log(after / before))))

    return survival


@dataclass(frozen=True)
class Ramp:
    """A ramp, as a fraction of progress, and what it does to the starting blocks."""

    fraction: float
    easiest_used_fraction: float
    is_capped: bool = False  # the wished use cannot be reached within the run


def ramp_for(
    easiest_used_fraction: float, *, epochs: float, survival: Callable[[float], float]
) -> Ramp:
    """The ramp by whose end this fraction of the starting blocks is expected to be drawn.

    `epochs` is draws / blocks. Where even a ramp over the whole run uses less, the ramp is the
    whole run and `is_capped` says so.
    """
    low, high = 0.0, 1.0  # survival(0) = 1, survival(1) = 0, falling between
    for _ in range(NUM_BISECTIONS):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if 1.0 - survival(middle) < easiest_used_fraction else (low, middle)
        )
    ramp = round(high / epochs, RAMP_DECIMALS)
    if ramp > 1.0:
        return Ramp(1.0, 1.0 - survival(epochs), is_capped=True)
    return Ramp(ramp, 1.0 - survival(ramp * epochs))
