"""Statistics of the study against values worked out by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from research.study.stats import compare, crossed_bootstrap, outcomes
from worldmodel.report.stats import mean_interval, student


def test_one_seed_is_the_bootstrap_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(size=(1, 400))
    low, high = crossed_bootstrap(values)
    half = 1.96 * values.std() / sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_seeds_that_differ_widen_the_interval() -> None:
    # Starts do not matter: two seeds with means 0 and 1 are drawn as (0, 0), (0, 1), (1, 1); widened by sqrt(2).
    low, high = crossed_bootstrap(np.repeat([[0.0], [1.0]], 50, axis=1))
    assert (low, high) == pytest.approx((0.5 - sqrt(2) / 2, 0.5 + sqrt(2) / 2))


def test_its_variance_is_that_of_rows_and_columns_together() -> None:
    # value = row + column: resampled means vary by var(rows)/R (R/(R-1) of that after widening) plus var(columns)/C.
    rng = np.random.default_rng(2)
    rows, columns = rng.normal(size=(20, 1)), rng.normal(size=(1, 60))
    low, high = crossed_bootstrap(rows + columns, resamples=20000)
    sigma = sqrt((rows.var() / 20 + columns.var() / 60) * 20 / 19)
    assert high - low == pytest.approx(2 * 1.96 * sigma, rel=0.04)


def test_compare_counts_pairs() -> None:
    first = np.array([[[1, 1, 0, 0]], [[1, 1, 1, 0]]], bool)  # (2 seeds, 1 size, 4 starts)
    second = np.array([[[1, 0, 0, 0]], [[0, 0, 1, 1]]], bool)
    found = compare(first, second)
    assert found.difference == pytest.approx(2 / 8)
    assert found.by_seed == pytest.approx((1 / 4, 1 / 4))
    assert (found.only_first, found.only_second, found.episodes) == (3, 1, 8)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 16)
    assert found.interval[0] < 0.25 < found.interval[1]


def test_identical_arms_differ_by_nothing() -> None:
    same = np.ones((3, 2, 10), bool)
    found = compare(same, same)
    assert found.difference == 0 and found.interval == (0, 0) and found.p_value == 1


def test_student_interval() -> None:
    # 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.302653
    mean, (low, high) = mean_interval([1, 2, 3])
    assert mean == 2 and (low, high) == pytest.approx((2 - 4.302653 / sqrt(3), 2 + 4.302653 / sqrt(3)))
    assert mean_interval([5.0])[1] == (-np.inf, np.inf)
    assert student(11) == pytest.approx(2.2010, abs=1e-4) and student(30) == pytest.approx(2.0423, abs=1e-4)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


def test_outcomes() -> None:
    assert outcomes("0110").tolist() == [False, True, True, False]
