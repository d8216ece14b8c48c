"""A mixture over levels or sources that changes from stage to stage.

In every stage each label has a weight; blocks are apportioned to labels by what each is owed, so
that the realised counts stay beside the plan without any chance in it. Inside a label, blocks come
from that label's own pool, in an order that depends on the seed and the label alone: two arms that
draw equally many blocks of a label draw the same ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from gradatim.errors import SpecError
from gradatim.streams import Stream, parts
from gradatim.timelines.data.balance import apportioned, balanced_weights, interleaved
from gradatim.timelines.data.door import BlockIds, BlockTable, Losses, check_draw, sentence
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.method import Method, plan_settings
from gradatim.timelines.data.pool import Pool
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


class Stages(Method):
    """A piecewise constant mixture; a label without a weight in a stage is not drawn in it.

    Args:
        by: which labels, `level` or `source`.
        stages: in the order of the run; the last one ends at 1.
        control: None for the method; `reversed` runs the schedule backwards in time, `shuffled`
            deals the labels out among the blocks at random, each as often as before.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`); the rest of the schedule is squeezed into what comes before.
        sample: as in `uniform`. With `budget`, the weights are balanced so that the stages use
            exactly the sample (`balance.balanced_weights`); the plan shows asked and used ones.
    """

    kind: Literal["stages"] = "stages"
    by: Literal["level", "source"] = "level"
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
        return self

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels of blocks it reads."""
        return (self.by,)

    def controls(self) -> dict[str, Stages]:
        """The same schedule over labels dealt out at random, and run backwards in time."""
        if self.control is not None:
            return {}
        return {name: self.with_control(name) for name in CONTROLS}

    def named_labels(self) -> Iterator[tuple[str, str, str]]:
        for index, stage in enumerate(self.stages):
            for label in stage.weights:
                yield f"data.stages.{index}.weights", self.by, label

    def check(self, table: BlockTable) -> None:
        """Refuse a stage with a label that no block has."""
        check_labels(self, table)

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> StagedOrder:
        """A pool a label, drawn from in changing proportion."""
        return staged_order(self, table, num_draws=num_draws, seed=seed)


class StagedOrder:
    """Pools side by side, one a label, drawn from in changing proportion.

    Args:
        pools: one a label.
        untils: progress at which each stage ends.
        weights_SL: weights of labels in each stage, rows summing to 1.
        is_strict: no block twice: a label that is used up hands its draws to the others.
        plan: what is intended.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        untils: Sequence[float],
        weights_SL: Sequence[Sequence[float]],
        *,
        is_strict: bool,
        plan: Mapping[str, Any],
    ) -> None:
        self.plan = plan
        self._pools, self._untils, self._weights_SL = pools, untils, weights_SL
        self._is_strict = is_strict
        self._owed = [0.0] * len(pools)

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        stage = min(bisect_right(self._untils, progress), len(self._untils) - 1)
        weights = self._weights_SL[stage]
        owed = [debt + num_blocks * w for debt, w in zip(self._owed, weights, strict=True)]
        counts = apportioned(owed, num_blocks, self._capacity(weights, num_blocks))
        self._owed = [debt - count for debt, count in zip(owed, counts, strict=True)]
        drawn = [np.empty(0, dtype=np.uint32)]
        drawn += [pool.draw(n) for pool, n in zip(self._pools, counts, strict=True) if n]
        return np.concatenate(drawn)[interleaved(counts)]

    def _capacity(self, weights: Sequence[float], num_blocks: int) -> list[int]:
        """The most each label can give: nothing outside its stages, nor more than it has."""
        if not self._is_strict:
            return [num_blocks if weight > 0 else 0 for weight in weights]
        left = [pool.num_remaining for pool in self._pools]
        asked = [count if weight > 0 else 0 for count, weight in zip(left, weights, strict=True)]
        if sum(asked) >= num_blocks:
            return asked
        return left if sum(left) >= num_blocks else [num_blocks] * len(left)

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        """A fixed order does not look at losses."""

    def state(self) -> dict[str, Any]:
        pools = {str(index): pool.state() for index, pool in enumerate(self._pools)}
        return {"owed": np.array(self._owed), "pools": pools}

    def restore(self, state: Mapping[str, Any]) -> None:
        for index, pool in enumerate(self._pools):
            pool.restore(state["pools"][str(index)])
        self._owed = np.asarray(state["owed"], dtype=np.float64).tolist()


def staged_order(
    spec: Stages, table: BlockTable, *, num_draws: int, seed: int | str
) -> StagedOrder:
    """The curriculum of a `Stages` specification over these blocks.

    Raises:
        SpecError: with sample `budget`, stages that cannot use the sample exactly.
    """
    names, code_of_block = table.label(spec.by)
    chosen = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)
    ids, code_of_block = chosen(table.ids), chosen(code_of_block)
    codes_L, num_blocks_L = _counted(code_of_block)
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
        **plan_settings(spec, "by"),
        "num_blocks": len(ids),
        "num_draws": num_draws,
        "num_blocks_of_label": dict(zip(labels, num_blocks_L.tolist(), strict=True)),
        "epochs_of_label": dict(zip(labels, epochs_L.tolist(), strict=True)),
        "stages": _planned_stages(labels, untils, asked_SL, weights_SL),
    }
    plan["sentence"] = sentence(plan, _sentence(plan), CONTROLS)
    used = np.flatnonzero(weights_SL.any(axis=0)).tolist()
    pools = [_label_pool(ids[code_of_block == codes_L[i]], labels[i], seed) for i in used]
    return StagedOrder(
        pools, untils, weights_SL[:, used].tolist(), is_strict=spec.sample == "budget", plan=plan
    )


def _counted(codes: NDArray[np.integer[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The codes that occur, rising, and how often."""
    counts = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.intp)
    for part in parts(len(codes)):
        counts += np.bincount(codes[part], minlength=len(counts))
    occurring = np.flatnonzero(counts)
    return occurring, counts[occurring]


def _label_pool(ids: BlockIds, label: str, seed: int | str) -> Pool:
    pool = Pool(ids, Stream(seed, f"label/{label}"), when_empty="refill")
    pool.admit(len(ids))
    return pool


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


def check_labels(spec: Method, table: BlockTable) -> None:
    """Refuse a label that the settings name and no block has.

    Raises:
        SpecError: naming the setting and the labels there are.
    """
    known: dict[str, list[str]] = {}
    for where, by, label in spec.named_labels():
        if by not in known:
            names, code_of_block = table.label(by)
            codes_L, _ = _counted(code_of_block)
            known[by] = [name for code in codes_L if (name := str(names[code]))]
        if label not in known[by]:
            raise SpecError(
                f"no block has this {by}",
                where=where,
                expected=f"one of {', '.join(known[by])}" if known[by] else "blocks with labels",
                got=label,
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
