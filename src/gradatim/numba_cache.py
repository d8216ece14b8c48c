"""Whether compiled code finds a place to stay in, which an installation may have none of."""

from __future__ import annotations

import warnings
from pathlib import Path

from numba import njit


def _can_keep() -> bool:
    """Ask numba, which looks beside the source, in NUMBA_CACHE_DIR and in the user's home."""

    def probe() -> None: ...

    try:
        njit(cache=True)(probe)
    except RuntimeError:
        warnings.warn(
            "compiled code cannot be kept, so every start takes about a minute more. Let this "
            f"account write to {Path(__file__).parent}, or set NUMBA_CACHE_DIR to a folder",
            stacklevel=1,
        )
        return False
    return True


KEPT = _can_keep()
"""The option `cache` of every compiled function; asked once a process."""
