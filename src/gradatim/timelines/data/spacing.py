"""When to review: days on a clock, at fixed or at expanding intervals.

After a first learning phase the run focuses, and reviews all blocks when so many days have passed.
FOREVER (arXiv 2601.03938) reviews at days 1, 2, 4, 7 and 15 of a clock of its own: the sum of the
norms of the updates of the weights, a day being what the first 24 steps come to. That is a method
of continual learning, with small updates; how long a day should be in pretraining was not found, so
a run of any length has to be given one. It reports that its clock matters more than the spacing:
hence three clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from gradatim.errors import SpecError
from gradatim.timelines.data.phase_plan import RANKED_BY, Leg, Phase

Clock = Literal["epochs", "compute", "update_norm"]
Spacing = Literal["expanding", "fixed"]

PUBLISHED_DAYS = (1.0, 2.0, 4.0, 7.0, 15.0)
PUBLISHED_DAY_STEPS = 24


class Reviews(BaseModel):
    """Learn, then focus, with a review of all blocks whenever one is due.

    Args:
        learn: share of the run's draws before day 0.
        share: share of the run's draws that each review takes.
        drop: fraction of blocks that the focus between reviews leaves out; ranked anew after each.
        rank_by: as of a phase; a `mean` over so short reviews would know few blocks.
        spacing: `expanding` reviews at the days of `at`; `fixed` as often, evenly spaced, the last
            at the same day.
        at: the days.
        clock: what a day is measured by: `epochs`, blocks drawn; `compute`, progress of the run;
            or `update_norm`, how far the weights have moved, step by step.
        day: how long one is: passes over the blocks; a share of the run's compute; or in how many
            steps, the first of the run, the weights move so far. By default the reviews fill the
            run: one more day follows the last; of the update norm 24 steps, as published.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learn: float = Field(gt=0, lt=1)
    share: float = Field(gt=0, lt=1)
    drop: float = Field(gt=0, lt=1)
    rank_by: Literal["last", "rise", "excess", "learnability"] = "last"
    spacing: Spacing = "expanding"
    at: tuple[PositiveFloat, ...] = Field(default=PUBLISHED_DAYS, min_length=1, max_length=1000)
    clock: Clock = "compute"
    day: PositiveFloat | None = None

    @model_validator(mode="after")
    def _fit_into_the_run(self) -> Reviews:
        if any(a >= b for a, b in pairwise(self.at)):
            raise ValueError("the days of `at` must rise")
        total = Fraction(str(self.learn)) + len(self.at) * Fraction(str(self.share))
        if total >= 1:
            raise ValueError(
                f"learn and {len(self.at)} reviews leave nothing to focus in; their shares sum to "
                f"{float(total):g}"
            )
        if self.clock == "update_norm" and self.day is not None and self.day % 1:
            raise ValueError("on the clock of the update norm, day is a whole number of steps")
        return self

    @property
    def days(self) -> tuple[float, ...]:
        """When a review is due."""
        if self.spacing == "expanding":
            return self.at
        return tuple(self.at[-1] * k / len(self.at) for k in range(1, len(self.at) + 1))

    @property
    def phases(self) -> tuple[Phase, Phase, Phase]:
        """Learn, focus, review; the share of the focus is that of all its parts together."""
        left = 1 - self.learn - len(self.at) * self.share
        return (
            Phase(kind="learn", share=self.learn),
            Phase(kind="focus", share=left, drop=self.drop, rank_by=self.rank_by),
            Phase(kind="review", share=self.share),
        )

    def legs(self, num_draws: int) -> list[Leg]:
        """The run: a focus ends when a review is due, a review when it has taken its draws.

        Raises:
            SpecError: so few draws that a part of it has none.
        """
        learn, focus, review = self.phases
        of_learn, of_review = (round(share * num_draws) for share in (self.learn, self.share))
        if min(of_learn, of_review) < 1:
            raise SpecError(
                "the run draws too few blocks for its reviews",
                where="data.reviews",
                expected="a block in every part",
                got=f"{num_draws:,} draws in all",
                remedy="Raise the budget, or learn and share",
            )
        legs = [Leg(learn, 0, of_learn)]
        for due in self.days:
            legs.append(Leg(focus, len(legs), num_draws, until_day=due))
            legs.append(Leg(review, len(legs), of_review))
        return [*legs, Leg(focus, len(legs), num_draws)]

    def sentence(self, reference: str | None) -> str:
        """What it does, in words."""
        value = RANKED_BY[self.rank_by].format(reference=reference)
        days = ", ".join(f"{day:.3g}" for day in self.days)
        unit = {"epochs": "epochs", "compute": "of the run's compute"}.get(self.clock)
        if self.clock == "update_norm":
            steps = round(self.day or PUBLISHED_DAY_STEPS)
            a_day = f"as far as the weights move in the first {steps} steps"
        else:
            a_day = f"{self.day:.3g} {unit}" if self.day else "so long that they fill the run"
        return (
            f"learn all for {self.learn:.0%} of the draws, then focus on those left when the "
            f"{self.drop:.0%} of lowest {value} are dropped, and review all for {self.share:.1%} "
            f"of the draws at days {days} on the clock of {self.clock.replace('_', ' ')}, a day "
            f"being {a_day}"
        )


