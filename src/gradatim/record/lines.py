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

from gradatim.errors import RecordError

REMEDY = "Delete the run folder to start the run again"

_WHOLE = frozenset({"step", "tokens", "segment"})
_NUMBERS = frozenset(
    {"progress", "flops", "seconds", "loss_nats", "learning_rate", "gradient_norm"}
    | {"final_bits_per_byte", "num_steps", "draws", "num_parameters"}
)
_MAPPINGS = frozenset({"plan", "consumed", "libraries", "hashes"})
_OF_NUMBERS = frozenset({"bits_per_byte", "tasks", "ledger", "noted"})
_NEEDED_BY = {"evaluate": {"tokens", "flops", "bits_per_byte"}}
_NEEDED_BY_TASK = {"accuracy", "probability", "chance"}


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
        value = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if (
        isinstance(value, dict)
        and all(value.get(key) is not None for key in required)
        and all(_is_sound(key, item) for key, item in value.items())
        and (not kinds or value["event"] in kinds)
        and value.keys() >= _NEEDED_BY.get(value.get("event", ""), set())
        and all(task.keys() >= _NEEDED_BY_TASK for task in (value.get("tasks") or {}).values())
    ):
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


def _is_sound(key: str, value: Any) -> bool:
    """Whether a value is of the type its key stands for, or absent."""
    if value is None:
        return True
    if key == "event":
        return isinstance(value, str)
    if key in _WHOLE:
        return isinstance(value, int) and not isinstance(value, bool)
    if key in _NUMBERS:
        return _is_number(value)
    if key == "tasks":
        return isinstance(value, dict) and all(map(_is_table, value.values()))
    if key in _OF_NUMBERS:
        return _is_table(value)
    return key not in _MAPPINGS or isinstance(value, dict)


def _is_table(value: Any) -> bool:
    """Whether it is a mapping to numbers, or to nothing."""
    if not isinstance(value, dict):
        return False
    return all(item is None or _is_number(item) for item in value.values())


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


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
