"""A rising ceiling of difficulty: draw uniformly among blocks at most so hard.

The ceiling ranks blocks by a metric and opens a growing head of the ranking. Its controls open
exactly as many blocks at every moment, but of another ranking: a random one (`shuffled`), which
has the method's schedule and repetition and not its idea, or the hardest first (`reversed`).

A block of unknown difficulty is never claimed to be easy, nor hard: it is admitted last, in the
reversed order too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gradatim.streams import Stream
from gradatim.timelines.data.door import BlockTable, sentence
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.method import Method, plan_settings
from gradatim.timelines.data.pacing import (
    PacingShape,
    Ramp,
    Scale,
    ShareScale,
    YearsScale,
    ramp_for,
    survival_of,
)
from gradatim.timelines.data.pool import Pool, PoolOrder
from gradatim.timelines.data.ranking import Rows, check_any_known, check_varies, gathered, ranked
from gradatim.timelines.data.sample import Sample, sampled

CONTROLS = {"shuffled": "difficulty dealt out at random", "reversed": "the hardest first"}


class Ceiling(Method):
    """A ceiling that rises over the ramp and is gone after it.

    Give either `ramp` or `easiest_used_fraction`; with neither, the latter is 0.1.

    Args:
        metric: the difficulty column that ranks the blocks.
        pacing: how the ceiling rises (`pacing.competence`): `linear`; `root`, early; `quadratic`,
            late; `inverse_quadratic`, the same turned about; `step` holds it, then drops it.
        power: of `root`, Platanios' p; 2, a square root, unless given.
        num_groups: with scale `share`, open the ranking by whole groups of equal size, each when
            the pacing has reached its last block; 10 is that of arXiv 2506.11300, whose constants
            beside it were not found. Unless given, block by block.
        start_fraction: share of blocks admitted at progress 0 (for `years`: at least).
        ramp: progress at which everything is admitted; below 1, a warm-up and then the whole
            training mixture at random.
        easiest_used_fraction: in place of a ramp, the share of the starting blocks that is
            expected to have been drawn when everything is admitted; the ramp is solved for.
        scale: what rises: `years`, the ceiling in the metric's own unit, from the start quantile
            to the 0.99 quantile; or `share`, the admitted share of blocks.
        control: None for the method; `shuffled` or `reversed` for its controls.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`); the rest of the schedule is squeezed into what comes before.
        sample: as in `uniform`. With `budget`, whenever all that is admitted has been drawn, the
            next block of the ranking is admitted ahead of plan, so that none is drawn twice.
    """

    kind: Literal["ceiling"] = "ceiling"
    metric: str = "reading_age"
    pacing: PacingShape = "linear"
    power: float | None = Field(default=None, gt=0, le=100)
    num_groups: int | None = Field(default=None, ge=1, le=100_000)
    start_fraction: float = Field(default=0.1, gt=0, le=1)
    ramp: float | None = Field(default=None, gt=0, le=1)
    easiest_used_fraction: float | None = Field(default=0.1, gt=0, lt=1)
    scale: Literal["years", "share"] = "years"
    control: Literal["shuffled", "reversed"] | None = None
    even_ending_fraction: EvenEndingFraction = None
    sample: Sample = "all"

    @model_validator(mode="before")
    @classmethod
    def _a_ramp_needs_no_solving(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("ramp") is not None:
            return {"easiest_used_fraction": None, **values}
        return values

    @model_validator(mode="after")
    def _one_way_to_the_ramp(self) -> Ceiling:
        if (self.ramp is None) == (self.easiest_used_fraction is None):
            got = "both" if self.ramp is not None else "neither"
            raise ValueError(f"give either ramp or easiest_used_fraction; got {got}")
        return self

    @model_validator(mode="after")
    def _only_what_is_read(self) -> Ceiling:
        if self.power is not None and self.pacing != "root":
            raise ValueError(f"only pacing root has a power; got pacing {self.pacing}")
        if self.num_groups is not None and self.scale != "share":
            raise ValueError(f"groups are shares of the blocks; give scale share, not {self.scale}")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return (self.metric,)

    def controls(self) -> dict[str, Ceiling]:
        """The same pacing over difficulty dealt out at random, and over the hardest first."""
        if self.control is not None:
            return {}
        return {name: self.with_control(name) for name in CONTROLS}

    def check(self, table: BlockTable) -> None:
        """Refuse a column that orders nothing."""
        check_varies(table.difficulty(self.metric), self.metric)

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> PoolOrder:
        """One pool behind a rising ceiling."""
        return ceiling_order(self, table, num_draws=num_draws, seed=seed)


def ceiling_order(
    spec: Ceiling, table: BlockTable, *, num_draws: int, seed: int | str
) -> PoolOrder:
    """The curriculum of a `Ceiling` specification over these blocks.

    Raises:
        SpecError: an unknown metric, or one that no block has a value of.
    """
    chosen = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)
    difficulty = chosen(table.difficulty(spec.metric))
    check_any_known(difficulty, spec.metric)
    known = np.isfinite(difficulty)
    num_blocks = len(difficulty)
    rows = _ranked_rows(spec, difficulty, seed)
    difficulty = difficulty[known]
    difficulty.sort()
    scale_of = YearsScale if spec.scale == "years" else ShareScale
    scale: Scale = scale_of(
        spec.pacing, spec.start_fraction, difficulty, num_blocks, spec.power or 2.0, spec.num_groups
    )
    epochs = num_draws / num_blocks
    ramp = _ramp(spec, scale, epochs)
    pool = Pool(
        gathered(chosen(table.ids), rows),
        Stream(seed, "pool"),
        when_empty="admit" if spec.sample == "budget" else "refill",
    )
    plan: dict[str, Any] = {
        **plan_settings(spec, "metric", "pacing", "power", "scale", "num_groups"),
        "num_blocks": num_blocks,
        "num_unknown": num_blocks - len(difficulty),
        "num_draws": num_draws,
        "epochs": epochs,
        "ramp": ramp.fraction,
        "is_ramp_capped": ramp.is_capped,
        "easiest_used_asked": spec.easiest_used_fraction,
        "easiest_used_expected": ramp.easiest_used_fraction,
        "start_fraction": scale.num_admitted(0.0) / num_blocks,
        "start_ceiling": scale.ceiling(0.0),
        "top_ceiling": scale.ceiling(np.nextafter(1.0, 0.0)),
    }
    plan["sentence"] = sentence(plan, _sentence(plan), CONTROLS)
    return PoolOrder(pool, lambda progress: scale.num_admitted(progress / ramp.fraction), plan)


def _sentence(plan: Mapping[str, Any]) -> str:
    unit = " years" if plan["metric"] == "reading_age" else ""
    pacing = plan["pacing"].replace("_", " ")
    pacing += f", power {plan['power']:g}" if plan["power"] is not None else ""
    pacing += f", by {plan['num_groups']} groups" if plan["num_groups"] is not None else ""
    rises = "stays until" if plan["pacing"] == "step" else f"rises ({pacing}) until"
    text = (
        f"the ceiling of {plan['metric']} starts at {plan['start_ceiling']:.1f}{unit} "
        f"({plan['start_fraction']:.0%} of blocks), {rises} {plan['ramp']:.1%} of the run and is "
        f"then gone, by when {plan['easiest_used_expected']:.0%} of the starting blocks are "
        "expected to have been drawn"
    )
    if plan["is_ramp_capped"]:
        text += f" (the {plan['easiest_used_asked']:.0%} asked for need a longer run)"
    return text


def _ramp(spec: Ceiling, scale: Scale, epochs: float) -> Ramp:
    survival = survival_of(scale)
    if spec.ramp is not None:
        return Ramp(spec.ramp, 1.0 - survival(epochs * spec.ramp))
    assert spec.easiest_used_fraction is not None
    return ramp_for(spec.easiest_used_fraction, epochs=epochs, survival=survival)


def _ranked_rows(spec: Ceiling, difficulty: NDArray[np.floating[Any]], seed: int | str) -> Rows:
    """Rows in the order of admission; equally hard blocks in random order, unknown ones last."""
    if spec.control == "shuffled":
        return Stream(seed, "control/shuffled").permutation(len(difficulty))
    stream = Stream(seed, "ranking")
    return ranked(difficulty, stream, hardest_first=spec.control == "reversed")
