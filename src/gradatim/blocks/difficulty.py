"""The difficulty columns of a store: the one place where blocks meet the difficulty station."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.counts import count_batch
from gradatim.difficulty.formulas import flesch_kincaid_grade, flesch_reading_ease
from gradatim.difficulty.reading_age import reading_age

# A block without one word (another script, a table of signs) has no readability. It counts as
# the hardest there is, so that a rising ceiling lets it in last.
WITHOUT_WORDS = {"reading_age": 40.0, "flesch_reading_ease": -100.0, "flesch_kincaid_grade": 35.0}


def difficulty_columns(texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Column name to one finite number a text."""
    counts = count_batch(texts)
    columns = {
        "reading_age": reading_age(counts).years,
        "flesch_reading_ease": flesch_reading_ease(counts),
        "flesch_kincaid_grade": flesch_kincaid_grade(counts),
    }
    return {
        name: np.ma.filled(values, WITHOUT_WORDS[name]).astype(np.float32)
        for name, values in columns.items()
    }
