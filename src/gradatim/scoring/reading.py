"""A folder of scores, read: its description, its rows, the texts behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from gradatim.corpus.pieces import plan_pieces
from gradatim.corpus.storage import OutputFolder, open_input
from gradatim.errors import StoreError
from gradatim.scoring.folder import DESCRIPTION, SCHEMA_VERSION, check_same, settings_of
from gradatim.scoring.part import Job, piece_texts
from gradatim.scoring.spec import ScoringSpec


def read_description(location: Path | str) -> dict[str, Any]:
    """What `scores.json` of a folder holds.

    Raises:
        StoreError: it is not there or none.
    """
    try:
        content = json.loads(OutputFolder(location).read_bytes(DESCRIPTION))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {content['schema_version']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "this is no folder of scores",
            where=str(location),
            expected=DESCRIPTION,
            got=str(error),
            remedy="Make it with `gradatim score`; a killed one goes on",
        ) from error
    found: dict[str, Any] = content
    return found


def read_scores(location: Path | str) -> pl.LazyFrame:
    """All rows of a folder of scores, not yet read, with `part` and `row` in front.

    Raises:
        StoreError: it is no such folder.
    """
    folder = OutputFolder(location)
    parts = read_description(location)["parts"]
    frames = [
        _scanned(folder.path_of(part["file"])).select(
            pl.lit(index, pl.Int64).alias("part"), pl.col("row").cast(pl.Int64), pl.exclude("row")
        )
        for index, part in enumerate(parts)
    ]
    return pl.concat(frames)


def read_texts(location: Path | str, rows: Sequence[tuple[int, int]]) -> list[str]:
    """The texts of some rows, by index of part and row; reads only the pieces concerned.

    Raises:
        StoreError: it is no folder of scores, or has no such row.
        MismatchError: the corpus is not what was scored.
    """
    content = read_description(location)
    settings = {  # an older folder names settings that there are no more
        name: value
        for name, value in content["settings"].items()
        if name in ScoringSpec.model_fields
    }
    spec = ScoringSpec.model_validate({"corpus": content["corpus"], **settings})
    plan = plan_pieces(spec.locations, spec.columns, skip_bad=spec.on_bad == "skip")
    check_same(OutputFolder(location), settings_of(spec, plan))
    job = Job(spec, str(location), "")
    found: dict[tuple[int, int], str] = {}
    for part in sorted({part for part, _ in rows}):
        wanted = {row for index, row in rows if index == part}
        is_there = 0 <= part < len(plan.pieces)
        texts = piece_texts(job, plan.pieces[part], wanted) if is_there else {}
        if missing := wanted - texts.keys():
            got = f"part {part}, row {min(missing)}"
            raise StoreError("no such row", where=str(location), got=got)
        found |= {(part, row): text for row, text in texts.items()}
    return [found[key] for key in rows]


def _scanned(path: str) -> pl.LazyFrame:
    if "://" not in path:
        return pl.scan_parquet(path, row_index_name="row", glob=False)
    with open_input(path) as file:
        return pl.scan_parquet(bytes(file.read()), row_index_name="row")
