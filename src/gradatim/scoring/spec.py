"""What scoring a corpus is asked to do: everything that decides a byte of the scores."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gradatim.corpus.columns import Columns
from gradatim.corpus.locations import without_paths
from gradatim.difficulty.surface import DEFAULT_METRICS, SurfaceMetrics
from gradatim.scoring.columns import COLUMNS, CORPUS_RARITY, TOKENS_PER_WORD

_LEAST_MIN_PASSAGE_BYTES = 200


class ScoringSpec(BaseModel):
    """A corpus, the unit that gets a score, and the metrics.

    Args:
        corpus: a location as in `gradatim.corpus.documents`, a URL that fsspec knows, or several.
        text_column, id_column, source_column, level_column, on_bad: as for a store.
        unit: what gets a row: every passage, cut as for a block store, or every document.
        max_passage_bytes: longest passage.
        metrics: columns of difficulty; `corpus_rarity` reads the corpus twice.
        counts: whether the counts behind the metrics are columns too.
        tokenizer: a `tokenizer.json`; asks for `tokens_per_word`.
        num_bands: bands of equal size whose edges are given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: Annotated[str | tuple[str, ...], BeforeValidator(without_paths)]
    text_column: str | None = None
    id_column: str | None = None
    source_column: str | None = None
    level_column: str | None = None
    on_bad: Literal["stop", "skip"] = "stop"
    unit: Literal["passage", "document"] = "passage"
    max_passage_bytes: int = Field(default=2000, ge=100)
    metrics: tuple[str, ...] = Field(default=DEFAULT_METRICS, min_length=1)
    counts: bool = False
    tokenizer: str | None = None
    num_bands: int = Field(default=10, ge=1, le=1000)

    @field_validator("corpus")
    @classmethod
    def _somewhere(cls, location: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not location:
            raise ValueError("no place to read from")
        return location

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in COLUMNS:
                near = difflib.get_close_matches(name, COLUMNS, n=1)
                meant = f"; did you mean {near[0]}?" if near else "."
                raise ValueError(f"no metric {name}{meant} There are {', '.join(COLUMNS)}")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="before")
    @classmethod
    def _a_tokenizer_asks_for_its_metric(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("tokenizer") is not None:
            names = tuple(data.get("metrics") or DEFAULT_METRICS)
            if TOKENS_PER_WORD not in names:
                return data | {"metrics": (*names, TOKENS_PER_WORD)}
        return data

    @model_validator(mode="after")
    def _its_metric_asks_for_a_tokenizer(self) -> Self:
        if TOKENS_PER_WORD in self.metrics and self.tokenizer is None:
            raise ValueError(f"{TOKENS_PER_WORD} needs a tokenizer.json: give `tokenizer`")
        return self

    @property
    def locations(self) -> tuple[str, ...]:
        return (self.corpus,) if isinstance(self.corpus, str) else self.corpus

    @property
    def columns(self) -> Columns:
        """The columns of the corpus to read."""
        return Columns(self.text_column, self.id_column, self.source_column, self.level_column)

    @property
    def surface(self) -> SurfaceMetrics:
        """What is computed from each text alone."""
        names = tuple(name for name in self.metrics if name != CORPUS_RARITY)
        return SurfaceMetrics(names=names, counts=self.counts, tokenizer=self.tokenizer)

    @property
    def passage_bytes(self) -> tuple[int | None, int]:
        """Most and least bytes of a passage; None for whole documents."""
        if self.unit == "document":
            return None, 0
        return self.max_passage_bytes, min(_LEAST_MIN_PASSAGE_BYTES, self.max_passage_bytes // 2)
