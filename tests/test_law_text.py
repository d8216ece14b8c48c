"""The share of a difference's uncertainty that is the choice of held-out text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradatim.law.text import Blocks, text_variance


def blocks(
    bits_per_byte: np.ndarray, *, num_bytes: int = 100, strata: np.ndarray | None = None
) -> Blocks:
    """Blocks of one length; even ones are the slice `level/a`."""
    rows = np.arange(len(bits_per_byte))
    return Blocks(
        bits=num_bytes * bits_per_byte,
        num_bytes=np.full(len(rows), float(num_bytes)),
        strata=np.zeros(len(rows), np.int64) if strata is None else strata,
        slices={"all": rows, "level/a": rows[::2], "level/b": rows[1::2]},
    )


def test_of_equal_blocks_it_is_the_standard_error_of_a_mean() -> None:
    random = np.random.default_rng(0)
    effect = random.normal(-0.01, 0.03, 40)
    base = random.normal(2, 0.5, 40)
    found = text_variance([[(blocks(base + effect), blocks(base))]], ["all"])
    assert found is not None
    assert found.value == pytest.approx(effect.var(ddof=1) / 40)
    assert found.degrees_of_freedom == 39


def test_what_differs_between_strata_is_no_chance() -> None:
    strata = np.repeat([0, 1], 20)
    effect = np.where(strata == 0, -0.08, 0.07)
    effect[::2] += 0.001
    pair = (blocks(2 + effect, strata=strata), blocks(np.full(40, 2.0), strata=strata))
    found = text_variance([[pair]], ["all"])
    assert found is not None
    assert math.sqrt(found.value) < 0.001


def test_a_mean_of_slices_counts_each_once() -> None:
    random = np.random.default_rng(1)
    pair = (blocks(random.normal(size=40)), blocks(random.normal(size=40)))
    parts = [text_variance([[pair]], [name]) for name in ("level/a", "level/b")]
    both = text_variance([[pair]], ["level/a", "level/b"])
    assert both is not None
    assert all(part is not None for part in parts)
    assert both.value == pytest.approx(sum(part.value for part in parts if part) / 4)


def test_it_is_the_scatter_that_other_text_would_have_shown() -> None:
    """The difference on many sets of unequal blocks scatters as each of them says."""
    random = np.random.default_rng(2)
    differences, told = [], []
    for _ in range(400):
        num_bytes = random.integers(50, 150, 60).astype(float)
        effect = random.normal(-0.01, 0.03, 60)
        rows = {"all": np.arange(60)}
        strata = np.zeros(60, np.int64)
        arm = Blocks(num_bytes * (2 + effect), num_bytes, strata, rows)
        reference = Blocks(num_bytes * 2, num_bytes, strata, rows)
        found = text_variance([[(arm, reference)]], ["all"])
        assert found is not None
        told.append(found.value)
        differences.append((arm.bits.sum() - reference.bits.sum()) / num_bytes.sum())
    assert math.sqrt(np.mean(told)) == pytest.approx(np.std(differences), rel=0.1)


def test_long_blocks_with_the_same_difference_a_byte_are_no_scatter() -> None:
    random = np.random.default_rng(4)
    num_bytes = random.integers(20, 400, 60).astype(float)
    rows, strata = {"all": np.arange(60)}, np.zeros(60, np.int64)
    effect = -0.5 + random.normal(0, 1e-4, 60)
    arm = Blocks(num_bytes * (2 + effect), num_bytes, strata, rows)
    found = text_variance([[(arm, Blocks(num_bytes * 2, num_bytes, strata, rows))]], ["all"])
    assert found is not None
    assert math.sqrt(found.value) < 1e-4


def test_blocks_alone_in_their_stratum_stand_for_each_other() -> None:
    effect = np.random.default_rng(6).normal(size=20)
    pair = (blocks(2 + effect, strata=np.arange(20)), blocks(np.full(20, 2.0)))
    found = text_variance([[pair]], ["all"])
    assert found is not None
    assert found.value == pytest.approx(effect.var(ddof=1) / 20)


def test_runs_without_blocks_or_with_other_ones_say_nothing() -> None:
    assert text_variance([[]], ["all"]) is None
    few, many = blocks(np.ones(4)), blocks(np.ones(6))
    assert text_variance([[(few, few), (many, many)]], ["all"]) is None
    assert text_variance([[(few, few)], []], ["all"]) is None  # one rung without blocks
    assert text_variance([[(blocks(np.ones(1)), blocks(np.zeros(1)))]], ["all"]) is None
    event = {"blocks": {"nats": [1.0, None], "bytes": [1, 1], "strata": [0, 0], "slices": {}}}
    assert Blocks.of(event) is None
    assert Blocks.of({}) is None
