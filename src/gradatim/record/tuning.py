"""What a search for every arm's own best rate and weight decay found, as a study keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gradatim.errors import RecordError, check_version
from gradatim.files import write_json

TUNING_FILE = "tuning.json"
SCHEMA_VERSION = 1

Setting = Literal["rate", "weight_decay"]


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trial(_Found):
    """One point of the grid, and the final bits per byte of its short run.

    Attributes:
        bits_per_byte: None where the loss was not finite, which is worse than any.
    """

    rate: float
    weight_decay: float
    bits_per_byte: float | None


class Choice(_Found):
    """The best settings of one arm at one rung.

    Attributes:
        schedule: of the rate, where the study has several.
        at_edge: those whose best value is the least or the greatest that was tried.
        is_shared: whether they are the study's own, which the arm is trained under anyway.
        flops: spent on the search for them.
        trials: the whole grid.
    """

    arm: str
    rung: str
    schedule: str | None = None
    rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    at_edge: tuple[Setting, ...] = ()
    is_shared: bool
    flops: float = Field(ge=0)
    trials: tuple[Trial, ...] = ()


_CHOICES = TypeAdapter(tuple[Choice, ...])


def write_choices(folder: Path, choices: Sequence[Choice]) -> None:
    """Write what was chosen into a study's folder, whole or not at all."""
    content = {"schema_version": SCHEMA_VERSION}
    write_json(
        folder / TUNING_FILE,
        content | {"choices": _CHOICES.dump_python(tuple(choices), mode="json")},
    )


def read_choices(folder: Path) -> tuple[Choice, ...]:
    """What was chosen in a study; nothing where it did not search.

    Raises:
        RecordError: the file is damaged, or of another version.
    """
    path = folder / TUNING_FILE
    if not path.exists():
        return ()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        check_version(values["schema_version"], SCHEMA_VERSION, path, RecordError)
        return _CHOICES.validate_python(values["choices"])
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise RecordError(
            "is damaged",
            where=str(path),
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            remedy="Remove it and run `gradatim study` again: finished runs are kept",
        ) from None
