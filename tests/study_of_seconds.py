"""A study that is over in a few seconds, for the tests of studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradatim.study.spec import StudySpec, parse_study


def small_study(store_path: Path | None, **changes: Any) -> StudySpec:
    """Two arms and no controls, a second a run."""
    values: dict[str, Any] = {
        "name": "small",
        "store_path": str(store_path) if store_path else None,
        "rungs": ["10k"],
        "arms": {"ceiling": {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3}}},
        "controls": "none",
        "seeds": 1,
        "budget": {"tokens": 6_000},
        "batch_blocks": 4,
        "evaluation": {"num_points": 2, "num_blocks": 6, "num_tasks": 0, "num_samples": 0},
    }
    return parse_study({**values, **changes}, where="test")
