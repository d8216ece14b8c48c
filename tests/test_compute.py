"""Parameters, FLOPs and memory from a shape, and the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gradatim.compute import (
    LADDER,
    Ledger,
    Shape,
    default_peak_rate,
    forward_flops,
    memory_bytes,
    num_body_parameters,
    num_matmul_parameters,
    num_parameters,
    parameter_counts,
    rung_shape,
    training_flops,
)
from gradatim.errors import SpecError

SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "context_tokens": 32,
    "num_layers": 2,
    "width": 12,
    "num_heads": 2,
}
MULTIPLIERS = {"k": 1e3, "m": 1e6, "b": 1e9}


def test_defaults_are_filled_in_by_family() -> None:
    llama, gpt2 = Shape(**SIZES), Shape(**SIZES, family="gpt2")
    assert (llama.num_kv_heads, llama.mlp_width, llama.head_width) == (2, 32, 6)
    assert gpt2.mlp_width == 48
    assert Shape(**{**SIZES, "width": 768, "num_heads": 12}).mlp_width == 2048


def test_a_shape_written_out_reads_back_the_same() -> None:
    shape = Shape(**SIZES, num_kv_heads=1, tied_embeddings=False)
    assert Shape.model_validate(json.loads(shape.model_dump_json())) == shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 5}, "width must be a multiple of num_heads; got 12 and 5"),
        ({"num_heads": 4}, "must be even for rotary positions; got 12 / 4"),
        ({"num_heads": 6, "num_kv_heads": 4}, "num_heads must be a multiple of num_kv_heads"),
        ({"num_kv_heads": 1, "family": "gpt2"}, "num_kv_heads must equal num_heads in family gpt2"),
        ({"width": "wide"}, "width"),
        ({"depth": 3}, "depth"),
        ({"num_layers": 0}, "num_layers"),
    ],
)
def test_a_shape_that_cannot_be_meant_names_the_field(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Shape.model_validate({**SIZES, **changes})


def test_parameter_counts_by_hand() -> None:
    # llama: attention 2 x 4 x 12², mlp 2 x 3 x 12 x 32, five norms of 12
    assert parameter_counts(Shape(**SIZES)) == {
        "embedding": 1200,
        "positions": 0,
        "attention": 1152,
        "mlp": 2304,
        "norms": 60,
        "head": 0,
    }
    # one key-value head of six channels: 2 x (2 x 12² + 2 x 12 x 6)
    assert parameter_counts(Shape(**SIZES, num_kv_heads=1))["attention"] == 864
    # gpt2 adds biases: attention 4 x 12, mlp 48 + 12 a layer, and the norms have two vectors
    assert parameter_counts(Shape(**SIZES, family="gpt2", tied_embeddings=False)) == {
        "embedding": 1200,
        "positions": 384,
        "attention": 1152 + 96,
        "mlp": 2304 + 120,
        "norms": 120,
        "head": 1200,
    }


def test_what_the_three_counts_include() -> None:
    tied, untied = Shape(**SIZES), Shape(**SIZES, tied_embeddings=False)
    assert num_parameters(untied) - num_parameters(tied) == 1200
    assert num_body_parameters(untied) == num_body_parameters(tied) == 1152 + 2304 + 60
    assert num_matmul_parameters(untied) == num_matmul_parameters(tied) == 1152 + 2304 + 1200


def test_flops_by_hand() -> None:
    assert forward_flops(Shape(**SIZES), 10) == {
        "attention_projections": 2 * 10 * 1152,
        "attention_scores": 4 * 10 * 32 * 12 * 2,
        "mlp": 2 * 10 * 2304,
        "head": 2 * 10 * 1200,
    }
    assert forward_flops(Shape(**SIZES), 10, context_tokens=8)["attention_scores"] == 7680


@given(num_tokens=st.integers(1, 10**9), context_tokens=st.integers(1, 10**5))
def test_training_costs_three_forward_passes_and_six_flops_a_weight(
    num_tokens: int, context_tokens: int
) -> None:
    shape = rung_shape("1m", vocab_size=2048, context_tokens=256)
    forward = forward_flops(shape, num_tokens, context_tokens=context_tokens)
    total = training_flops(shape, num_tokens, context_tokens=context_tokens)
    assert total == pytest.approx(3 * sum(forward.values()))
    without_scores = total - 3 * forward["attention_scores"]
    assert without_scores == pytest.approx(6 * num_tokens * num_matmul_parameters(shape))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", LADDER)
def test_every_rung_has_the_body_its_name_says(name: str, family: Any) -> None:
    shape = rung_shape(name, vocab_size=2048, context_tokens=256, family=family)
    named = float(name[:-1]) * MULTIPLIERS[name[-1]]
    assert num_body_parameters(shape) == pytest.approx(named, rel=0.15)
    assert 8 <= shape.head_width <= 128


def test_the_ladder_rises() -> None:
    bodies = [
        num_body_parameters(rung_shape(name, vocab_size=2048, context_tokens=256))
        for name in LADDER
    ]
    assert bodies == sorted(bodies)
    assert (bodies[0], bodies[-1]) == (10_096, 98_987_223_040)


def test_an_unknown_rung_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"unknown rung; expected 10k, 20k, .*100b; got '8b'"):
        rung_shape("8b", vocab_size=2048, context_tokens=256)


# Layers, width, heads and published rate of the DataDecide ladder (vocabulary 50 280).
DATADECIDE = [
    (8, 64, 8, 1.4e-2),
    (8, 144, 8, 1.0e-2),
    (16, 192, 8, 8.4e-3),
    (16, 384, 12, 5.8e-3),
    (12, 768, 12, 4.2e-3),
    (16, 1024, 16, 3.3e-3),
    (16, 2048, 16, 2.1e-3),
]


@pytest.mark.parametrize(("num_layers", "width", "num_heads", "published_rate"), DATADECIDE)
def test_the_default_rate_gives_the_published_ones(
    num_layers: int, width: int, num_heads: int, published_rate: float
) -> None:
    shape = Shape(
        vocab_size=50_280,
        context_tokens=2048,
        num_layers=num_layers,
        width=width,
        num_heads=num_heads,
        mlp_width=4 * width,
    )
    assert default_peak_rate(shape) == pytest.approx(published_rate, rel=0.05)


def test_the_default_rate_is_capped_for_tiny_networks() -> None:
    shape = rung_shape("10k", vocab_size=512, context_tokens=64)
    assert default_peak_rate(shape) == 2e-2


def test_memory_by_kind() -> None:
    shape = rung_shape("1m", vocab_size=2048, context_tokens=256)
    one, two = memory_bytes(shape, batch_blocks=1), memory_bytes(shape, batch_blocks=2)
    assert one["weights"] == 4 * num_parameters(shape)
    assert one["gradients"] == one["optimizer"] == 8 * num_parameters(shape)
    assert two["activations"] == 2 * one["activations"]
    half = memory_bytes(shape, batch_blocks=1, activation_bytes=2)
    assert 0.5 < half["activations"] / one["activations"] < 1


def test_the_ledger_sums_what_is_charged_alone() -> None:
    ledger = Ledger()
    ledger.charge("train", 30.0)
    ledger.charge("train", 30.0)
    ledger.charge("teacher", 10.0)
    ledger.note("evaluation", 1000.0)
    assert ledger.charged_flops == 70.0
    assert ledger.accounts() == {"train": 60.0, "teacher": 10.0}
    assert ledger.noted() == {"evaluation": 1000.0}


def test_a_ledger_goes_on_from_its_state_through_json() -> None:
    ledger = Ledger()
    for _ in range(7):
        ledger.charge("train", 1e12 / 3)
    ledger.note("evaluation", 5.0)
    resumed = Ledger()
    resumed.restore(json.loads(json.dumps(ledger.state())))
    for each in (ledger, resumed):
        each.charge("train", 1e12 / 3)
    assert resumed.state() == ledger.state()


def test_a_state_is_not_changed_by_later_charges() -> None:
    ledger = Ledger()
    ledger.charge("train", 1.0)
    state = ledger.state()
    ledger.charge("train", 1.0)
    assert state["charged"] == {"train": 1.0}
