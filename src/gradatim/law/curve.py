"""How much compute reaches a given loss: reading a learning curve sideways.

A curve is a run's held-out loss at its points of evaluation. Its monotone lower envelope (the best
loss so far) is interpolated linearly in log compute. Under a decaying learning rate a point in the
middle of a run is not annealed, so its loss is higher than that of a run which ended there: the
compute a better arm needed is overstated, and the ratio is conservative (too close to 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """Loss over compute. Both [points], in order of compute, finite, compute above zero."""

    flops: NDArray[np.float64]
    loss: NDArray[np.float64]

    @property
    def final_loss(self) -> float:
        return float(self.loss[-1])


def flops_to_reach(curve: Curve, loss: float) -> float | None:
    """FLOPs at which the curve's lower envelope first comes down to `loss`; None if it never does.

    A curve that starts at or below the loss gives its first point: an upper bound.
    """
    envelope = np.minimum.accumulate(curve.loss)
    if envelope[-1] > loss:
        return None
    index = int(np.argmax(envelope <= loss))
    if index == 0:
        return float(curve.flops[0])
    above, below = envelope[index - 1], envelope[index]
    share = float((above - loss) / (above - below))
    start, end = math.log(curve.flops[index - 1]), math.log(curve.flops[index])
    return math.exp(start + share * (end - start))


def log_compute_ratio(arm: Curve, reference: Curve) -> float:
    """Log of the compute the arm needs, over what the reference needs, for the same loss.

    Below zero when the arm ends lower: the share of its run after which it was where the reference
    ended. Above zero when it ends higher: the inverse of the share of the reference's run after
    which that was where the arm ended. Swapping the two changes the sign and nothing else.
    """
    if arm.final_loss == reference.final_loss:
        return 0.0
    if arm.final_loss > reference.final_loss:
        return -log_compute_ratio(reference, arm)
    needed_flops = flops_to_reach(arm, reference.final_loss)
    assert needed_flops is not None, "a curve reaches every loss above its final one"
    return math.log(needed_flops / float(arm.flops[-1]))
