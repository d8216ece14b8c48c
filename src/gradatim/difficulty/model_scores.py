"""How hard a block is to a model: columns computed from the losses of its tokens.

A network comes in through one door, `TokenScorer`, so nothing here knows what a network is; a fake
one that takes a plain function stands beside it. Everything else is arithmetic on arrays.

Only tokens that a model is asked to predict count. The first token of a block has no context, and
a separator is no text: both are masked, as they are in bits per byte. A passage that begins inside
a block is predicted from whatever stands before it, as in training.

Axes: B blocks, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gradatim.errors import SpecError

Tokens = NDArray[np.integer[Any]]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
Reasons = NDArray[np.uint8]

LOSS_COLUMNS = ("loss_mean", "loss_median", "loss_p10", "loss_p90")
SALT_DS: Final = "salt_ds"
LEARNABILITY: Final = "learnability"
EXCESS_LOSS: Final = "excess_loss"

NOT_NULL, NO_TOKEN, NO_TOKEN_IN_TOP_K, NOT_FINITE = range(4)
REASONS = (
    None,
    "no token of the block is predicted",
    "no token of the block is among the model's top k",
    "the model's loss is not finite",
)
"""Why a block has no value, by code."""


@dataclass(frozen=True)
class TokenLosses:
    """What a model says of some blocks.

    Attributes:
        losses_nats: [B, T] float32, minus the log-probability of each token given those before it.
        is_predicted: [B, T] which of them count; the others may hold anything.
        is_in_top_k: [B, T] whether fewer than k tokens were more probable; None where nobody asked.

    Raises:
        SpecError: arrays of different shapes.
    """

    losses_nats: NDArray[np.float32]
    is_predicted: Flags
    is_in_top_k: Flags | None = None

    def __post_init__(self) -> None:
        for name in ("is_predicted", "is_in_top_k"):
            flags = getattr(self, name)
            if flags is not None and flags.shape != self.losses_nats.shape:
                raise SpecError(
                    "does not fit the losses",
                    where=name,
                    expected=f"shape {self.losses_nats.shape}",
                    got=f"{flags.shape}",
                )


class TokenScorer(Protocol):
    """The door to a model."""

    def token_losses(self, tokens_BT: Tokens) -> TokenLosses:
        """The loss of every token of some blocks."""


@dataclass(frozen=True)
class FakeScorer:
    """A model that is a plain function, for tests and examples.

    Args:
        function: given tokens [B, T], what the model says of them.

    Attributes:
        calls: the tokens of every call so far.
    """

    function: Callable[[Tokens], TokenLosses]
    calls: list[Tokens] = field(default_factory=list)

    def token_losses(self, tokens_BT: Tokens) -> TokenLosses:
        """What the function says."""
        self.calls.append(tokens_BT)
        return self.function(tokens_BT)


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """Which columns are made of a model's losses, and how.

    Args:
        top_k: k of `salt_ds`; None leaves the column out. 10 in Rawat et al. 2024 (as their
            reviewers describe it).
        mask: what `salt_ds` does with a token outside the top k, which its source leaves open:
            `zeroed`, it counts as a loss of 0; `dropped`, it does not count.

    Raises:
        SpecError: a k below 1, or an unknown mask.
    """

    top_k: int | None = 10
    mask: Literal["zeroed", "dropped"] = "zeroed"

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise SpecError(
                "no token can be in this top k",
                where="top_k",
                expected="1 or more",
                got=f"{self.top_k}",
            )
        if self.mask not in ("zeroed", "dropped"):
            raise SpecError(
                "unknown reading", where="mask", expected="zeroed or dropped", got=repr(self.mask)
            )

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of one model, in order."""
        return LOSS_COLUMNS if self.top_k is None else (*LOSS_COLUMNS, SALT_DS)


@dataclass(frozen=True)
class BlockScores:
    """One column: a value a block, and a reason where there is none.

    Attributes:
        values: [B] float64; 0 where null.
        reasons: [B] an index into `REASONS`; 0 where there is a value.
    """

    values: Values
    reasons: Reasons

    @property
    def is_null(self) -> Flags:
        """Which blocks have no value."""
        is_null: Flags = self.reasons != NOT_NULL
        return is_null


def score_columns(losses: TokenLosses, settings: ModelScores) -> dict[str, BlockScores]:
    """Every column that one model gives, by the names of `settings.column_names`.

    Raises:
        SpecError: `salt_ds` is asked for, and the model did not say what its top k are.
    """
    columns = loss_columns(losses)
    if settings.top_k is not None:
        columns[SALT_DS] = salt_ds(losses, mask=settings.mask)
    return columns


def loss_columns(losses: TokenLosses) -> dict[str, BlockScores]:
    """Mean, median, 10th and 90th percentile of the losses of a block's predicted tokens, in nats.

    The mean is the log of the block's perplexity. Percentiles lie between two neighbours in
    proportion (numpy's `linear`). Perplexity under a trained reference model as a measure of text:
    Marion et al. 2023 (arXiv 2309.04564).
    """
    reasons = _reasons(losses, losses.is_predicted)
    sorted_BT, counts_B = _sorted(losses.losses_nats, losses.is_predicted)
    is_null = reasons != NOT_NULL
    sums_B = np.where(np.isfinite(sorted_BT), sorted_BT, 0).sum(axis=1, dtype=np.float64)
    values = {
        "loss_mean": sums_B / np.maximum(counts_B, 1),
        "loss_median": _percentile(sorted_BT, counts_B, 0.5),
        "loss_p10": _percentile(sorted_BT, counts_B, 0.1),
        "loss_p90": _percentile(sorted_BT, counts_B, 0.9),
    }
    return {name: BlockScores(np.where(is_null, 0, v), reasons) for name, v in values.items()}


