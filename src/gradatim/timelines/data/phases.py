"""Learn, focus, review: phases over all blocks, and phases over those the network finds hard.

Prakriya et al. 2024 (arXiv 2409.06131): learn all blocks and note the loss of each, which the
training pass gives for free; focus on those left when the easiest are dropped; review all; focus
again. A block is a packed training row. Or reviews come when they are due (`spacing`).

Two things of our own: `corpus: fitted`, phases over a part of the blocks that is just large enough
for all of them, so that "more fresh text instead of epochs" is the uniform baseline; and `shares`
of the run in place of epochs.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gradatim.errors import SpecError
from gradatim.streams import Stream
from gradatim.timelines.data.bands import bands
from gradatim.timelines.data.door import BlockTable, Curriculum, sentence
from gradatim.timelines.data.lag import Lagged
from gradatim.timelines.data.loss_memory import ARRAYS, Drops, LossMemory
from gradatim.timelines.data.method import LagSteps, Method, plan_settings
from gradatim.timelines.data.phase_order import Dropping, PhasedOrder
from gradatim.timelines.data.phase_plan import (
    PRESETS,
    Leg,
    Phase,
    legs_of,
    num_fitted,
    phase_draws,
    phases_sentence,
    planned_phases,
)
from gradatim.timelines.data.ranking import Rows
from gradatim.timelines.data.sample import Sample, sampled
from gradatim.timelines.data.spacing import Reviews, days_of

Control = Literal["random", "easiest", "middle", "epochs", "fixed"]
CONTROLS = {
    "random": "as many dropped at random",
    "easiest": "the highest dropped in place of the lowest",
    "middle": "half of those dropped from either end",
    "epochs": "plain epochs over the same blocks",
    "fixed": "as many reviews at even intervals",
}


class Phases(Method):
    """Learn, focus and review, by the losses of the training pass itself.

    Args:
        phases: in the order of the run, all in epochs or all in shares that sum to 1; or the name
            of a preset: `lfr`, the published default, or `lfr_fitted`, it in proportion to the run.
            Draws that epochs leave over go to the last phase.
        reviews: in place of phases, a focus with reviews that come by a clock.
        corpus: `whole` draws from every block; `fitted` from a random part, so large that phases in
            epochs use up the run's draws.
        reference: a column to compare losses with, for `excess` (`TABLE/loss_mean`) and
            `learnability`.
        within: `all` drops from all blocks together; else every band, source or level drops the
            same fraction of its own.
        band_metric: the difficulty column whose quantiles are the bands.
        num_bands: how many bands.
        lag_steps: how many steps late the losses come (`lag`).
        control: None for the method; `random` drops as many at random, `easiest` drops the highest,
            `middle` half of them at either end; `epochs` reads the same blocks in plain epochs;
            `fixed` reviews as often, evenly spaced.
        sample: `budget`, in a study whose arms share a sample, needs `corpus: fitted`, whose blocks
            are then a part of that sample.
    """

    kind: Literal["phases"] = "phases"
    phases: tuple[Phase, ...] = Field(default=(), max_length=1000)
    reviews: Reviews | None = None
    corpus: Literal["whole", "fitted"] = "whole"
    reference: str | None = None
    within: Literal["all", "band", "source", "level"] = "all"
    band_metric: str = "reading_age"
    num_bands: int = Field(default=10, ge=2, le=200)
    lag_steps: LagSteps = 0
    control: Control | None = None
    sample: Sample = "all"

    @model_validator(mode="before")
    @classmethod
    def _name_of_a_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("phases"), str):
            return values
        if values["phases"] not in PRESETS:
            known = " or ".join(PRESETS)
            raise ValueError(f"no such phases; expected a list or {known}, got {values['phases']}")
        return {**values, "phases": PRESETS[values["phases"]]}

    @model_validator(mode="after")
    def _fits_together(self) -> Phases:
        if bool(self.phases) == (self.reviews is not None):
            raise ValueError("give either phases or reviews")
        if self.reviews and self.corpus == "fitted":
            raise ValueError("corpus: fitted needs phases in epochs, to which it is fitted")
        if self.phases:
            self._check_phases()
        is_expanding = self.reviews is not None and self.reviews.spacing == "expanding"
        if self.control == "fixed" and not is_expanding:
            raise ValueError("control: fixed is of reviews at expanding intervals")
        if self.sample == "budget" and self.corpus == "whole":
            raise ValueError(
                "phases read some blocks again, and a sample that fits the budget has none to "
                "spare; with sample: budget, set data.corpus: fitted"
            )
        if self.within != "band":
            fields = type(self).model_fields
            for name in ("band_metric", "num_bands"):
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} is a setting of within: band, not of {self.within}")
        compared = {phase.rank_by for phase in self._kinds} & {"excess", "learnability"}
        if compared and not self.reference:
            names = " and ".join(sorted(map(str, compared)))
            raise ValueError(f"ranking by {names} needs a reference, TABLE/COLUMN")
        if self.reference and not compared:
            raise ValueError("a reference is for phases that rank by excess or learnability")
        return self

    def _check_phases(self) -> None:
        in_epochs = sum(phase.epochs is not None for phase in self.phases)
        if in_epochs not in (0, len(self.phases)):
            raise ValueError("give all phases epochs, or all of them shares")
        if not in_epochs:
            total = sum((Fraction(str(phase.share)) for phase in self.phases), Fraction(0))
            if abs(total - 1) > Fraction(1, 1000):
                raise ValueError(f"the shares of the phases must sum to 1; got {float(total):g}")
            if self.corpus == "fitted":
                raise ValueError("corpus: fitted needs phases in epochs, to which it is fitted")
        first = self.phases[0]
        if first.kind == "focus" and ARRAYS[first.rank_by or "last"]:
            raise ValueError("the first phase cannot focus by losses that nobody has seen yet")

    @property
    def _kinds(self) -> tuple[Phase, ...]:
        """Every phase that there will be, or one of each kind."""
        return self.reviews.phases if self.reviews else self.phases

    @property
    def metrics(self) -> tuple[str, ...]:
        """The reference, and the column of the bands, where they are used."""
        names = [self.reference] if self.reference else []
        if self.within == "band":
            names.append(self.band_metric)
        return tuple(dict.fromkeys(names))

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels within which blocks are dropped."""
        return (self.within,) if self.within in ("source", "level") else ()

    @property
    def reads_losses(self) -> bool:
        """Whether a phase is over the blocks that losses leave."""
        return self.control != "epochs" and any(
            phase.kind == "focus" and ARRAYS[phase.rank_by or "last"] for phase in self._kinds
        )

    @property
    def reads_update_norms(self) -> bool:
        """Whether reviews come by how far the weights have moved."""
        return self.reviews is not None and self.reviews.clock == "update_norm"

    @property
    def reads_part_of_sample(self) -> bool:
        """Some blocks are read again in place of others."""
        return True

    @property
    def drops(self) -> Drops:
        """Which of the ranking is dropped."""
        of_control: dict[str | None, Drops] = {
            "random": "random",
            "easiest": "highest",
            "middle": "ends",
        }
        return of_control.get(self.control, "lowest")

    def controls(self) -> dict[str, Phases]:
        """The same phases with other blocks dropped, and plain epochs over the same blocks.

        Over the whole corpus the uniform baseline is those epochs; with `corpus: fitted` it is the
        control that reads fresh text instead.
        """
        if self.control is not None or all(phase.kind != "focus" for phase in self._kinds):
            return {}
        names = ["random", "easiest", "middle"]
        if self.corpus == "fitted":
            names.append("epochs")
        if self.reviews and self.reviews.spacing == "expanding":
            names.append("fixed")
        return {name: self.with_control(name) for name in names}

    def check(self, table: BlockTable) -> None:
        """Refuse a reference that says nothing, and columns or labels that are not there."""
        for metric in self.metrics:
            where = "data.reference" if metric == self.reference else "data.band_metric"
            try:
                values = table.difficulty(metric)
            except SpecError as error:
                raise SpecError(**{**vars(error), "where": where}) from None
            known = values[np.isfinite(values)]
            if len(known) == 0 or known.min() == known.max():
                raise SpecError(
                    "the column does not tell blocks apart",
                    where=where,
                    expected="values that differ",
                    got=f"{metric}, constant" if len(known) else f"{metric}, without a value",
                    remedy="Choose another column",
                )
        for by in self.groupings:
            table.label(by)

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> Curriculum:
        """Phase after phase, each over its own pool."""
        order = phased_order(self, table, num_draws=num_draws, seed=seed)
        is_late = self.lag_steps and (self.reads_losses or self.reads_update_norms)
        return Lagged(order, self.lag_steps) if is_late else order