class Days:
    """The clock of reviews in motion; day 0 is where the learning phase ends.

    Args:
        clock: what a day is measured by.
        day: its length in draws, in progress or in steps; None for so long that one more follows
            the last review.
        last_day: of the last review.
        num_draws: of the run.
    """

    def __init__(self, clock: Clock, day: float | None, last_day: float, num_draws: int) -> None:
        self._clock, self._day, self._last_day = clock, day, last_day
        self._num_draws = num_draws
        self._is_running = False
        self._began_at = 0.0  # draws, progress or norm
        self._num_steps = 0
        self._norm, self._norm_of_day = 0.0, 0.0

    @property
    def _day_steps(self) -> int:
        return round(self._day or PUBLISHED_DAY_STEPS)

    def start(self, progress: float, num_drawn: int) -> None:
        """Day 0, if it was not before."""
        if not self._is_running:
            self._is_running = True
            self._began_at = self._now(progress, num_drawn)

    def _now(self, progress: float, num_drawn: int) -> float:
        now = {"epochs": float(num_drawn), "compute": progress, "update_norm": self._norm}
        return now[self._clock]

    def draws_until(self, day: float, progress: float, num_drawn: int) -> int | None:
        """How many draws are left until this day; 0 when it is there, None when nobody knows."""
        if self._clock == "update_norm":
            if self._num_steps < self._day_steps:
                return None
            return 0 if self._norm - self._began_at >= day * self._norm_of_day else None
        length = self._day
        if length is None:
            end = float(self._num_draws) if self._clock == "epochs" else 1.0
            length = (end - self._began_at) / (self._last_day + 1)
        left = self._began_at + day * length - self._now(progress, num_drawn)
        if self._clock == "epochs":
            return max(0, ceil(left - 1e-9))
        return 0 if left <= 1e-12 else None

    def observe(self, update_norm: float | None) -> None:
        """Let a step pass.

        Raises:
            SpecError: it moves by the norm of updates, and none was given.
        """
        if self._clock != "update_norm":
            return
        if update_norm is None:
            raise SpecError(
                "the clock of reviews moves by the norm of updates, and none was given",
                where="data.reviews.clock",
                expected="observe(block_ids, losses, update_norm)",
                remedy="Give it, or set the clock to compute or epochs",
            )
        self._norm += update_norm
        self._num_steps += 1
        if self._num_steps <= self._day_steps:
            self._norm_of_day = self._norm

    def state(self) -> dict[str, Any]:
        return {
            "is_running": int(self._is_running),
            "began_at": self._began_at,
            "num_steps": self._num_steps,
            "norm": self._norm,
            "norm_of_day": self._norm_of_day,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._is_running = bool(state["is_running"])
        self._began_at = float(state["began_at"])
        self._num_steps = int(state["num_steps"])
        self._norm, self._norm_of_day = float(state["norm"]), float(state["norm_of_day"])


def days_of(reviews: Reviews, num_blocks: int, num_draws: int) -> Days:
    """The clock of these reviews over so many blocks, before the first draw.

    Raises:
        SpecError: days so long that the run ends before the first review.
    """
    day = reviews.day
    if reviews.clock == "epochs" and day is not None:
        day *= num_blocks
    if reviews.clock != "update_norm" and day is not None:
        end = num_draws if reviews.clock == "epochs" else 1.0
        if reviews.learn * end + reviews.days[0] * day >= end:
            longest = (1 - reviews.learn) * end / reviews.days[0]
            longest /= num_blocks if reviews.clock == "epochs" else 1
            raise SpecError(
                "the run ends before the first review is due",
                where="data.reviews.day",
                expected=f"below {longest:.3g}",
                got=f"{reviews.day:g}",
                remedy="Shorten the day, raise the budget, or leave day out",
            )
    return Days(reviews.clock, day, reviews.days[-1], num_draws)
