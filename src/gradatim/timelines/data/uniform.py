"""The baseline: everything admitted from the start, which is shuffled epochs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable
from gradatim.timelines.data.pool import Pool, PoolOrder
from gradatim.timelines.data.sample import Sample, sampled


class Uniform(BaseModel):
    """Every block equally likely, none twice in an epoch.

    Args:
        sample: `all` draws from every training block; `budget` from a random sample of as many
            blocks as the run draws, each exactly once, the same sample for every arm of a seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["uniform"] = "uniform"
    sample: Sample = "all"


def uniform_order(spec: Uniform, table: BlockTable, *, num_draws: int, seed: int) -> PoolOrder:
    """The curriculum of a `Uniform` specification over these blocks."""
    table = sampled(table, spec.sample, num_draws=num_draws, seed=seed)
    plan = {
        "kind": spec.kind,
        "sample": spec.sample,
        "num_blocks": len(table),
        "num_draws": num_draws,
        "epochs": num_draws / len(table),
    }
    pool = Pool(table.ids, Stream(seed, "pool"), when_empty="refill")
    return PoolOrder(pool, lambda progress: len(table), plan)
