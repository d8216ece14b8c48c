"""Phases as they are written, and as a run carries them out: whole blocks, in legs.

A leg is a part of a run over one fixed set of blocks. A phase is one leg; a focus that ranks anew
before every pass is a leg a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import floor
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.errors import SpecError
from gradatim.timelines.data.loss_memory import ARRAYS, RankBy

SHORTFALL = Fraction(1, 100)
"""Of the draws that phases in epochs need; where only so much is missing, the last is cut short."""


class Phase(BaseModel):
    """One part of a run.

    Args:
        kind: `learn` and `review` draw from all blocks; `focus` from those left after dropping.
        epochs: how many passes over the blocks of the phase.
        share: in place of epochs, the share of the run's draws.
        drop: of a focus, the fraction of blocks dropped.
        rank_by: of a focus, by what: the `last` loss; the `mean` over the visits since the last
            learn or review began; the `rise` of the last loss over the best; the `excess` of the
            last loss over `reference`; or `learnability`, which is `reference` alone.
        rerank: of a focus, rank anew before every pass, or keep what the first ranking left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["learn", "focus", "review"]
    epochs: float | None = Field(default=None, gt=0, le=10_000)
    share: float | None = Field(default=None, gt=0, le=1)
    drop: float | None = Field(default=None, gt=0)
    rank_by: RankBy | None = None
    rerank: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_a_focus(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "focus":
            return {"rank_by": "last", "rerank": False, **values}
        return values

    @model_validator(mode="after")
    def _whole(self) -> Phase:
        if (self.epochs is None) == (self.share is None):
            got = "both" if self.share is not None else "neither"
            raise ValueError(f"give a phase either epochs or a share of the run; got {got}")
        if self.kind == "focus":
            if self.drop is None:
                raise ValueError("a focus needs drop, the fraction of blocks it leaves out")
            if self.drop >= 1:
                raise ValueError(
                    f"a focus that drops everything has nothing to draw; expected drop below 1, "
                    f"got {self.drop:g}"
                )
            return self
        for name in ("drop", "rank_by", "rerank"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is of a focus alone; a {self.kind} draws from all blocks")
        return self

    @property
    def dropped_fraction(self) -> Fraction:
        """Of the blocks, exactly as it was written."""
        return Fraction(str(self.drop or 0))

    @property
    def passes(self) -> Fraction:
        """Of a phase in epochs: draws over all blocks."""
        return Fraction(str(self.epochs)) * (1 - self.dropped_fraction)


def _preset(unit: str, *amounts: float) -> tuple[dict[str, Any], ...]:
    learn, focus, review, last = ({unit: amount} for amount in amounts)
    return (
        {"kind": "learn", **learn},
        {"kind": "focus", "drop": 0.5, "rank_by": "mean", **focus},
        {"kind": "review", **review},
        {"kind": "focus", "drop": 0.7, "rank_by": "mean", **last},
    )


PRESETS = {
    "lfr": _preset("epochs", 1, 1, 1, 5),
    "lfr_fitted": _preset("share", 0.25, 0.125, 0.25, 0.375),
}
"""`lfr`: the published default, four passes: 1 + 0.5 + 1 + 5 x 0.3 (p1 1, s1 50, p2 1, p3 1, s2 70,
p4 1, reps 5). That `reps` is five passes over one fixed subset is the reading of a third party's
code; a note of another reader has the same five passes and writes reps 2. The paper ranks by
perplexity, we by the mean loss, which orders single visits alike. `lfr_fitted`: the same four
phases in proportion, whatever the run's draws come to."""


@dataclass(frozen=True)
class Leg:
    """A part of a run over one set of blocks.

    Attributes:
        phase: what it is a part of.
        index: of the phase, from 0.
        num_draws: blocks drawn in it, or the most.
        until_day: on the clock of reviews, when it ends; None where its draws say so.
    """

    phase: Phase
    index: int
    num_draws: int
    until_day: float | None = None


def num_left(phase: Phase, num_blocks: int) -> int:
    """How many blocks a phase is over, when the losses of all are known."""
    return num_blocks - floor(phase.dropped_fraction * num_blocks)


def num_fitted(phases: Sequence[Phase], num_available: int, num_draws: int) -> int:
    """How many blocks are used up by phases in epochs over a run, at most those available.

    Raises:
        SpecError: not even one.
    """
    passes = sum((phase.passes for phase in phases), Fraction(0))
    num_blocks = min(num_available, floor(num_draws / passes))
    if num_blocks == 0:
        raise SpecError(
            "the run draws too few blocks for its phases",
            where="data.phases",
            expected=f"at least {float(passes):g} draws, one block through all phases",
            got=f"{num_draws:,}",
            remedy="Raise the budget",
        )
    return num_blocks


def phase_draws(
    phases: Sequence[Phase], num_blocks: int, num_draws: int, *, is_fitted: bool
) -> list[int]:
    """Blocks drawn in each phase; they sum to those of the run.

    Phases in epochs draw whole passes, and the last one what is then left; over fitted blocks of
    which there are too few, all are stretched in proportion.

    Raises:
        SpecError: more epochs than the run has draws for, or a phase without a draw.
    """
    passes = [phase.passes for phase in phases if phase.epochs is not None]
    if not passes:
        draws = _in_proportion([Fraction(str(phase.share)) for phase in phases], num_draws)
    elif is_fitted and num_draws >= (num_blocks + 1) * sum(passes):
        draws = _in_proportion(passes, num_draws)
    else:
        draws = [
            round(Fraction(str(phase.epochs)) * num_left(phase, num_blocks)) for phase in phases
        ]
        needed = sum(draws)
        if not is_fitted and needed - num_draws > SHORTFALL * needed:
            raise SpecError(
                "the phases have more epochs than the run has draws",
                where="data.phases",
                expected=f"{needed:,} draws, {needed / num_blocks:.3g} passes over "
                f"{num_blocks:,} blocks",
                got=f"{num_draws:,}, {num_draws / num_blocks:.3g} passes",
                remedy="Set corpus: fitted, or raise the budget, or set phases: lfr_fitted, which "
                "drops of what it has read",
            )
        draws[-1] += num_draws - needed
    for index, count in enumerate(draws):
        if count < 1:
            raise SpecError(
                "the run draws too few blocks for its phases",
                where=f"data.phases.{index}",
                expected="a block in every phase",
                got=f"{num_draws:,} draws in all",
                remedy="Raise the budget, or leave a phase out",
            )
    return draws


def _in_proportion(weights: Sequence[Fraction], num_draws: int) -> list[int]:
    total = sum(weights, Fraction(0))
    ends = [round(num_draws * done / total) for done in accumulate(weights)]
    return [stop - start for start, stop in pairwise([0, *ends])]


def legs_of(phases: Sequence[Phase], draws: Sequence[int], num_blocks: int) -> list[Leg]:
    """The phases as legs: a focus that ranks anew begins one with every pass."""
    legs = []
    for index, (phase, count) in enumerate(zip(phases, draws, strict=True)):
        most = num_left(phase, num_blocks) if phase.rerank else count
        for start in range(0, count, most):
            legs.append(Leg(phase, index, min(most, count - start)))
    return legs


RANKED_BY: Mapping[RankBy, str] = {
    "last": "last loss",
    "mean": "mean loss",
    "rise": "rise over its best loss",
    "excess": "loss over {reference}",
    "learnability": "{reference}",
}


def planned_phases(
    phases: Sequence[Phase], draws: Sequence[int], num_blocks: int
) -> list[dict[str, Any]]:
    """The phases as a plan shows them.

    A focus drops of the blocks whose losses are known, so its blocks depend on how many were read
    before it: in a run of less than a pass they are nearly all.
    """
    planned = []
    known_shares = _known_shares(phases, draws, num_blocks)
    for phase, count, known in zip(phases, draws, known_shares, strict=True):
        left = num_blocks - floor(phase.dropped_fraction * round(known * num_blocks))
        shown: dict[str, Any] = {
            "kind": phase.kind,
            "draws": count,
            "blocks": left,
            "epochs": count / left,
        }
        if phase.kind == "focus":
            shown |= {"drop": phase.drop, "rank_by": phase.rank_by, "rerank": phase.rerank}
            shown |= {"known": known}
        planned.append(shown)
    return planned


def _known_shares(phases: Sequence[Phase], draws: Sequence[int], num_blocks: int) -> list[float]:
    """The share of the blocks by whose values each phase ranks, as it is expected where it begins.

    A mean is over the visits since the last learn or review began; other losses stay known. A pool
    is drawn without replacement, and what is unknown is in every pool.
    """
    found = []
    ever, since = 0.0, 0.0
    for phase, count in zip(phases, draws, strict=True):
        needs_losses = phase.rank_by is not None and ARRAYS[phase.rank_by]
        known = (since if phase.rank_by == "mean" else ever) if needs_losses else 1.0
        found.append(known)
        if phase.kind != "focus":
            since = 0.0
        read = min(1.0, count / (num_blocks * (1 - float(phase.dropped_fraction) * known)))
        ever, since = (before + (1 - before) * read for before in (ever, since))
    return found


def phases_sentence(plan: Mapping[str, Any]) -> str:
    """What the phases of a plan do, in words."""
    clauses = []
    for phase in plan["phases"]:
        passes = f"{phase['epochs']:.3g} epoch{'' if phase['epochs'] == 1 else 's'}"
        if phase["kind"] != "focus":
            clauses.append(f"{phase['kind']} all for {passes}")
            continue
        value = RANKED_BY[phase["rank_by"]].format(reference=plan["reference"])
        of_known = f" of the {phase['known']:.0%} read before" if phase["known"] < 0.995 else ""
        clause = f"focus for {passes} on those left when{',' if of_known else ''}{of_known}"
        clause += f"{',' if of_known else ''} the {phase['drop']:.0%} of lowest {value}"
        clause += " are dropped"
        if plan["within"] != "all":
            clause += f" within each {plan['within']}"
        clauses.append(clause + (", anew before every epoch" if phase["rerank"] else ""))
    return "; ".join(clauses)
