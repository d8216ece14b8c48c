"""The baseline: everything admitted from the start, which is shuffled epochs."""

from __future__ import annotations

from typing import Any, Literal

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable, sentence
from gradatim.timelines.data.method import Method
from gradatim.timelines.data.pool import Pool, PoolOrder
from gradatim.timelines.data.sample import Sample, sampled


class Uniform(Method):
    """Every block equally likely, none twice in an epoch.

    Args:
        sample: `all` draws from every training block; `budget` from a random sample of as many
            blocks as the run draws, each exactly once, the same sample for every arm of a seed.
    """

    kind: Literal["uniform"] = "uniform"
    sample: Sample = "all"

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> PoolOrder:
        """Shuffled epochs; the baseline claims nothing that a control would have to explain."""
        ids = sampled(len(table), self.sample, num_draws=num_draws, seed=seed)(table.ids)
        plan: dict[str, Any] = {
            "kind": self.kind,
            "sample": self.sample,
            "num_blocks": len(ids),
            "num_draws": num_draws,
            "epochs": num_draws / len(ids),
        }
        plan["sentence"] = sentence(plan, "every block equally likely from the start", {})
        pool = Pool(ids, Stream(seed, "pool"), when_empty="refill")
        return PoolOrder(pool, lambda progress: len(ids), plan)
