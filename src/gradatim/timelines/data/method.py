"""What every specification of a data timeline answers, so that nobody else asks which it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from gradatim.timelines.data.door import BlockTable, Curriculum

LagSteps = Annotated[int, Field(ge=0, le=10_000)]
"""How many steps late losses reach a timeline (`lag`)."""


class Method(BaseModel, ABC):
    """A data timeline's settings: its schedule, what it reads, its controls.

    A subclass has a `kind`, and a `sample` as `sample.sampled` takes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The difficulty columns it reads."""
        return ()

    @property
    def groupings(self) -> tuple[str, ...]:
        """The labels of blocks it reads."""
        return ()

    @property
    def reads_losses(self) -> bool:
        """Whether what it draws depends on the losses observed."""
        return False

    @property
    def reads_update_norms(self) -> bool:
        """Whether what it draws depends on how far the weights have moved."""
        return False

    @property
    def reads_part_of_sample(self) -> bool:
        """Whether, with `sample: budget`, some blocks of the sample are left for others."""
        return False

    def named_labels(self) -> Iterator[tuple[str, str, str]]:
        """Every label that the settings name: where, of which grouping, which."""
        return iter(())

    def controls(self) -> Mapping[str, Method]:
        """By name, what has this one's cost and schedule and not its idea."""
        return {}

    def check(self, table: BlockTable) -> None:
        """Refuse what these blocks cannot serve; `make` may refuse more.

        Raises:
            SpecError: naming the setting.
        """

    @abstractmethod
    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> Curriculum:
        """The curriculum over these blocks before its first draw.

        Raises:
            SpecError: these blocks cannot serve it.
        """

    def with_control(self, name: str) -> Self:
        """The same with its field `control` set."""
        return self.model_copy(update={"control": name})


def plan_settings(spec: Method, *more: str) -> dict[str, Any]:
    """The settings that a plan begins with: kind, sample, control and those named."""
    return spec.model_dump(include={"kind", "sample", "control", *more})