def phased_order(
    spec: Phases, table: BlockTable, *, num_draws: int, seed: int | str
) -> PhasedOrder:
    """The curriculum of a `Phases` specification over these blocks.

    Raises:
        SpecError: the phases and the run's draws do not fit together.
    """
    is_fitted = spec.corpus == "fitted"
    rows = _rows(spec, table, num_draws=num_draws, seed=seed)
    ids = table.ids if rows is None else table.ids[rows]
    if np.any(ids[1:] < ids[:-1]):
        order = np.argsort(ids, kind="stable").astype(np.uint32)
        ids, rows = ids[order], order if rows is None else rows[order]
    plan: dict[str, Any] = {
        **plan_settings(spec, "corpus", "reference", "within", "lag_steps"),
        "num_blocks": len(ids),
        "num_draws": num_draws,
        "epochs": num_draws / len(ids),
    }
    days = None
    if spec.reviews:
        reviews = spec.reviews
        if spec.control == "fixed":
            reviews = reviews.model_copy(update={"spacing": "fixed"})
        legs, days = reviews.legs(num_draws), days_of(reviews, len(ids), num_draws)
        text = spec.reviews.sentence(spec.reference)
        plan |= {"reviews": reviews.model_dump(mode="json"), "days": list(reviews.days)}
    else:
        draws = phase_draws(spec.phases, len(ids), num_draws, is_fitted=is_fitted)
        legs = legs_of(spec.phases, draws, len(ids))
        plan["phases"] = planned_phases(spec.phases, draws, len(ids))
        text = phases_sentence(plan)
    if spec.control == "epochs":
        legs = [Leg(Phase(kind="learn", share=1.0), 0, num_draws)]
        plan["phases"] = planned_phases([legs[0].phase], [num_draws], len(ids))
    # Even with a sample that fits the budget, blocks are drawn more than once.
    plan["sentence"] = sentence({**plan, "sample": "all"}, text, CONTROLS)
    ranks_by = {leg.phase.rank_by for leg in legs if leg.phase.rank_by}
    reference = None if spec.reference is None else _of(rows, table.difficulty(spec.reference))
    memory = LossMemory(ids, ranks_by, reference)
    dropping = Dropping(spec.drops, _groups(spec, table, rows))
    return PhasedOrder(ids, legs, memory, dropping, days=days, seed=seed, plan=plan)


def _rows(spec: Phases, table: BlockTable, *, num_draws: int, seed: int | str) -> Rows | None:
    """The rows of the table that the phases go over, rising; None for all."""
    if spec.corpus == "whole":
        return None
    rows = np.arange(len(table), dtype=np.uint32)
    if num_draws < len(table):
        rows = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)(rows)
    num_blocks = num_fitted(spec.phases, len(rows), num_draws)
    return rows[np.sort(Stream(seed, "phases/blocks").permutation(len(rows))[:num_blocks])]


def _of(rows: Rows | None, column: NDArray[Any]) -> NDArray[np.float32]:
    values = np.asarray(column, dtype=np.float32)
    values = values if rows is None else values[rows]
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _groups(spec: Phases, table: BlockTable, rows: Rows | None) -> NDArray[np.integer[Any]] | None:
    if spec.within == "all":
        return None
    if spec.within == "band":
        return bands(_of(rows, table.difficulty(spec.band_metric)), spec.num_bands)[1]
    codes = table.label(spec.within)[1]
    return codes if rows is None else codes[rows]
