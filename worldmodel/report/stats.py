"""Intervals for the success rate of one policy, paired tests for two on the same starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval (low, high), both in [0, 1], for ``successes`` of ``episodes``; (0, 1) for none."""
    if not 0 <= successes <= episodes:
        raise ValueError(f"successes must lie in 0..episodes, got {successes} of {episodes}")
    if episodes == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here: importing it takes a second

    low, high = binomtest(successes, episodes).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean and 95 % Student interval of a few independent numbers; from minus to plus infinity for a single one."""
    if not values:
        raise ValueError("a mean needs at least one number")
    centre = float(np.mean(values))
    if len(values) < 2:
        return centre, (-np.inf, np.inf)
    half = student(len(values) - 1) * float(np.std(values, ddof=1)) / sqrt(len(values))
    return centre, (centre - half, centre + half)


def student(freedom: int) -> float:
    """Student's t at 97.5 % for some degrees of freedom."""
    if freedom < 1:
        raise ValueError(f"degrees of freedom: got {freedom}, expected at least 1")
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p-value from the two discordant counts (a binomial test at one half)."""
    if min(only_first, only_second) < 0:
        raise ValueError(f"discordant counts must be non-negative, got {only_first} and {only_second}")
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Paired:
    """Two policies on the same starts: the four cells, first minus second with its interval, and the p-value."""

    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    interval: tuple[float, float]
    p_value: float

    @property
    def episodes(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither


def paired(first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95) -> Paired:
    """Compare successes on the same starts in the same order; Agresti and Min's interval, for small counts too."""
    if len(first) != len(second) or not first:
        raise ValueError(f"paired outcomes must have one equal length above 0, got {len(first)} and {len(second)}")
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    both, neither = pairs.count((True, True)), pairs.count((False, False))
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    n, b, c = len(pairs) + 2, only_first + 0.5, only_second + 0.5
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * sqrt(b + c - (b - c) ** 2 / n) / n
    interval = (max(-1.0, (b - c) / n - half), min(1.0, (b - c) / n + half))
    difference = (only_first - only_second) / len(pairs)
    return Paired(both, only_first, only_second, neither, difference, interval, mcnemar(only_first, only_second))


def quantiles(milliseconds: Iterable[float]) -> dict[str, float]:
    """Median and 95th percentile of some durations, as ``{"p50": ..., "p95": ...}`` (nan for none)."""
    values = np.asarray([*milliseconds], np.float64)
    p50, p95 = np.percentile(values, [50, 95]) if values.size else (np.nan, np.nan)
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}
