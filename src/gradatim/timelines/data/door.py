"""The door between a curriculum and whatever trains: draw block ids, report losses, save, restore.

It needs no torch and no trainer, so a curriculum can stand in front of anybody's own loop. What a
curriculum may know of the blocks reaches it as plain arrays in a `BlockTable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import SpecError

BlockIds = NDArray[np.uint32]
Losses = NDArray[np.float32]
Labels = tuple[Sequence[str], NDArray[np.integer[Any]]]


class Curriculum(Protocol):
    """A data timeline in motion.

    `plan` is a JSON-able description of what is intended; its `sentence` says it in words.
    """

    @property
    def plan(self) -> Mapping[str, Any]: ...

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        """The next `num_blocks` ids; `progress` (share of the compute budget spent) is read once.

        Raises `SpecError` when `progress` is not in [0, 1] or `num_blocks` is negative.
        """

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        """Mean loss of each block just trained on; a fixed order ignores it.

        `update_norm` is the Euclidean norm of the step's whole change of the weights, given where
        the specification says `reads_update_norms`.
        """

    def state(self) -> dict[str, Any]:
        """Everything `restore` needs to go on identically: arrays and numbers only."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as if never stopped; raises `MismatchError` when the blocks are others."""


@runtime_checkable
class OpensGradually(Protocol):
    """A curriculum that begins with some of its blocks and admits the others later."""

    @property
    def starting_ids(self) -> BlockIds:
        """The blocks open at progress 0."""


@runtime_checkable
class Announces(Protocol):
    """A curriculum in which something changes that a reader of the record wants to know."""

    def news(self) -> dict[str, Any] | None:
        """What has changed since last asked, as JSON can carry it; None when nothing has.

        It says nothing that drawing and observing again would not say again.
        """


@dataclass(frozen=True)
class BlockTable:
    """What a curriculum may know of the blocks of the training split, one entry a block.

    A mapping may read a column when it is asked for: a curriculum asks once for the few it needs.

    Args:
        ids: block ids, distinct.
        difficulties: name of a metric to its values, higher is harder; not-a-number is unknown.
        labels: name of a grouping ("level", "source") to the names of its labels, rising, and the
            code of each block, as `np.unique(labels, return_inverse=True)` gives them; "" is none.
    """

    ids: BlockIds
    difficulties: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def difficulty(self, metric: str) -> NDArray[np.floating[Any]]:
        """Values of a metric.

        Raises:
            SpecError: there is none of that name, or not one value a block.
        """
        try:
            values = np.asarray(self.difficulties[metric])
        except KeyError:
            raise SpecError(
                "no such metric in the block store",
                where="data.metric",
                expected=f"one of {', '.join(sorted(self.difficulties))}",
                got=metric,
            ) from None
        self._check_fit(metric, values)
        is_float = np.issubdtype(values.dtype, np.floating)
        return values if is_float else values.astype(np.float64)

    def label(self, by: str) -> Labels:
        """Names of the labels of a grouping, rising, and the code of each block.

        Raises:
            SpecError: there is none of that name, or not one code a block.
        """
        try:
            names, codes = self.labels[by]
        except KeyError:
            raise SpecError(
                "the blocks carry no such labels",
                where="data.by",
                expected=f"one of {', '.join(sorted(self.labels))}",
                got=by,
            ) from None
        self._check_fit(by, codes)
        return names, codes

    def _check_fit(self, name: str, column: NDArray[Any]) -> None:
        if len(column) != len(self.ids):
            raise SpecError(
                "column does not fit the blocks",
                where=f"block table, column {name!r}",
                expected=f"{len(self.ids)} values",
                got=str(len(column)),
            )


def check_draw(progress: float, num_blocks: int) -> None:
    """Refuse a draw that cannot be meant; raises `SpecError`."""
    if not 0.0 <= progress <= 1.0:
        raise SpecError(
            "progress is out of range",
            where="draw",
            expected="compute spent / compute budget, from 0 to 1",
            got=repr(progress),
        )
    if num_blocks < 0:
        raise SpecError(
            "cannot draw a negative number of blocks", where="draw", got=f"{num_blocks}"
        )


def sentence(plan: Mapping[str, Any], text: str, controls: Mapping[str, str]) -> str:
    """What a plan intends: `text`, how much it draws, and what it is a control of.

    Args:
        plan: with num_draws, num_blocks and sample.
        text: of the method.
        controls: what each kind of control does instead, in words.
    """
    draws = f"{plan['num_draws']:,} draws from {plan['num_blocks']:,} blocks"
    epochs = plan["num_draws"] / plan["num_blocks"]
    draws += ", each exactly once" if plan["sample"] == "budget" else f", {epochs:.3g} epochs"
    control = plan.get("control")
    prefix = f"{control} control, {controls[control]}, of: " if control else ""
    return f"{prefix}{text}; {draws}"
