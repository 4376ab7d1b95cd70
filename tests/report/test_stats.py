"""Intervals and paired tests against values worked out by hand or printed in textbooks."""

from __future__ import annotations

from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pytest

from worldmodel.report.stats import mcnemar, paired, quantiles, wilson


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        # k = 0: high = z^2 / (n + z^2) = 3.8415 / 13.8415; k = n mirrors it.
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        # n = 2, k = 1: centre 0.5, half = z sqrt(1/8 + z^2/16) / (1 + z^2/2) = 1.19069 / 2.92073.
        (1, 2, 0.0945, 0.9055),
        (45, 50, 0.7864, 0.9565),
        (190, 200, 0.9104, 0.9726),
    ],
)
def test_wilson_by_hand(successes: int, episodes: int, low: float, high: float) -> None:
    assert wilson(successes, episodes) == pytest.approx((low, high), abs=2e-4)


def test_wilson_is_the_formula() -> None:
    z = NormalDist().inv_cdf(0.975)
    for episodes in (1, 2, 7, 50, 1000):
        for successes in range(episodes + 1):
            rate, z2 = successes / episodes, z * z
            centre = (rate + z2 / (2 * episodes)) / (1 + z2 / episodes)
            half = z / (1 + z2 / episodes) * sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2))
            assert wilson(successes, episodes) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_mcnemar_is_the_binomial_sum() -> None:
    for first in range(0, 60, 7):
        for second in range(0, 60, 5):
            tail = sum(comb(first + second, k) for k in range(min(first, second) + 1)) / 2 ** (first + second)
            assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail), abs=1e-12)


def test_wilson_contains_the_rate_and_is_honest_about_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    for successes in range(21):
        low, high = wilson(successes, 20)
        assert 0 <= low <= successes / 20 <= high <= 1
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(8, 2) == mcnemar(2, 8)
    assert mcnemar(5, 5) == 1.0


def test_paired_counts_and_interval_by_hand() -> None:
    first = [True] * 6 + [True] * 3 + [False] * 1
    second = [True] * 6 + [False] * 3 + [False] * 1
    result = paired(first, second)
    assert (result.both, result.only_first, result.only_second, result.neither) == (6, 3, 0, 1)
    assert result.difference == pytest.approx(0.3)
    # n* = 12, b* = 3.5, c* = 0.5: centre 0.25, half = 1.95996 sqrt(4 - 9/12) / 12 = 0.29445.
    assert result.interval == pytest.approx((0.25 - 0.29445, 0.25 + 0.29445), abs=1e-4)
    assert result.p_value == pytest.approx(2 / 8)
    assert result.episodes == 10


def test_paired_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        paired([True], [True, False])


def test_quantiles() -> None:
    assert quantiles(range(1, 102)) == {"p50": 51.0, "p95": 96.0}
    assert np.isnan(quantiles([])["p50"])
