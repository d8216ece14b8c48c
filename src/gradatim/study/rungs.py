"""The rungs of a study: names of the ladder, or shapes with a name of their own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from gradatim.compute import LADDER, Family, Shape

NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
"""What can be the name of a file."""


class OwnRung(BaseModel):
    """A rung that is not on the ladder: a name of its own, and a shape.

    Attributes:
        name: as runs and reports call it; none of the ladder's.
        family: architecture, where it is not the study's.

    The rest are fields of `compute.Shape`, whose defaults null stands for; vocabulary and context
    are the store's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(max_length=40, pattern=NAME)
    family: Family | None = None
    num_layers: int = Field(ge=1, le=1000)
    width: int = Field(ge=1, le=2**17)
    num_heads: int = Field(ge=1)
    num_kv_heads: int | None = Field(default=None, ge=1)
    mlp_width: int | None = Field(default=None, ge=1, le=2**20)
    tied_embeddings: bool = True
    rope_theta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    norm_epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_built(self) -> OwnRung:
        if self.name in LADDER:
            raise ValueError(f"the ladder has a rung {self.name}; give this one another name")
        try:
            self.shape(vocab_size=2, context_tokens=2, family=self.family or "llama")
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self

    def shape(self, *, vocab_size: int, context_tokens: int, family: Family) -> Shape:
        """The network of this rung; `family` where it names none."""
        given = self.model_dump(exclude={"name"}, exclude_none=True)
        sizes = {"family": family, "vocab_size": vocab_size, "context_tokens": context_tokens}
        return Shape.model_validate(sizes | given)


def _rung_kind(rung: Any) -> str:
    return "str" if isinstance(rung, str) else "OwnRung"


RungEntry = Annotated[
    Annotated[str, Tag("str")] | Annotated[OwnRung, Tag("OwnRung")], Discriminator(_rung_kind)
]
