"""All surface metrics of a batch of texts: what `gradatim score` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from gradatim.difficulty.columns import COUNT_NAMES
from gradatim.difficulty.compression import zlib_ratio, zstd_ratio
from gradatim.difficulty.counts import Counts, FloatColumn, count_batch, ratio
from gradatim.difficulty.formulas import FORMULAS
from gradatim.difficulty.prose import not_prose_reasons
from gradatim.difficulty.reading_age import reading_age
from gradatim.errors import InputError

READING_AGE, READING_AGE_SD, TOKENS_PER_WORD = "reading_age", "reading_age_sd", "tokens_per_word"
COMPRESSION: dict[str, Callable[[pa.Array], FloatColumn]] = {
    "zstd_ratio": zstd_ratio,
    "zlib_ratio": zlib_ratio,
}

DEFAULT_METRICS = (READING_AGE, READING_AGE_SD, *FORMULAS)
"""Everything one pass over the text gives."""
ALL_METRICS = (*DEFAULT_METRICS, *COMPRESSION, TOKENS_PER_WORD)
"""Also what takes as long again or longer; `tokens_per_word` asks for a tokenizer."""


@dataclass(frozen=True, slots=True)
class SurfaceMetrics:
    """Which columns to make.

    Attributes:
        names: metric columns, of `ALL_METRICS`.
        counts: whether the counts behind them are columns too.
        tokenizer: a `tokenizer.json` for `tokens_per_word`.
    """

    names: tuple[str, ...] = DEFAULT_METRICS
    counts: bool = False
    tokenizer: str | None = None


def surface_columns(texts: pa.Array, metrics: SurfaceMetrics) -> dict[str, pa.Array]:
    """Column name to one value a text.

    Returns:
        Metrics as float32, null where a text has none and never NaN; counts as int64; `is_prose`
        as bool, and `not_prose_reason` as string, null where it is prose.

    Raises:
        InputError: `tokens_per_word` without a tokenizer that can be read.
    """
    counts = count_batch(texts)
    columns: dict[str, pa.Array] = {}
    if READING_AGE in metrics.names or READING_AGE_SD in metrics.names:
        ages = reading_age(counts)
        columns = {READING_AGE: _nullable(ages.years), READING_AGE_SD: _nullable(ages.sd_years)}
    for name in metrics.names:
        if name in FORMULAS:
            columns[name] = _nullable(FORMULAS[name](counts))
        elif name in COMPRESSION:
            columns[name] = _nullable(COMPRESSION[name](texts))
        elif name == TOKENS_PER_WORD:
            columns[name] = _nullable(_tokens_per_word(texts, counts, metrics.tokenizer))
    columns = {name: columns[name] for name in metrics.names}
    if metrics.counts:
        columns |= {name: pa.array(counts[name], pa.int64()) for name in COUNT_NAMES}
    reasons = not_prose_reasons(counts)
    columns["is_prose"] = pa.array([reason is None for reason in reasons], pa.bool_())
    columns["not_prose_reason"] = pa.array(reasons, pa.string())
    return columns


def _nullable(values: FloatColumn) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32())


def _tokens_per_word(texts: pa.Array, counts: Counts, path: str | None) -> FloatColumn:
    """Mean length of words in tokens ("fertility"), masked where there is no word."""
    encodings = _tokenizer(path).encode_batch_fast(
        [text or "" for text in texts.to_pylist()], add_special_tokens=False
    )
    num_tokens = np.array([len(encoding) for encoding in encodings], np.int64)
    return ratio(num_tokens, counts["num_words"])


@lru_cache(maxsize=4)
def _tokenizer(path: str | None) -> Tokenizer:
    if path is None:
        raise InputError(
            "tokens_per_word of which tokenizer?",
            where="tokenizer",
            expected="a tokenizer.json",
            remedy="Name one with --tokenizer",
        )
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises a bare Exception
        raise InputError(
            "no tokenizer can be read there",
            where=path,
            expected="a tokenizer.json",
            got=str(error),
        ) from error
    tokenizer.no_padding()  # files for fine-tuned models often ask for both
    tokenizer.no_truncation()
    return tokenizer
