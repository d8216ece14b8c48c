"""A mixture over levels, sources or bands that changes from stage to stage.

In every stage each label has a weight, by which blocks are drawn from the labels' pools
(`mixture`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator, model_validator

from gradatim.errors import SpecError
from gradatim.streams import Stream
from gradatim.timelines.data.balance import balanced_weights
from gradatim.timelines.data.bands import DEFAULT_METRIC, Grouping, NumBands, check_bands
from gradatim.timelines.data.door import BlockIds, BlockTable, Losses, check_draw, sentence
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.method import plan_settings
from gradatim.timelines.data.mixture import Grouped, Mixture, counted, label_pool
from gradatim.timelines.data.ranking import gathered
from gradatim.timelines.data.sample import Sample, sampled

MAX_LABELS_SHOWN = 8
CONTROLS = {
    "shuffled": "labels dealt out at random",
    "reversed": "the schedule run backwards in time",
}


class Stage(BaseModel):
    """One part of a run.

    Args:
        until: progress at which it ends.
        weights: of each label; they need not sum to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    until: float = Field(gt=0, le=1)
    weights: dict[str, PositiveFloat] = Field(min_length=1)

    @field_validator("weights", mode="before")
    @classmethod
    def _labels_may_be_numbers(cls, weights: Any) -> Any:
        """A band is called 1 in YAML, which reads it as a number."""
        if isinstance(weights, dict):
            return {str(k) if type(k) is int else k: weight for k, weight in weights.items()}
        return weights


class Stages(Grouped):
    """A piecewise constant mixture; a label without a weight in a stage is not drawn in it.

    Args:
        by: which labels, `level`, `source` or `band`. The bands are called 1 to `num_bands`, the
            easiest first; blocks of unknown difficulty are in none and are not drawn.
        metric: the difficulty column of the bands.
        num_bands: how many bands there are; needed for them.
        stages: in the order of the run; the last one ends at 1.
        control: None for the method; `reversed` runs the schedule backwards in time, `shuffled`
            deals the labels out among the blocks at random, each as often as before.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`); the rest of the schedule is squeezed into what comes before.
        sample: as in `uniform`. With `budget`, the weights are balanced so that the stages use
            exactly the sample (`balance.balanced_weights`); the plan shows asked and used ones.
    """

    kind: Literal["stages"] = "stages"
    by: Grouping = "level"
    metric: str = DEFAULT_METRIC
    num_bands: NumBands | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    control: Literal["shuffled", "reversed"] | None = None
    even_ending_fraction: EvenEndingFraction = None
    sample: Sample = "all"

    @model_validator(mode="after")
    def _rising_to_one(self) -> Stages:
        untils = [stage.until for stage in self.stages]
        if untils[-1] != 1.0 or any(a >= b for a, b in pairwise(untils)):
            shown = ", ".join(f"{until:g}" for until in untils)
            raise ValueError(f"`until` must rise from stage to stage and end at 1; got {shown}")
        named = [label for _, _, label in self.named_labels()]
        check_bands(self.by, self.num_bands, self.metric, named)
        return self

    def controls(self) -> dict[str, Stages]:
        """The same schedule over labels dealt out at random, and run backwards in time."""
        if self.control is not None:
            return {}
        return {name: self.with_control(name) for name in CONTROLS}

    def named_labels(self) -> Iterator[tuple[str, str, str]]:
        for index, stage in enumerate(self.stages):
            for label in stage.weights:
                yield f"data.stages.{index}.weights", self.by, label

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> StagedOrder:
        """A pool a label, drawn from in changing proportion."""
        return staged_order(self, table, num_draws=num_draws, seed=seed)


class StagedOrder:
    """A mixture whose weights are those of the stage that the run is in.

    Args:
        mixture: the pools.
        untils: progress at which each stage ends.
        weights_SL: weights of labels in each stage, rows summing to 1.
        plan: what is intended.
    """

    def __init__(
        self,
        mixture: Mixture,
        untils: Sequence[float],
        weights_SL: Sequence[Sequence[float]],
        plan: Mapping[str, Any],
    ) -> None:
        self.plan = plan
        self._mixture, self._untils, self._weights_SL = mixture, untils, weights_SL

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        stage = min(bisect_right(self._untils, progress), len(self._untils) - 1)
        return self._mixture.draw(self._weights_SL[stage], num_blocks)

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        """A fixed order does not look at losses."""

    def state(self) -> dict[str, Any]:
        return self._mixture.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._mixture.restore(state)


