"""Numbers in words: hand-written tables."""

from __future__ import annotations

import math

import pytest

from gradatim.law.fit import LawFit
from gradatim.law.phrases import listing
from gradatim.report import wording
from gradatim.report.results import law_warnings


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (1.23456, 3, "1.235"),
        (-0.0142, 3, "\u22120.014"),
        (-0.0001, 3, "0.000"),
        (None, 3, "–"),
        (math.nan, 3, "–"),
        (math.inf, 3, "–"),
    ],
)
def test_numbers_are_rounded_and_never_nan(
    value: float | None, decimals: int, expected: str
) -> None:
    assert wording.number(value, decimals) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.02, "+0.020"), (-0.02, "\u22120.020"), (0.0, "0.000"), (None, "–")]
)
def test_differences_show_their_sign(value: float | None, expected: str) -> None:
    assert wording.signed(value) == expected


def test_intervals_show_both_ends_or_nothing() -> None:
    assert wording.interval(-0.1, 0.25, 2, sign=True) == "[\u22120.10, +0.25]"
    assert wording.interval(0.9, math.inf, 2) == "[0.90, ∞]"
    assert wording.interval(None, 1.0) == "–"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.63e12, "1.63\u202fT"), (3.13e11, "313\u202fG"), (2.5e6, "2.5\u202fM")],
)
def test_compute_carries_the_prefix_of_the_plots(value: float, expected: str) -> None:
    assert wording.flops(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(41.6, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_read_like_a_clock(seconds: float, expected: str) -> None:
    assert wording.duration(seconds) == expected


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, "0\u202f%"), (3.1e-5, "3.1 × 10⁻³\u202f%"), (0.012, "1.2\u202f%")],
)
def test_small_deviations_keep_two_digits(fraction: float, expected: str) -> None:
    assert wording.small_percent(fraction) == expected


def test_counts_and_lists_read_naturally() -> None:
    sizes = (812, 20_480, 999_900, 1_020_000)
    assert [wording.count(n) for n in sizes] == ["812", "20.5k", "1M", "1.02M"]
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"


def test_a_warning_of_several_fits_is_told_once() -> None:
    reasons = {"uniform": "no span: 1.8", "staged": "no span: 2.1", "ceiling": "one size"}
    laws = [
        LawFit(
            arm=arm,
            variable="compute",
            convention="C",
            measure="bits_per_byte",
            name="all",
            law=None,
            reason=reason,
        )
        for arm, reason in reasons.items()
    ]
    assert law_warnings(laws) == [
        "L(C): no span (`uniform` and `staged`).",
        "L(C): one size (`ceiling`).",
    ]
    assert law_warnings(laws[:1]) == ["L(C): no span: 1.8 (all arms)."]
