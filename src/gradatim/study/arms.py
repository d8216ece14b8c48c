"""The arms of a study: what differs laid over what is shared, the controls each one brings, and
the schedules of the rate under which all of them are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradatim.errors import SpecError
from gradatim.recipe import Recipe
from gradatim.record.naming import cell_name
from gradatim.record.spec import Control
from gradatim.settings import validated
from gradatim.timelines.rate import Rate

BASELINE = "uniform"
BASELINE_RECIPE = {"data": {"kind": "uniform"}}

Changes = Mapping[str, Any]


@dataclass(frozen=True)
class PlannedArm:
    """One arm: its recipe, and what it is a control of."""

    recipe: Recipe
    control: Control | None = None


@dataclass(frozen=True)
class Cell:
    """What is trained at every rung with every seed.

    Attributes:
        multiple: of the budget; other than 1 for the baseline's runs beside the others.
        schedule: name of the rate schedule; None where the study has one for all.
    """

    arm: str
    planned: PlannedArm
    multiple: float = 1.0
    schedule: str | None = None


def planned_arms(
    arms: Mapping[str, Changes],
    shared: Changes,
    *,
    sample: str,
    brings_controls: bool,
    rate: Rate | None = None,
) -> dict[str, PlannedArm]:
    """Every arm with its recipe, controls included, the baseline first.

    Args:
        arms: name to what differs from `shared`; `uniform` is added where it is missing.
        shared: what all recipes have in common.
        sample: what all arms draw from.
        brings_controls: whether an arm's controls are added.
        rate: of all of them, where the study has schedules.

    Raises:
        SpecError: an arm that is no recipe, is named as the baseline and is none, means the same as
            another, or whose name a control needs.
    """
    planned: dict[str, PlannedArm] = {}
    for arm, changes in {BASELINE: {}, **arms}.items():
        recipe = _recipe(arm, changes, shared, sample)
        if rate is not None:
            recipe = recipe.model_copy(update={"rate": rate})
        planned[arm] = PlannedArm(recipe)
        controls = recipe.controls() if brings_controls else {}
        for kind, control in controls.items():
            name = f"{arm}-{kind}"
            if name in arms:
                raise SpecError(
                    "this name belongs to a control",
                    where=f"arms.{name}",
                    remedy=f"Rename the arm, or set controls: none; {arm} brings {name}",
                )
            planned[name] = PlannedArm(control, Control(of=arm, kind=kind))
    first: dict[str, str] = {}
    for arm, each in planned.items():
        if (twin := first.setdefault(each.recipe.fingerprint, arm)) != arm:
            raise SpecError(
                f"means the same as {twin}",
                where=f"arms.{arm}",
                expected="arms that differ in their recipes",
                remedy="Leave one of them out, or change a timeline of it",
            )
    return planned


def _recipe(arm: str, changes: Changes, shared: Changes, sample: str) -> Recipe:
    values = merged(merged(BASELINE_RECIPE, shared), changes)
    if isinstance(data := values["data"], dict):
        values["data"] = {"sample": sample, **data}
    recipe = validated(Recipe, values, where="", inside=f"arms.{arm}")
    if recipe.data.sample != sample:
        raise SpecError(
            "an arm draws from the study's sample",
            where=f"arms.{arm}.data.sample",
            expected=sample,
            got=recipe.data.sample,
            remedy="Set `sample` once, for the whole study",
        )
    if arm == BASELINE and recipe.data.kind != "uniform":
        raise SpecError(
            "the baseline reads uniformly, whatever the other arms do",
            where=f"arms.{arm}.data.kind",
            expected="uniform",
            got=recipe.data.kind,
            remedy="Give the data timeline to an arm of another name, not to all of them",
        )
    return recipe


def check_schedules(
    schedules: Mapping[str, Rate], arms: Mapping[str, Changes], shared: Changes
) -> None:
    """Refuse schedules that mean the same, and a rate beside them.

    Raises:
        SpecError: naming the schedule, or where the rate stands.
    """
    for place, (name, rate) in enumerate(schedules.items()):
        for other in list(schedules)[:place]:
            if schedules[other] == rate:
                raise SpecError(
                    f"means the same as {other}",
                    where=f"schedules.{name}",
                    expected="schedules that differ",
                    remedy="Leave one of them out, or change a setting of it",
                )
    parts = {"recipe": shared, **{f"arms.{arm}": changes for arm, changes in arms.items()}}
    for where, part in parts.items():
        if schedules and "rate" in part:
            raise SpecError(
                "a study with schedules takes the rate from them",
                where=f"{where}.rate",
                remedy="Move its settings into each of `schedules`, or leave `schedules` out",
            )


def check_searchable(cells: Sequence[Cell]) -> None:
    """Refuse what differs in the peak rate alone where that is searched: it would be one run twice.

    Raises:
        SpecError: naming both.
    """
    first: dict[str, Cell] = {}
    for cell in cells:
        recipe = cell.planned.recipe
        rate = recipe.rate.model_copy(update={"peak": None})
        content = recipe.model_copy(update={"rate": rate}).model_dump_json()
        twin = first.setdefault(f"{cell.multiple} {content}", cell)
        if twin is not cell:
            one, other = (cell_name(each.arm, each.schedule) for each in (twin, cell))
            raise SpecError(
                f"{other} differs from {one} in the peak rate alone, which is searched for each",
                where="tune.rate",
                remedy="Leave one of them out, or search over no rate",
            )


def merged(base: Changes, changes: Changes) -> dict[str, Any]:
    """`base` with `changes` laid over it; a `kind` that differs replaces the whole timeline."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            same_kind = value.get("kind", old.get("kind")) == old.get("kind")
            result[key] = merged(old, value) if same_kind else dict(value)
        else:
            result[key] = value
    return result
