"""The baseline: everything admitted from the start, which is shuffled epochs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable, sentence
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

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return ()

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels of blocks it reads."""
        return ()

    def controls(self) -> dict[str, Uniform]:
        """The baseline claims nothing that a control would have to explain."""
        return {}


def uniform_order(
    spec: Uniform, table: BlockTable, *, num_draws: int, seed: int | str
) -> PoolOrder:
    """The curriculum of a `Uniform` specification over these blocks."""
    ids = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)(table.ids)
    plan: dict[str, Any] = {
        "kind": spec.kind,
        "sample": spec.sample,
        "num_blocks": len(ids),
        "num_draws": num_draws,
        "epochs": num_draws / len(ids),
    }
    plan["sentence"] = sentence(plan, "every block equally likely from the start", {})
    pool = Pool(ids, Stream(seed, "pool"), when_empty="refill")
    return PoolOrder(pool, lambda progress: len(ids), plan)
