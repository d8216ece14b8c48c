"""A scores folder made up for the tests of its report: any rows, any columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SENTENCE = "The cat sat on the mat and looked at row {row} of piece {piece} for a while. "


def write_scores(
    folder: Path,
    metrics: Mapping[str, Sequence[float | None]],
    *,
    sources: Sequence[str | None] = ("books",),
    levels: Sequence[str | None] = (None,),
    reasons: Sequence[str | None] = (None,),
    easier: Sequence[str] = (),
    num_parts: int = 1,
    **changes: Any,
) -> Path:
    """Write a folder; sources, levels and reasons repeat over the rows."""
    folder.mkdir(parents=True)
    num_rows = len(next(iter(metrics.values())))
    rows = range(num_rows)
    reason = [reasons[row % len(reasons)] for row in rows]
    table = pa.table(
        {
            "id": pa.array([f"document {row}" for row in rows], pa.string()),
            "start_byte": pa.array([0 for _ in rows], pa.int64()),
            "num_bytes": pa.array([100 for _ in rows], pa.int64()),
            "source": pa.array([sources[row % len(sources)] for row in rows], pa.string()),
            "level": pa.array([levels[row % len(levels)] for row in rows], pa.string()),
            **{name: pa.array(values, pa.float32()) for name, values in metrics.items()},
            "is_prose": pa.array([found is None for found in reason], pa.bool_()),
            "not_prose_reason": pa.array(reason, pa.string()),
        }
    )
    size = -(-num_rows // num_parts)
    parts = []
    for piece in range(num_parts):
        part = table.slice(piece * size, size)
        pq.write_table(part, folder / f"part-{piece:05d}.parquet", row_group_size=50)
        about = {"piece": piece, "num_rows": len(part), "num_bytes": 100 * len(part)}
        parts.append({"file": f"part-{piece:05d}.parquet", **about})
    content = {
        "schema_version": 1,
        "corpus": ["made/up.parquet"],
        "unit": "passage",
        "settings": {"max_passage_bytes": 2000},
        "num_rows": num_rows,
        "num_bytes": 100 * num_rows,
        "columns": {
            name: {
                "unit": "years" if name == "reading_age" else "",
                "higher_is": "easier" if name in easier else "harder",
                "describes": f"what {name} says",
            }
            for name in metrics
        },
        "quantiles": {
            name: quantiles(values)
            for name, values in metrics.items()
            if any(value is not None for value in values)
        },
        "parts": parts,
        "fingerprint": "0123456789abcdef",
    }
    text = json.dumps(content | changes, allow_nan=False)
    (folder / "scores.json").write_text(text, encoding="utf-8")
    return folder


def quantiles(values: Sequence[float | None]) -> dict[str, Any]:
    """As `scores.json` has them: 101 values that occur, minimum to maximum."""
    known = np.array([value for value in values if value is not None], np.float32)
    found = np.quantile(known, np.arange(101) / 100, method="inverted_cdf")
    return {
        "method": "exact",
        "rank_error": 0.0,
        "num_values": len(known),
        "values": [float(value) for value in found],
    }


def texts(places: Sequence[tuple[int, int]]) -> list[str]:
    """A text that says where it is from."""
    return [SENTENCE.format(piece=piece, row=row) * 10 for piece, row in places]


def spread(num_rows: int, *, seed: int = 0) -> list[float]:
    """Values without ties in no order."""
    values = np.random.default_rng(seed).permutation(num_rows) / num_rows
    return [float(value) for value in 5 + 15 * values]
