"""Initial weights: each number a pure function of a key, its parameter's name and its flat index.

So a shard draws its slice alone, a grown network has what its smaller self had under the same
names, and neither depends on the order in which parameters are drawn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradatim.streams import Stream

_EMBEDDING_STD = 0.02
_INTO_RESIDUAL = ("attention.out.weight", "mlp.down.weight")


def initial_std(name: str, *, fan_in: int, num_layers: int) -> float:
    """Standard deviation of a matrix of the network by its name.

    0.02 for embeddings, sqrt(2 / (5 fan-in)) for matrices (Nguyen and Salazar, arXiv 1910.05895;
    0.02 at width 1000), and sqrt(2 · layers) times less for those that write to the residual stream
    (GPT-2).
    """
    if name.startswith(("embedding.", "positions.")):
        return _EMBEDDING_STD
    std = math.sqrt(2 / (5 * fan_in))
    return std / math.sqrt(2 * num_layers) if name.endswith(_INTO_RESIDUAL) else std


def draw_weights(
    key: int | str, name: str, start: int, count: int, *, std: float
) -> NDArray[np.float32]:
    """The numbers at flat indices start .. start + count - 1 of the parameter `name`: uniform.

    The word at position p of the stream `weights/{name}` gives two: 2 p from its lower 32 bits and
    2 p + 1 from its upper. Of each, the upper 24 bits are taken as a signed integer, which float32
    holds exactly, and times sqrt(3) std / 2^23 it is the weight: one rounding, so the same bits on
    every machine (those of a normal distribution depend on vector instructions). The temporary
    arrays take twice the memory of the result.

    Args:
        key: whose weights they are: a run's (`streams.run_key`), or a seed.
        name: of the parameter, as in `Network.named_parameters`.
        start: the first flat index, row by row.
        count: how many.
        std: standard deviation.
    """
    position, num_skipped = divmod(start, 2)
    num_words = (num_skipped + count + 1) // 2
    words = Stream(key, f"weights/{name}").words(position, num_words)
    halves = words.astype("<u8", copy=False).view("<i4")[num_skipped : num_skipped + count]
    weights = (halves >> 8).astype(np.float32)
    weights *= np.float32(math.sqrt(3) * std / 2**23)
    return weights
