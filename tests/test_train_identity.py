"""What a run depends on is hashed: every part of the table that its data timeline reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradatim.blocks.columns import Labels
from gradatim.recipe import Recipe
from gradatim.timelines.data.door import BlockTable
from gradatim.train.identity import table_fingerprint

STAGES = {
    "kind": "stages",
    "by": "level",
    "stages": [{"until": 1.0, "weights": {"a": 1, "b": 2}}],
}
TABLE = BlockTable(
    ids=np.arange(4, dtype=np.uint32),
    difficulties={"reading_age": np.array([5, 6, 7, 8], np.float32)},
    labels={
        "level": Labels(("a", "b"), np.array([0, 0, 1, 1], np.uint8)),
        "source": Labels(("x",), np.zeros(4, np.uint8)),
    },
)


def fingerprint(table: BlockTable, data: dict[str, object]) -> str:
    return table_fingerprint(table, Recipe.model_validate({"data": data}).data)


def test_names_and_codes_of_the_labels_that_are_mixed_are_hashed() -> None:
    level, source = TABLE.labels["level"], TABLE.labels["source"]
    other_codes = Labels(level.names, np.array([0, 1, 1, 1], np.uint8))
    other_names = Labels(("a", "c"), level.codes)
    found = {
        fingerprint(table, STAGES)
        for table in (
            TABLE,
            replace(TABLE, labels={"level": other_codes, "source": source}),
            replace(TABLE, labels={"level": other_names, "source": source}),
            replace(TABLE, ids=TABLE.ids[::-1]),
        )
    }
    assert len(found) == 4


def test_what_no_timeline_reads_is_not_hashed() -> None:
    unread = replace(TABLE, labels=TABLE.labels | {"source": Labels(("y",), np.zeros(4, np.uint8))})
    assert fingerprint(unread, STAGES) == fingerprint(TABLE, STAGES)
    harder = replace(TABLE, difficulties={"reading_age": np.array([5, 6, 7, 9], np.float32)})
    assert fingerprint(harder, STAGES) == fingerprint(TABLE, STAGES)
    assert fingerprint(harder, {"kind": "ceiling"}) != fingerprint(TABLE, {"kind": "ceiling"})
