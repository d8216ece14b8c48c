"""Settings that nothing would read are refused, not passed over."""

from __future__ import annotations

from typing import Any

import pytest

from gradatim.errors import SpecError
from gradatim.recipe import Recipe

STAGES = [{"until": 1, "weights": {"a": 1}}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"kind": "bandit", "metric": "x"},
            "metric is a setting of `by: band`, not of `by: level`",
        ),
        ({"kind": "stages", "stages": STAGES, "metric": "x"}, "metric is a setting of `by: band`"),
        ({"kind": "phases", "phases": "lfr", "num_bands": 4}, "num_bands is a setting of within"),
        ({"kind": "phases", "phases": "lfr", "band_metric": "x"}, "band_metric is a setting of"),
        (
            {"kind": "selection", "metric": "x", "window": [1, 2], "prefer": "lowest"},
            "prefer says which end",
        ),
        (
            {"kind": "order", "shape": "grouped", "by": "level", "metric": "x"},
            "by a metric or by a label; got x and level",
        ),
    ],
    ids=str,
)
def test_a_setting_that_nothing_reads_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as raised:
        Recipe.parse({"data": data}, where="recipe")
    assert "\n" not in str(raised.value)