def salt_ds(losses: TokenLosses, *, mask: Literal["zeroed", "dropped"]) -> BlockScores:
    """Challenging yet learnable: median over tokens of 1[token in the model's top k] times loss.

    Rawat et al. 2024 (arXiv 2410.18779), equation 10, there under an early checkpoint of the small
    model, the highest scores being kept. Whether a token outside the top k stays in the median as a
    zero or leaves it, the text at hand does not say, so both are offered. In nats; from 0 to
    ln(vocabulary).

    Args:
        losses: with `is_in_top_k`.
        mask: `zeroed`, where a block gets 0 if fewer than half of its tokens are in the top k; or
            `dropped`, where a block none of whose tokens is in it is null.

    Raises:
        SpecError: the model did not say what its top k are.
    """
    if losses.is_in_top_k is None:
        raise SpecError(
            "the model did not say which tokens are in its top k",
            where=SALT_DS,
            remedy="Give a scorer that computes is_in_top_k, or set top_k to None",
        )
    is_predicted = losses.is_predicted
    is_kept_BT = is_predicted & losses.is_in_top_k
    reasons = _reasons(losses, is_predicted)
    if mask == "dropped":
        is_left_B = is_kept_BT.any(axis=1)
        reasons = np.where((reasons == NOT_NULL) & ~is_left_B, NO_TOKEN_IN_TOP_K, reasons)
        sorted_BT, counts_B = _sorted(losses.losses_nats, is_kept_BT)
    else:
        masked_BT = np.where(is_kept_BT, losses.losses_nats, np.float32(0))
        sorted_BT, counts_B = _sorted(masked_BT, is_predicted)
    medians_B = _percentile(sorted_BT, counts_B, 0.5)
    reasons = reasons.astype(np.uint8)
    return BlockScores(np.where(reasons == NOT_NULL, medians_B, 0), reasons)


def learnability(early: BlockScores, late: BlockScores) -> BlockScores:
    """What a model learned of each block: its mean loss early in training minus late, in nats.

    The fall of a proxy's loss along its own training, Fan and Jaggi 2023, "Irreducible Curriculum"
    (arXiv 2310.15389), the loss of the converged proxy standing for what cannot be learned.

    Args:
        early: `loss_mean` under an early checkpoint.
        late: `loss_mean` under a late one of the same run.
    """
    return _difference(early, late)


def excess_loss(current: BlockScores, reference: BlockScores) -> BlockScores:
    """What is still to be learned of each block: mean loss minus the reference's, in nats.

    The reducible holdout loss, Mindermann et al. 2022 (arXiv 2206.07137), equation 3, whose
    reference was trained on held-out text; token by token in Lin et al. 2024, "Rho-1" (arXiv
    2404.07965), of whose excess loss this is the mean over a block. With a small model as the
    current and a large one as the reference: what the large one gained.

    Args:
        current: `loss_mean` under the current (or small) model.
        reference: `loss_mean` under the reference (or large) model.
    """
    return _difference(current, reference)


def null_reasons(columns: Mapping[str, BlockScores]) -> list[str | None]:
    """One text a block that says which columns are null and why; None where there is no null.

    Columns that are null for the same reason are named together.
    """
    codes = np.stack([column.reasons for column in columns.values()])
    patterns = np.ravel_multi_index(tuple(codes), (len(REASONS),) * len(codes))
    _, firsts, inverse = np.unique(patterns, return_index=True, return_inverse=True)
    texts = [_in_words(list(columns), codes[:, first]) for first in firsts]
    return [texts[index] for index in inverse.tolist()]


def _in_words(names: list[str], codes: NDArray[np.uint8]) -> str | None:
    by_reason: dict[int, list[str]] = {}
    for name, code in zip(names, codes.tolist(), strict=True):
        if code != NOT_NULL:
            by_reason.setdefault(code, []).append(name)
    return "; ".join(f"{', '.join(n)}: {REASONS[c]}" for c, n in by_reason.items()) or None


def _difference(first: BlockScores, second: BlockScores) -> BlockScores:
    reasons = np.where(first.is_null, first.reasons, second.reasons).astype(np.uint8)
    values = first.values - second.values
    return BlockScores(np.where(reasons == NOT_NULL, values, 0), reasons)


def _reasons(losses: TokenLosses, is_counted_BT: Flags) -> Reasons:
    """Why a block can have no value, by code."""
    is_finite_B = (np.isfinite(losses.losses_nats) | ~is_counted_BT).all(axis=1)
    reasons = np.where(is_finite_B, NOT_NULL, NOT_FINITE)
    return np.where(is_counted_BT.any(axis=1), reasons, NO_TOKEN).astype(np.uint8)


def _sorted(
    values_BT: NDArray[np.float32], is_counted_BT: Flags
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Each row ascending with what does not count behind as infinity, and how many count."""
    counted_BT = np.where(is_counted_BT, values_BT, np.float32(np.inf))
    counted_BT.sort(axis=1)
    return counted_BT, is_counted_BT.sum(axis=1)


def _percentile(
    sorted_BT: NDArray[np.float32], counts_B: NDArray[np.int64], share: float
) -> Values:
    """The value at this share of each row's counted entries, between neighbours in proportion."""
    places_B = share * np.maximum(counts_B - 1, 0)
    below_B = np.floor(places_B).astype(np.int64)
    above_B = np.minimum(below_B + 1, np.maximum(counts_B - 1, 0))
    rows = np.arange(len(sorted_BT))
    low_B, high_B = (sorted_BT[rows, at].astype(np.float64) for at in (below_B, above_B))
    with np.errstate(invalid="ignore"):  # infinity minus infinity, where the block is null
        return low_B + (places_B - below_B) * (high_B - low_B)
