"""How the functions of the counting kernel are compiled.

They pass a dozen arrays from one to the next for every word. Reference counts of the arrays, and
copies of what describes them at each call, took ten times as long as the counting itself. So the
inner functions keep no reference counts (they may make no array; what they write to is handed
down), and the small ones are made part of their callers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

from gradatim.numba_cache import KEPT

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"cache": KEPT, "_nrt": False}


def inner(function: Function) -> Function:
    """Compile a function that makes no array."""
    return cast(Function, njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Likewise, one that is small or has a single caller: it becomes part of its callers."""
    return cast(Function, njit(forceinline=True, **_OPTIONS)(function))
