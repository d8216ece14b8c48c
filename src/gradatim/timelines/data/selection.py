"""Selection: draw from the blocks that a column prefers, for the whole run or until a progress.

Kept is the top share by a column (the challenging yet learnable text of SALT_DS, arXiv 2410.18779;
excess loss over a reference; quality), or a window of it (a span of reading ages). The kept blocks
are drawn from at random, epoch after epoch where the draws exceed them. From `until` on everything
is admitted, first all that has not been drawn.

A block of unknown value is never kept. The control keeps as many of those with a value, at random:
against it a gain comes from the choice, not from repeating less text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gradatim.errors import SpecError
from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockIds, BlockTable, sentence
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.method import Method, plan_settings
from gradatim.timelines.data.pool import Pool, PoolOrder
from gradatim.timelines.data.ranking import check_varies, ranked
from gradatim.timelines.data.sample import Sample, sampled

CONTROLS = {"random": "as many blocks at random"}


class Selection(Method):
    """Only the blocks that a column prefers.

    Give either `keep` or `window`.

    Args:
        metric: the column, such as TABLE/salt_ds of a small model's scores.
        keep: the share kept of the blocks that have a value; equal values at the border are kept at
            random. The share of SALT_DS was not found, so there is no default.
        prefer: which end of the column `keep` keeps; `lowest` for an excess loss that should be
            small.
        window: lowest and highest value kept, both included.
        until: progress from which everything is drawn; 1 for never. SALT selects for its first
            stage alone.
        control: None for the method; `random` for its control.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`).
        sample: which blocks it selects from: all, or with `budget` a random sample of as many as
            the run draws (all, where it draws more), of which the kept ones are then drawn several
            times.
    """

    kind: Literal["selection"] = "selection"
    metric: str
    keep: float | None = Field(default=None, gt=0, lt=1)
    prefer: Literal["highest", "lowest"] = "highest"
    window: tuple[float, float] | None = None
    until: float = Field(default=1.0, gt=0, le=1)
    control: Literal["random"] | None = None
    even_ending_fraction: EvenEndingFraction = None
    sample: Sample = "all"

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Selection:
        if (self.keep is None) == (self.window is None):
            got = "both" if self.keep is not None else "neither"
            raise ValueError(f"give either keep or window; got {got}")
        if self.window is not None and self.prefer != "highest":
            raise ValueError("prefer says which end keep keeps; a window has none")
        if self.window is not None and self.window[0] > self.window[1]:
            low, high = self.window
            raise ValueError(f"a window goes from low to high; got {low:g} to {high:g}")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return (self.metric,)

    @property
    def reads_part_of_sample(self) -> bool:
        """Some blocks are read again in place of others."""
        return True

    def controls(self) -> dict[str, Selection]:
        """As many blocks at random."""
        return {name: self.with_control(name) for name in CONTROLS if self.control is None}

    def check(self, table: BlockTable) -> None:
        """Refuse a column that prefers nothing; `make` refuses a choice that leaves nothing."""
        check_varies(table.difficulty(self.metric), self.metric)

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> PoolOrder:
        """One pool: the kept blocks, and from `until` on all."""
        return selected_order(self, table, num_draws=num_draws, seed=seed)


def num_kept(spec: Selection, values: NDArray[np.floating[Any]]) -> int:
    """How many blocks are kept.

    Raises:
        SpecError: none.
    """
    if spec.keep is not None:
        kept = math.floor(spec.keep * np.count_nonzero(np.isfinite(values)) + 1e-9)
        where, got = "data.keep", f"{spec.keep:g} of {np.count_nonzero(np.isfinite(values)):,}"
    else:
        kept = int(np.count_nonzero(_in_window(spec, values)))
        known = values[np.isfinite(values)]
        where, got = "data.window", f"none of {len(known):,}"
        if len(known):
            got += f", whose values go from {known.min():g} to {known.max():g}"
    if kept == 0:
        raise SpecError(
            f"the selection by {spec.metric} leaves no block", where=where, got=got,
            expected="at least one block that has a value", remedy="Keep more",
        )  # fmt: skip
    return kept


def _in_window(spec: Selection, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    assert spec.window is not None
    return np.asarray((values >= spec.window[0]) & (values <= spec.window[1]))


def _first_copies(ids: BlockIds) -> NDArray[np.intp]:
    """Rows of the distinct blocks, rising.

    A sample longer than one pass has blocks several times. A random choice among copies would keep
    more blocks, each read less often, than the choice of a column, which keeps all copies of one.
    """
    return np.sort(np.unique(ids, return_index=True)[1])


def selected_order(
    spec: Selection, table: BlockTable, *, num_draws: int, seed: int | str
) -> PoolOrder:
    """The curriculum of a `Selection` specification over these blocks.

    Raises:
        SpecError: an unknown metric, or nothing is kept.
    """
    chosen = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)
    first = _first_copies(chosen(table.ids))
    ids, values = chosen(table.ids)[first], chosen(table.difficulty(spec.metric))[first]
    size, is_known = num_kept(spec, values), np.isfinite(values)
    kept: NDArray[np.integer[Any]]
    if spec.control == "random":
        known = np.flatnonzero(is_known)
        kept = known[Stream(seed, "control/random").permutation(len(known))[:size]]
    elif spec.window is not None:
        kept = np.flatnonzero(_in_window(spec, values))
    else:
        is_highest = spec.prefer == "highest"
        kept = ranked(values, Stream(seed, "ranking"), hardest_first=is_highest)[:size]
    is_kept = np.zeros(len(ids), np.bool_)
    is_kept[kept] = True
    others = ids[~is_kept] if spec.until < 1 else ids[:0]
    ids = np.concatenate([ids[is_kept], others])
    plan: dict[str, Any] = {
        **plan_settings(spec, "metric", "keep", "prefer", "window", "until"),
        "num_blocks": len(ids),
        "num_kept": size,
        "num_unknown": int(np.count_nonzero(~is_known)),
        "num_draws": num_draws,
        "epochs": num_draws / len(ids),
        "epochs_of_kept": spec.until * num_draws / size,
        "ramp": spec.until if spec.until < 1 else None,
    }
    # Even with a sample that fits the budget, blocks are drawn more than once.
    plan["sentence"] = sentence({**plan, "sample": "all"}, _sentence(plan), CONTROLS)
    pool = Pool(ids, Stream(seed, "pool"), when_empty="refill")
    return PoolOrder(pool, lambda progress: len(ids) if progress >= spec.until else size, plan)


def _sentence(plan: Mapping[str, Any]) -> str:
    if plan["keep"] is not None:
        chosen = f"the {plan['keep']:.0%} of blocks with the {plan['prefer']} {plan['metric']}"
    else:
        low, high = plan["window"]
        chosen = f"the blocks with {plan['metric']} from {low:g} to {high:g}"
    text = f"only {chosen} ({plan['num_kept']:,}, {plan['epochs_of_kept']:.3g} epochs of them)"
    if plan["num_unknown"]:
        text += f", none of {plan['num_unknown']:,} of unknown value"
    if plan["until"] < 1:
        text += f", until {plan['until']:.1%} of the run, and then everything"
    return text
