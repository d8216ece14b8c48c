"""A scores folder, read: what was scored, its metrics, and its rows in batches.

The folder is what `gradatim score CORPUS --out FOLDER` leaves: `scores.json` and one parquet file a
piece of the corpus. Rows are read a batch at a time, so memory does not grow with the corpus.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from gradatim.errors import InputError, SpecError
from gradatim.report.wording import number
from gradatim.scoring.reading import read_description

NUM_QUANTILES = 101
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Metric:
    """A column of the scores, under the names that `scores.json` gives to what it says of it.

    Attributes:
        name: of the column.
        unit: of its values; may be empty.
        higher_is: what a higher value is, `harder` or `easier` text.
        describes: one clause.
        method: how the quantiles were found, `exact` or a sketch's name.
        rank_error: of the quantiles, as a share of the rows.
        num_values: rows that have one.
        values: 101 quantiles, minimum to maximum; none where no row has a value.
    """

    name: str
    unit: str
    higher_is: str
    describes: str
    method: str = ""
    rank_error: float = 0.0
    num_values: int = 0
    values: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.higher_is not in ("harder", "easier"):
            raise ValueError(f"{self.name}: higher_is {self.higher_is!r}")
        if len(self.values) not in (0, NUM_QUANTILES):
            raise ValueError(f"{self.name}: {len(self.values)} quantiles, not {NUM_QUANTILES}")

    @property
    def is_harder_high(self) -> bool:
        return self.higher_is == "harder"

    @property
    def sign(self) -> int:
        """What turns a value into a difficulty: 1 or −1."""
        return 1 if self.is_harder_high else -1

    def quantile(self, share: float) -> float:
        """The value below which a share of the rows lies, between neighbouring percentiles."""
        assert self.values, f"{self.name} has no values"
        place = share * (NUM_QUANTILES - 1)
        low = min(int(place), NUM_QUANTILES - 2)
        left, right = self.values[low], self.values[low + 1]
        return left + (right - left) * (place - low)

    def shown(self, value: float | None) -> str:
        """A value with decimals that tell apart a fiftieth of the range of the outer tenths."""
        spread = abs(self.quantile(0.9) - self.quantile(0.1))
        decimals = 2 if spread == 0 else min(5, max(0, math.ceil(-math.log10(spread / 50))))
        return number(value, decimals)

    def difficulty_at(self, share: float) -> float:
        """The difficulty below which a share of the texts lies."""
        return self.sign * self.quantile(share if self.is_harder_high else 1 - share)


@dataclass(frozen=True)
class ScoresFolder:
    """What `scores.json` says, and the files beside it.

    Attributes:
        folder: where it lies.
        about: `scores.json` itself.
        metrics: by name.
    """

    folder: Path
    about: Mapping[str, Any]
    metrics: Mapping[str, Metric]

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """Read what describes a scores folder.

        Raises:
            InputError: the description is damaged, or there is no row.
            StoreError: no scores folder, or one of another version.
        """
        about = read_description(folder)
        try:
            metrics = {
                name: Metric(name=name, **column, **about["quantiles"].get(name, {}))
                for name, column in about["columns"].items()
            }
            itemgetter("corpus", "unit", "settings", "num_bytes", "fingerprint")(about)
            num_rows = sum(int(part["num_rows"]) for part in about["parts"])
            if num_rows == 0 or num_rows != about["num_rows"]:
                raise ValueError(f"{num_rows} rows in its parts, {about['num_rows']} in all")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "not the description of scores",
                where=str(Path(folder) / "scores.json"),
                got=f"{type(error).__name__} {error}",
            ) from error
        return cls(Path(folder), about, metrics)

    @property
    def unit(self) -> str:
        return str(self.about["unit"])

    @property
    def num_rows(self) -> int:
        return int(self.about["num_rows"])

    @property
    def filled_metrics(self) -> list[Metric]:
        """Those that have a value."""
        return [metric for metric in self.metrics.values() if metric.values]

    def metric(self, name: str) -> Metric:
        """The metric of a name.

        Raises:
            SpecError: there is none; the message lists the near and the known names.
        """
        if name in self.metrics:
            return self.metrics[name]
        near = difflib.get_close_matches(name, self.metrics, n=1)
        raise SpecError(
            "no such metric in these scores",
            where=f"metric of {self.folder}",
            expected=f"one of {', '.join(self.metrics)}",
            got=name,
            remedy=f"Did you mean {near[0]}?" if near else None,
        )

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of all parts in corpus order, some columns of them, with `piece` and `row`.

        Raises:
            InputError: a part is missing, damaged, or not what `scores.json` says.
        """
        for part in self.about["parts"]:
            path, num_rows = self.folder / part["file"], 0
            try:
                with pq.ParquetFile(path) as file:
                    for piece in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
                        frame = pl.DataFrame(pa.Table.from_batches([piece])).select(columns)
                        rows = pl.int_range(num_rows, num_rows + len(frame), dtype=pl.UInt64)
                        yield frame.with_columns(piece=pl.lit(part["piece"], pl.UInt64), row=rows)
                        num_rows += len(frame)
                if num_rows != part["num_rows"]:
                    raise ValueError(f"{num_rows} rows instead of {part['num_rows']}")
            except (OSError, ValueError, pa.ArrowException, pl.exceptions.PolarsError) as error:
                raise InputError(
                    "part of the scores is missing or damaged",
                    where=str(path),
                    got=str(error).partition("\n")[0],
                    remedy="Score again into the same folder; what is there is kept.",
                ) from error
