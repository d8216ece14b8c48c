"""Scores from token losses, against numbers worked out by hand and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradatim.difficulty.model_scores import (
    LOSS_COLUMNS,
    NO_TOKEN,
    NO_TOKEN_IN_TOP_K,
    NOT_FINITE,
    NOT_NULL,
    FakeScorer,
    ModelScores,
    TokenLosses,
    excess_loss,
    learnability,
    loss_columns,
    null_reasons,
    salt_ds,
    score_columns,
)
from gradatim.errors import SpecError

# One block of six tokens; the first has no context, the fourth is a separator.
LOSSES = np.array([[99, 1, 2, 99, 4, 8]], np.float32)
IS_PREDICTED = np.array([[False, True, True, False, True, True]])
IS_IN_TOP_K = np.array([[True, True, True, True, False, True]])


def told(
    losses: NDArray[np.float32] = LOSSES,
    is_predicted: NDArray[np.bool_] = IS_PREDICTED,
    is_in_top_k: NDArray[np.bool_] | None = IS_IN_TOP_K,
) -> TokenLosses:
    return TokenLosses(losses, is_predicted, is_in_top_k)


def test_losses_of_a_block_written_out() -> None:
    columns = loss_columns(told())
    assert {name: column.values.tolist() for name, column in columns.items()} == {
        "loss_mean": [15 / 4],
        "loss_median": [3.0],
        "loss_p10": [pytest.approx(1.3)],  # 0.3 of the way from 1 to 2
        "loss_p90": [pytest.approx(6.8)],  # 0.7 of the way from 4 to 8
    }
    assert not any(column.is_null.any() for column in columns.values())


def test_both_readings_of_the_mask_written_out() -> None:
    # Predicted losses 1, 2, 4, 8, of which 4 is outside the top k: 0, 1, 2, 8 or 1, 2, 8.
    assert salt_ds(told(), mask="zeroed").values.tolist() == [1.5]
    assert salt_ds(told(), mask="dropped").values.tolist() == [2.0]


def test_a_block_without_a_token_in_the_top_k_is_null_where_they_are_dropped() -> None:
    nothing = told(is_in_top_k=np.zeros_like(IS_IN_TOP_K))
    dropped = salt_ds(nothing, mask="dropped")
    assert dropped.is_null.tolist() == [True]
    assert dropped.reasons.tolist() == [NO_TOKEN_IN_TOP_K]
    assert salt_ds(nothing, mask="zeroed").values.tolist() == [0.0]
    columns = {**loss_columns(nothing), "salt_ds": dropped}
    assert null_reasons(columns) == ["salt_ds: no token of the block is among the model's top k"]


def test_differences_written_out() -> None:
    hard = loss_columns(told(LOSSES))["loss_mean"]
    easy = loss_columns(told(LOSSES / 2))["loss_mean"]
    assert learnability(hard, easy).values.tolist() == [15 / 8]
    assert excess_loss(easy, hard).values.tolist() == [-15 / 8]


def test_what_has_no_number_is_null_with_its_reason() -> None:
    losses = np.array([[9, 1, 3], [9, math.nan, 3], [9, math.inf, 3], [math.nan, 1, 3]], np.float32)
    is_predicted = np.array([[False] * 3] + [[False, True, True]] * 3)
    everything = told(losses, is_predicted, np.ones_like(is_predicted))
    columns = score_columns(everything, ModelScores())
    assert list(columns) == [*LOSS_COLUMNS, "salt_ds"]
    for column in columns.values():
        assert column.reasons.tolist() == [NO_TOKEN, NOT_FINITE, NOT_FINITE, NOT_NULL]
        assert np.isfinite(column.values).all()
    mean = columns["loss_mean"]
    assert learnability(mean, mean).reasons.tolist() == mean.reasons.tolist()
    one, two, three, four = null_reasons(columns)
    names = ", ".join(columns)
    assert one == f"{names}: no token of the block is predicted"
    assert two == three == f"{names}: the model's loss is not finite"
    assert four is None


def test_the_columns_are_what_the_settings_say() -> None:
    fake = FakeScorer(lambda tokens: told(tokens.astype(np.float32)))
    tokens = np.array([[7, 1, 2, 0, 4, 8]])
    columns = score_columns(fake.token_losses(tokens), ModelScores(top_k=3, mask="dropped"))
    assert columns["salt_ds"].values.tolist() == [2.0]
    assert fake.calls[0] is tokens
    assert tuple(score_columns(told(is_in_top_k=None), ModelScores(top_k=None))) == LOSS_COLUMNS
    with pytest.raises(SpecError, match="did not say which tokens are in its top k"):
        score_columns(told(is_in_top_k=None), ModelScores())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 0}, "top_k: no token can be in this top k; expected 1 or more; got 0"),
        ({"mask": "halved"}, "mask: unknown reading; expected zeroed or dropped; got 'halved'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SpecError, match=message):
        ModelScores(**settings)


def test_flags_of_another_shape_are_refused() -> None:
    with pytest.raises(SpecError, match=r"is_predicted: does not fit .* \(1, 6\); got \(1, 5\)"):
        told(is_predicted=IS_PREDICTED[:, 1:])


@given(
    num_blocks=st.integers(1, 5),
    num_tokens=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
)
def test_every_score_is_what_numpy_says_of_the_tokens_that_count(
    num_blocks: int, num_tokens: int, seed: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    shape = (num_blocks, num_tokens)
    losses = random.exponential(2, shape).astype(np.float32)
    counted, kept = random.random(shape) < share, random.random(shape) < 0.5
    found = told(losses, counted, kept)
    columns = score_columns(found, ModelScores(mask="dropped"))
    zeroed = salt_ds(found, mask="zeroed")
    for row in range(num_blocks):
        values = losses[row, counted[row]].astype(np.float64)
        assert columns["loss_mean"].is_null[row] == (values.size == 0)
        if values.size:
            expected = [values.mean(), *np.percentile(values, [50, 10, 90])]
            got = [columns[name].values[row] for name in LOSS_COLUMNS]
            np.testing.assert_allclose(got, expected, rtol=1e-6)
            masked = np.where(kept[row], losses[row], 0)[counted[row]]
            np.testing.assert_allclose(zeroed.values[row], np.median(masked), rtol=1e-6)
        left = losses[row, counted[row] & kept[row]]
        assert columns["salt_ds"].is_null[row] == (left.size == 0)
        if left.size:
            np.testing.assert_allclose(columns["salt_ds"].values[row], np.median(left), rtol=1e-6)


@given(seed=st.integers(0, 1000))
def test_what_does_not_count_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    losses = random.exponential(2, (3, 12)).astype(np.float32)
    counted = random.random((3, 12)) < 0.7
    other = np.where(counted, losses, random.choice([math.nan, math.inf, 0.0, -5.0], (3, 12)))
    top = random.random((3, 12)) < 0.5
    for mask in ("zeroed", "dropped"):
        settings = ModelScores(mask=mask)  # type: ignore[arg-type]
        first = score_columns(told(losses, counted, top), settings)
        second = score_columns(told(other.astype(np.float32), counted, top | ~counted), settings)
        for name, column in first.items():
            assert column.values.tolist() == second[name].values.tolist()
            assert column.reasons.tolist() == second[name].reasons.tolist()
