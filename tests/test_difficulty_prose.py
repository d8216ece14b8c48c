"""Each rule of prose on both sides of its threshold, by hand-made counts."""

from __future__ import annotations

import numpy as np
import pytest

from gradatim.difficulty.columns import COUNT_NAMES
from gradatim.difficulty.counts import Counts
from gradatim.difficulty.prose import not_prose_reasons

PROSE = {
    "num_characters": 1100, "num_spaces": 100, "num_letters": 900, "num_words": 200,
    "num_lines": 10, "num_sentences": 10, "num_marked_sentences": 10, "num_function_words": 80,
}  # fmt: skip
FEW_ENDS = {"num_marked_sentences": 4}
TWELVE = FEW_ENDS | {"num_words": 12}
LONG = {"num_function_words": 500}
STRANGE = {"num_lines": 1, "num_function_words": 0}
EDGES = [
    ("another script", {"num_foreign_letters": 225}, {"num_foreign_letters": 226}),
    ("numbers", {"num_digits": 225}, {"num_digits": 226}),
    ("code or markup", {"num_symbols": 40, "num_brackets": 20}, {"num_symbols": 61}),
    ("mostly signs", {"num_letters": 800}, {"num_letters": 799}),
    ("fewer than ten words", {"num_words": 10, "num_lines": 1}, {"num_words": 9, "num_lines": 1}),
    ("a list", FEW_ENDS | {"num_lines": 50}, FEW_ENDS | {"num_lines": 51}),
    ("a list", {"num_lines": 100}, {"num_lines": 101}),
    ("a list", TWELVE | {"num_lines": 4}, TWELVE | {"num_lines": 5}),
    ("sentences without end", LONG | {"num_words": 1200}, LONG | {"num_words": 1201}),
    ("not English", {"num_function_words": 30}, {"num_function_words": 29}),
    ("not English", STRANGE | {"num_words": 19}, STRANGE | {"num_words": 20}),
]  # fmt: skip


def reason(**changed: int) -> object:
    values = PROSE | changed
    whole = np.array([[values.get(name, 0) for name in COUNT_NAMES]], np.int64)
    return not_prose_reasons(Counts(whole, np.zeros((1, 2))))[0]


@pytest.mark.parametrize(("expected", "prose", "not_prose"), EDGES)
def test_a_rule_speaks_just_beyond_its_threshold(
    expected: str, prose: dict[str, int], not_prose: dict[str, int]
) -> None:
    assert reason(**prose) is None
    assert reason(**not_prose) == expected
