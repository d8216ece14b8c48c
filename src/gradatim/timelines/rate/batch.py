"""Batch size over the course of training: how many blocks a step draws, relative to the run's.

A small batch makes more and noisier steps of the same compute, a large one fewer and surer ones. So
a schedule of the batch is a schedule of the noise, and the learning rate stays as it is unless it
is told to follow (`rate_rule`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.errors import SpecError

MAX_RAMP_STAGES = 32
"""A ramp rises in whole blocks, in at most so many even stages of progress; a choice of ours."""

Factor = Annotated[float, Field(gt=0, le=1024)]
Progress = Annotated[float, Field(gt=0, lt=1)]


class Piece(BaseModel):
    """A part of the run with one size of batch, or one that rises or falls evenly.

    Args:
        until: the progress at which it ends; rising, the last 1.
        factor: blocks of a step over the run's `batch_blocks`.
        to: the factor that it comes to at its end; None stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    until: float = Field(gt=0, le=1)
    factor: Factor
    to: Factor | None = None


class _Schedule(BaseModel, ABC):
    """What all schedules have: the rule that the learning rate follows.

    Multiplied by the root of the factor, the noise of Adam's updates stays what it was (Malladi et
    al. 2022, arXiv 2205.10287); by the factor, that of SGD's (Goyal et al. 2017, arXiv 1706.02677).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate_rule: Literal["none", "sqrt", "linear"] = "none"

    @abstractmethod
    def in_pieces(self) -> tuple[Piece, ...]:
        """The schedule as pieces, the last until 1."""

    def sizes(self, batch_blocks: int) -> tuple[tuple[Fraction, int], ...]:
        """Until which progress a step draws how many blocks.

        Blocks are rounded to whole ones, halves up. A ramp has a stage for every block of it, or
        `MAX_RAMP_STAGES`, each of the size in its middle.

        Returns progress, rising to 1, and blocks.

        Raises:
            SpecError: a batch would have no block.
        """
        found: list[tuple[Fraction, int]] = []
        start = Fraction(0)
        for piece in self.in_pieces():
            until = Fraction(str(piece.until))
            first, last = (batch_blocks * f for f in (piece.factor, piece.to or piece.factor))
            num_stages = min(MAX_RAMP_STAGES, max(1, round(abs(last - first))))
            for stage in range(num_stages):
                middle = first + (last - first) * (stage + 0.5) / num_stages
                border = start + (until - start) * Fraction(stage + 1, num_stages)
                blocks = math.floor(middle + 0.5)
                if found and found[-1][1] == blocks:
                    del found[-1]
                found.append((border, blocks))
            start = until
        if min(blocks for _, blocks in found) < 1:
            raise SpecError(
                "a batch of the schedule has no block",
                where="rate.batch",
                expected=f"factors that leave at least one of {batch_blocks} blocks",
                got=self.sentence,
                remedy="Raise batch_blocks or the smallest factor",
            )
        return tuple(found)

    def rate_factor(self, batch_factor: float) -> float:
        """What the learning rate is multiplied by while the batch is so many times the run's."""
        powers = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
        return math.pow(batch_factor, powers[self.rate_rule])

    @property
    def sentence(self) -> str:
        """What it does, in words."""
        told = []
        for piece in self.in_pieces():
            change = "" if piece.to is None else f" to {piece.to:g}"
            told.append(f"{piece.factor:g}{change} times until {piece.until:.0%}")
        rules = {"none": "", "sqrt": ", the rate with its root", "linear": ", the rate with it"}
        return f"the batch {', '.join(told)}{rules[self.rate_rule]}"


class BatchPieces(_Schedule):
    """Any schedule, piece by piece.

    Args:
        pieces: in order, the last until 1.
        rate_rule: how the learning rate follows the factor: `none`, `sqrt`, `linear`.
    """

    kind: Literal["pieces"] = "pieces"
    pieces: tuple[Piece, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ends = [piece.until for piece in self.pieces]
        if ends[-1] != 1 or any(b <= a for a, b in pairwise(ends)):
            told = ", ".join(f"{end:g}" for end in ends)
            raise ValueError(f"pieces must end at rising progress, the last at 1; got {told}")
        return self

    def in_pieces(self) -> tuple[Piece, ...]:
        """As given."""
        return self.pieces


class BatchSwitch(_Schedule):
    """A small batch for most of the run, then a larger one: the late switch of arXiv 2602.14208.

    The run's `batch_blocks` is the small one.

    Args:
        at: the progress of the switch; near 0.75 in that paper.
        factor: the late batch over the early one; the paper's was not found.
        rate_rule: how the learning rate follows the factor: `none`, `sqrt`, `linear`.
    """

    kind: Literal["switch"] = "switch"
    at: Progress = 0.75
    factor: Factor

    def in_pieces(self) -> tuple[Piece, ...]:
        """The run's batch until the switch, then the other."""
        return (Piece(until=self.at, factor=1), Piece(until=1, factor=self.factor))


class DropStableRamp(_Schedule):
    """The batch drops as better data arrive, stays, and rises to the end: arXiv 2605.25698.

    Clean data that come late are worth a small batch where noise is what limits the run. The
    paper's points and sizes were not found, so all of them are to be set; that the ramp is linear
    in progress is our reading.

    Args:
        drop_at: until this progress the batch is the run's.
        factor: of the batch between drop and ramp.
        ramp_at: the progress from which it rises.
        end_factor: of the batch at the end.
        rate_rule: how the learning rate follows the factor: `none`, `sqrt`, `linear`.
    """

    kind: Literal["drop_stable_ramp"] = "drop_stable_ramp"
    drop_at: Progress
    factor: Factor
    ramp_at: Progress
    end_factor: Factor

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ramp_at <= self.drop_at:
            raise ValueError(f"ramp_at {self.ramp_at:g} is not after drop_at {self.drop_at:g}")
        return self

    def in_pieces(self) -> tuple[Piece, ...]:
        """The run's batch, the small one, the ramp."""
        return (
            Piece(until=self.drop_at, factor=1),
            Piece(until=self.ramp_at, factor=self.factor),
            Piece(until=1, factor=self.factor, to=self.end_factor),
        )


BatchSchedule = Annotated[BatchPieces | BatchSwitch | DropStableRamp, Field(discriminator="kind")]
