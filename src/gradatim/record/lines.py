"""Lines of JSON in a run folder: written without numbers that are none, read with the right types.

Only what a reader relies on is looked at, so a line may carry more than is named here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from gradatim.errors import RecordError

REMEDY = "Delete the run folder to start the run again"

_Numbers = dict[str, float | None]


class _Task(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    __pydantic_extra__: _Numbers
    accuracy: float | None
    probability: float | None
    chance: float | None


class _Line(BaseModel):
    """Types of what a reader relies on; a key may be absent."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    event: str | None = None
    segment: int | None = None
    step: int | None = None
    tokens: int | None = None
    progress: float | None = None
    flops: float | None = None
    seconds: float | None = None
    loss_nats: float | None = None
    learning_rate: float | None = None
    learning_rate_of_new: float | None = None
    gradient_norm: float | None = None
    final_bits_per_byte: float | None = None
    largest_step_flops: float | None = None
    num_steps: float | None = None
    draws: float | None = None
    num_parameters: float | None = None
    bits_per_byte: _Numbers | None = None
    ledger: _Numbers | None = None
    noted: _Numbers | None = None
    tasks: dict[str, _Task] | None = None
    plan: dict[str, Any] | None = None
    consumed: dict[str, Any] | None = None
    fed: dict[str, dict[str, float]] | None = None
    libraries: dict[str, Any] | None = None
    hashes: dict[str, Any] | None = None


class _Blocks(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    nats: list[float | None]
    bytes: list[int]
    strata: list[int]
    slices: dict[str, list[int]]


class _Evaluation(_Line):
    weights: str | None = None  # whose; those of a mixture, in events of kind `data`, are numbers
    tokens: int
    flops: float
    bits_per_byte: _Numbers
    blocks: _Blocks | None = None


def read_lines(
    path: Path, *, required: tuple[str, ...], kinds: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Parsed JSON lines; a last line without its line end was cut off by a kill and is dropped.

    Args:
        path: the file; one that is not there has no lines.
        required: keys that every line has, with a value.
        kinds: what the key `event` may say.

    Raises:
        RecordError: naming the line that is damaged.
    """
    return [
        _parsed(line, f"{path}, line {number}", required, kinds)
        for number, line in enumerate(read_bytes(path).split(b"\n")[:-1], start=1)
    ]


def read_bytes(path: Path) -> bytes:
    """The content of a file of a run folder; none where it is not there.

    Raises:
        RecordError: it cannot be read.
    """
    if not path.exists():
        return b""
    with opened(path, "rb") as file:
        return file.read()


def opened(path: Path, mode: Literal["rb", "ab"]) -> BinaryIO:
    """A file of a run folder, open.

    Raises:
        RecordError: it is none, or may not be opened.
    """
    try:
        return path.open(mode)
    except PermissionError:  # deleting the run is no remedy
        raise
    except OSError as error:
        raise RecordError(
            "cannot be opened", where=str(path), got=error.strerror, remedy=REMEDY
        ) from None


def json_line(content: Mapping[str, Any]) -> bytes:
    """The content as a line of JSON; numbers that are not finite are written as null."""
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _parsed(
    line: bytes, where: str, required: tuple[str, ...], kinds: tuple[str, ...]
) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(line, parse_constant=_refuse)
        is_sound = all(value[key] is not None for key in required)
        is_sound &= not kinds or value["event"] in kinds
        is_evaluation = value.get("event") in ("evaluate", "evaluate_average")
        (_Evaluation if is_evaluation else _Line).model_validate(value)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        is_sound = False
    if is_sound:
        return value
    raise RecordError(
        "is damaged",
        where=where,
        expected=f"a JSON object with {', '.join(required)}, each of its type",
        got=repr(line[:60].decode("utf-8", "replace")),
        remedy=REMEDY,
    )


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _plain(value: Any) -> Any:
    """The value as JSON can carry it: numpy unwrapped, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
