"""The table of `benchmarks/verdicts.py` in small: verdicts on studies whose truth is known."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "verdicts.py"
NUM_STUDIES = 120
NAMES = [
    "alike noise, 2 seeds × 3 rungs",
    "noise 4:1:1, 3 seeds × 3 rungs",
    "noise 10:2:1, 5 seeds × 3 rungs",
    "other held-out text too, 48 blocks",
    "nothing true, noise 4:1:1, 3 seeds",
    "an effect, but not of the order, 3 seeds",
    "one of two methods true",
    "effect 1 sd, 2 seeds × 3 rungs",
    "effect 2 sd, 3 seeds × 1 rung",
    "ratio 0.8, exponent 0.1, sd 0.01: covered",
    "ratio 0.8, exponent 0.1, sd 0.01: median",
    "equal at the end, 0.01 lower at three quarters: median",
]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verdicts", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verdicts"] = module
    spec.loader.exec_module(module)
    return module


VERDICTS = loaded()
ROWS = {row.name: row for row in VERDICTS.rows()}


@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_is_right_as_often_as_it_should_be(name: str) -> None:
    row = ROWS[name]
    value, count = VERDICTS.measure(row, NUM_STUDIES, seed=5)
    low, high = row.wanted
    middle = min(max(value, low), high)
    slack = 3 * math.sqrt(max(middle * (1 - middle), 0.01) / count) if high <= 1 else 0.02
    assert low - slack <= value <= high + slack
