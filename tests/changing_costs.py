"""Two timelines whose cost changes, for tests alone: a network that grows, a teacher for a while.

`install()` lets recipes mean them; it is undone by `uninstall()`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gradatim.compute import Shape, forward_flops
from gradatim.model.network import Network
from gradatim.recipe import Recipe
from gradatim.record.spec import RunSpec
from gradatim.timelines.network import FixedNetwork
from gradatim.timelines.objective import NextToken
from gradatim.train.objectives import OBJECTIVES, LossFunction
from tiny_runs import tiny_spec

RECIPE = {
    "data": {"kind": "ceiling", "ramp": 0.4},
    "network": {"kind": "grows", "at": 0.5},
    "objective": {"kind": "taught", "until": 0.3},
}


class Grows(BaseModel):
    """One layer until a progress, then all the rung has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["grows"] = "grows"
    at: float
    control: Literal["late"] | None = None
    sentence: str = "one layer, then all"

    def shapes(self, shape: Shape) -> tuple[tuple[Fraction, Shape], ...]:
        small = shape.model_copy(update={"num_layers": 1})
        return ((Fraction(str(self.at)), small), (Fraction(1), shape))

    def controls(self) -> dict[str, Grows]:
        return {} if self.control else {"late": self.model_copy(update={"control": "late"})}


class Taught(BaseModel):
    """A frozen network of the rung's shape is asked, and paid, until a progress."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["taught"] = "taught"
    until: float
    sentence: str = "a teacher, then none"

    def charges(self, shape: Shape) -> tuple[tuple[Fraction, dict[str, int]], ...]:
        flops = sum(forward_flops(shape, shape.context_tokens).values())
        return ((Fraction(str(self.until)), {"teacher": flops}), (Fraction(1), {}))

    def controls(self) -> dict[str, Taught]:
        return {}


def taught(network: Network, spec: RunSpec) -> LossFunction:
    """Half the loss towards a teacher's best guess while it speaks."""
    teacher = Network(spec.shape)
    until = spec.recipe.objective.until  # type: ignore[attr-defined]

    def losses(tokens_bT: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        loss, losses_b = network.training_losses(tokens_bT)
        if progress >= until:
            return loss, losses_b
        with torch.no_grad():
            guesses_bT = teacher(tokens_bT).argmax(dim=-1)
        soft = torch.nn.functional.cross_entropy(network(tokens_bT).mT, guesses_bT)
        return (loss + soft) / 2, losses_b

    return losses


def install() -> None:
    """Let recipes mean the two kinds."""
    kinds: dict[str, Any] = {
        "network": Annotated[FixedNetwork | Grows, Field(discriminator="kind")],
        "objective": Annotated[NextToken | Taught, Field(discriminator="kind")],
    }
    _mean(kinds)
    OBJECTIVES["taught"] = taught


def uninstall() -> None:
    """Let recipes mean what they meant."""
    _mean({"network": FixedNetwork, "objective": NextToken})
    del OBJECTIVES["taught"]


def _mean(kinds: dict[str, Any]) -> None:
    for name, annotation in kinds.items():
        Recipe.model_fields[name].annotation = annotation
    for model in (Recipe, RunSpec):
        model.model_rebuild(force=True)


def changing_spec(num_steps: int = 24, **changes: Any) -> RunSpec:
    """A tiny run that grows under a teacher, with the FLOPs of so many plain steps."""
    recipe = Recipe.model_validate(RECIPE)
    return tiny_spec(num_steps, **({"recipe": recipe} | changes))
