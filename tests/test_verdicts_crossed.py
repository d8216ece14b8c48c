"""The table of `benchmarks/verdicts_crossed.py` in small: how differences change, truth known."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NUM_STUDIES = 80
NAMES = [
    "alike noise, 3 seeds",
    "half of the noise is an arm's under all schedules",
    "nothing true, 2 schedules",
    "an effect under one schedule alone, of no cause",
    "an effect of 2 sd under the first alone, 3 seeds × 2 rungs",
]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "verdicts_crossed", FOLDER / "verdicts_crossed.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdicts_crossed"] = module
    spec.loader.exec_module(module)
    return module


CROSSED = loaded()
ROWS = {row.name: row for row in CROSSED.rows() if not row.group.startswith("with the residual")}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_schedules_is_right_as_often_as_it_should_be(name: str) -> None:
    row = ROWS[name]
    value, count = CROSSED.measure(row, NUM_STUDIES, seed=5)
    low, high = row.wanted
    middle = min(max(value, low), high)
    slack = 3 * math.sqrt(max(middle * (1 - middle), 0.01) / count)
    assert low - slack <= value <= high + slack
