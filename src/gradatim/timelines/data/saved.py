"""A curriculum's state as JSON and arrays, and as the bytes of one file; never as a pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARRAY = "__array__"
_JSON = "json"


def without_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """JSON of a nested state, each array moved into `arrays` and a reference left in its place."""
    if isinstance(value, np.ndarray):
        key = f"array_{len(arrays)}"
        arrays[key] = value
        return {_ARRAY: key}
    if isinstance(value, Mapping):
        return {str(key): without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_arrays(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def with_arrays(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The inverse of `without_arrays`; tuples come back as lists."""
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [with_arrays(item, arrays) for item in value]
    return value


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """A state as one `.npz`: its arrays, and its JSON among them as bytes of UTF-8."""
    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(without_arrays(state, arrays))
    arrays[_JSON] = np.frombuffer(text.encode(), dtype=np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def from_bytes(content: bytes) -> dict[str, Any]:
    """The inverse of `to_bytes`.

    Raises:
        ValueError: the bytes are none, or are damaged (each array has a CRC-32).
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            state = with_arrays(json.loads(arrays[_JSON].tobytes()), arrays)
    except Exception as error:  # the zip reader's own kinds, and numpy's
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(state, dict):
        raise ValueError("holds no state")
    return state
