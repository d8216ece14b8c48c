"""A scores folder, read: what was scored, its metrics, and its rows in batches.

The folder is what `gradatim score CORPUS --out FOLDER` leaves: `scores.json` and one parquet file a
piece of the corpus. Rows are read a batch at a time, so memory does not grow with the corpus.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from gradatim.errors import InputError, SpecError

SCHEMA_VERSION = 1
NUM_QUANTILES = 101
_BATCH_ROWS = 65_536
_KEYS = ("id", "start_byte", "num_bytes", "source", "level", "is_prose", "not_prose_reason")
_REMEDY = "Make one with `gradatim score CORPUS --out FOLDER`."


@dataclass(frozen=True)
class Metric:
    """A column of the scores.

    Attributes:
        name: of the column.
        unit: of its values; may be empty.
        is_harder_high: whether a higher value is a harder text.
        describes: one clause.
        num_values: rows that have one.
        quantiles: 101 values, minimum to maximum, in the column's own direction; None without any.
        method: how they were found, `exact` or a sketch's name.
        rank_error: of the quantiles, as a share of the rows.
    """

    name: str
    unit: str
    is_harder_high: bool
    describes: str
    num_values: int
    quantiles: Sequence[float] | None
    method: str
    rank_error: float

    @property
    def sign(self) -> int:
        """What turns a value into a difficulty: 1 or −1."""
        return 1 if self.is_harder_high else -1

    def quantile(self, share: float) -> float:
        """The value below which a share of the rows lies, between neighbouring percentiles."""
        assert self.quantiles is not None, f"{self.name} has no values"
        place = share * (NUM_QUANTILES - 1)
        low = min(int(place), NUM_QUANTILES - 2)
        left, right = self.quantiles[low], self.quantiles[low + 1]
        return left + (right - left) * (place - low)


@dataclass(frozen=True)
class Part:
    """One parquet file of scores and the piece of the corpus it belongs to."""

    path: Path
    piece: int
    num_rows: int


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a part; `first_row` counts within the part."""

    piece: int
    first_row: int
    frame: pl.DataFrame


@dataclass(frozen=True)
class ScoresFolder:
    """What `scores.json` says, checked against the files beside it.

    `band_edges` are values by metric, rising, as many as part `num_bands` bands; older scores and
    those of other makers have none.
    """

    folder: Path
    corpus: Sequence[str]
    unit: str
    settings: Mapping[str, Any]
    num_rows: int
    num_bytes: int
    metrics: Sequence[Metric]
    parts: Sequence[Part]
    fingerprint: str
    num_bands: int | None = None
    band_edges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """Read and check a scores folder.

        Raises:
            InputError: not a scores folder, of another version, damaged, or without a row.
        """
        folder = Path(folder)
        content = _content(folder)
        try:
            found = cls(
                folder=folder,
                corpus=[str(place) for place in content["corpus"]],
                unit=str(content["unit"]),
                settings=dict(content["settings"]),
                num_rows=int(content["num_rows"]),
                num_bytes=int(content["num_bytes"]),
                metrics=[
                    _metric(name, column, content["quantiles"].get(name))
                    for name, column in content["columns"].items()
                ],
                parts=[
                    Part(folder / str(part["file"]), int(part["piece"]), int(part["num_rows"]))
                    for part in content["parts"]
                    if part["num_rows"]
                ],
                fingerprint=str(content["fingerprint"]),
                **_bands(content.get("bands")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "not the description of scores",
                where=str(folder / "scores.json"),
                got=f"{type(error).__name__} {error}",
                remedy=_REMEDY,
            ) from error
        found._check_parts()
        return found

    def metric(self, name: str) -> Metric:
        """The metric of a name.

        Raises:
            SpecError: there is none; the message lists the near and the known names.
        """
        known = {metric.name: metric for metric in self.metrics}
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, n=1)
        raise SpecError(
            "no such metric in these scores",
            where=f"metric of {self.folder}",
            expected=f"one of {', '.join(known) or 'none: the folder has no metric'}",
            got=name,
            remedy=f"Did you mean {near[0]}?" if near else None,
        )

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows of all parts in corpus order, some columns of them."""
        for part in self.parts:
            first_row = 0
            with pq.ParquetFile(part.path) as file:
                for piece in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
                    frame = pl.from_arrow(pa.Table.from_batches([piece]))
                    assert isinstance(frame, pl.DataFrame)
                    yield Batch(part.piece, first_row, frame.select(columns))
                    first_row += len(frame)

    def _check_parts(self) -> None:
        wanted = [*_KEYS, *(metric.name for metric in self.metrics)]
        for part in self.parts:
            try:
                with pq.ParquetFile(part.path) as file:
                    names, num_rows = file.schema_arrow.names, file.metadata.num_rows
            except (OSError, pa.ArrowException) as error:
                raise InputError(
                    "part of the scores is missing or damaged",
                    where=str(part.path),
                    got=str(error).partition("\n")[0],
                    remedy="Score again into the same folder; what is there is kept.",
                ) from error
            missing = [name for name in wanted if name not in names]
            if missing or num_rows != part.num_rows:
                raise InputError(
                    "part of the scores is not what scores.json says",
                    where=str(part.path),
                    expected=f"{part.num_rows} rows and the columns {', '.join(wanted)}",
                    got=f"{num_rows} rows, without {', '.join(missing) or 'no column'}",
                )
        if self.num_rows != sum(part.num_rows for part in self.parts) or self.num_rows == 0:
            raise InputError(
                "no scores to show" if self.num_rows == 0 else "rows do not add up",
                where=str(self.folder / "scores.json"),
                expected="the rows of its parts, at least one",
                got=f"{self.num_rows}",
            )


def _content(folder: Path) -> dict[str, Any]:
    path = folder / "scores.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "a folder without scores.json" if folder.is_dir() else "no such folder"
        raise InputError(
            "not a scores folder",
            where=str(folder),
            expected="scores.json",
            got=what,
            remedy=_REMEDY,
        ) from error
    except (OSError, ValueError) as error:
        raise InputError("cannot be read", where=str(path), got=str(error)) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            "scores of another version",
            where=str(path),
            expected=f"schema_version {SCHEMA_VERSION}",
            got=f"{version}",
            remedy=_REMEDY,
        )
    return dict(content)


def _bands(bands: Mapping[str, Any] | None) -> dict[str, Any]:
    if bands is None:
        return {}
    edges = {name: [float(edge) for edge in found] for name, found in bands["edges"].items()}
    return {"num_bands": int(bands["num_bands"]), "band_edges": edges}


def _metric(name: str, column: Mapping[str, Any], found: Mapping[str, Any] | None) -> Metric:
    higher_is = column["higher_is"]
    if higher_is not in ("harder", "easier"):
        raise ValueError(f"{name}: higher_is {higher_is!r}")
    values = [float(value) for value in found["values"]] if found else None
    if values is not None and len(values) != NUM_QUANTILES:
        raise ValueError(f"{name}: {len(values)} quantiles instead of {NUM_QUANTILES}")
    return Metric(
        name=name,
        unit=str(column["unit"]),
        is_harder_high=higher_is == "harder",
        describes=str(column["describes"]),
        num_values=int(found["num_values"]) if found else 0,
        quantiles=values,
        method=str(found["method"]) if found else "",
        rank_error=float(found["rank_error"]) if found else 0.0,
    )