def staged_order(
    spec: Stages, table: BlockTable, *, num_draws: int, seed: int | str
) -> StagedOrder:
    """The curriculum of a `Stages` specification over these blocks.

    Raises:
        SpecError: with sample `budget`, stages that cannot use the sample exactly.
    """
    names, code_of_block = spec.labels(table)
    chosen = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)
    ids, code_of_block = chosen(table.ids), chosen(code_of_block)
    codes_L, num_blocks_L = counted(code_of_block)
    labels = [str(names[code]) for code in codes_L]
    if spec.control == "shuffled":
        shuffled = Stream(seed, "control/shuffled").permutation(len(ids))
        code_of_block = gathered(code_of_block, shuffled)
    stages = mirrored(spec.stages) if spec.control == "reversed" else spec.stages
    untils = [stage.until for stage in stages]
    durations_S = np.diff([0.0, *untils])
    asked_SL = np.array([[stage.weights.get(label, 0.0) for label in labels] for stage in stages])
    asked_SL[asked_SL.sum(axis=1) == 0] = num_blocks_L  # none of its labels' blocks are among these
    asked_SL /= asked_SL.sum(axis=1)[:, None]
    weights_SL = asked_SL
    if spec.sample == "budget":
        _check_all_are_asked(spec, labels, asked_SL)
        weights_SL = balanced_weights(asked_SL, durations_S, num_blocks_L / len(ids))
    epochs_L = num_draws * (durations_S @ weights_SL) / num_blocks_L
    plan: dict[str, Any] = {
        **plan_settings(spec, "by", *(("metric", "num_bands") if spec.by == "band" else ())),
        "num_blocks": len(ids),
        "num_draws": num_draws,
        "num_blocks_of_label": dict(zip(labels, num_blocks_L.tolist(), strict=True)),
        "epochs_of_label": dict(zip(labels, epochs_L.tolist(), strict=True)),
        "stages": _planned_stages(labels, untils, asked_SL, weights_SL),
    }
    plan["sentence"] = sentence(plan, _sentence(plan), CONTROLS)
    used = np.flatnonzero(weights_SL.any(axis=0)).tolist()
    pools = [label_pool(ids[code_of_block == codes_L[i]], labels[i], seed) for i in used]
    mixture = Mixture(pools, is_strict=spec.sample == "budget")
    return StagedOrder(mixture, untils, weights_SL[:, used].tolist(), plan)


def _planned_stages(
    labels: Sequence[str],
    untils: Sequence[float],
    asked_SL: NDArray[np.float64],
    weights_SL: NDArray[np.float64],
) -> list[dict[str, Any]]:
    """The stages as the plan shows them: the mixture asked for, and the one carried out."""
    return [
        {
            "until": until,
            "asked": dict(zip(labels, asked_L, strict=True)),
            "weights": dict(zip(labels, weights_L, strict=True)),
        }
        for until, asked_L, weights_L in zip(
            untils, asked_SL.tolist(), weights_SL.tolist(), strict=True
        )
    ]


def _sentence(plan: Mapping[str, Any]) -> str:
    parts = []
    for stage in plan["stages"]:
        weights = sorted(stage["weights"].items(), key=lambda item: -item[1])
        shown = [f"{label} {w:.0%}" for label, w in weights[:MAX_LABELS_SHOWN] if w > 0]
        more = sum(w > 0 for _, w in weights) - len(shown)
        if more:
            shown.append(f"{more} more")
        parts.append(f"until {stage['until']:.0%}: {', '.join(shown)}")
    return f"mixture by {plan['by']}, {'; '.join(parts)}"


def mirrored(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The schedule run backwards in time; 1 - 0.7 is 0.3, as it was written."""
    ends = [1.0, *(float(1 - Fraction(str(stage.until))) for stage in stages[:-1])]
    return tuple(
        Stage(until=until, weights=stage.weights)
        for until, stage in zip(reversed(ends), reversed(stages), strict=True)
    )


def _check_all_are_asked(
    spec: Stages, labels: Sequence[str], asked_SL: NDArray[np.float64]
) -> None:
    for label in np.asarray(labels)[asked_SL.sum(axis=0) == 0]:
        raise SpecError(
            f"blocks of this {spec.by} are in the sample but in no stage",
            where="data.stages",
            expected="with sample: budget, a weight for every label that blocks have",
            got=str(label) or f"blocks without a {spec.by}",
            remedy="Give it a weight in a stage, or set sample: all",
        )
