"""Intervals by resampling episodes with replacement: windows of one episode are alike and do not count apart."""

from __future__ import annotations

import math

import numpy as np


class ClusterBootstrap:
    """Bootstrap resamples of clusters: ``episode`` (W,) names that of each window. All figures share them, so that
    differences are paired."""

    def __init__(self, episode: np.ndarray, resamples: int, seed: int) -> None:
        names, self.member = np.unique(episode, return_inverse=True)
        self.episodes = len(names)
        even = np.full(self.episodes, 1 / self.episodes)
        self.weights = np.random.default_rng(seed).multinomial(self.episodes, even, size=resamples).astype(float)

    def ratio(self, top: np.ndarray, bottom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of ``top`` over sum of ``bottom`` over the windows (W, ...): the figure (...), and redrawn (R, ...)."""
        above, below = self._by_episode(top), self._by_episode(bottom)
        with np.errstate(invalid="ignore", divide="ignore"):
            whole = above.sum(0) / below.sum(0)
            drawn = np.tensordot(self.weights, above, 1) / np.tensordot(self.weights, below, 1)
        return np.asarray(whole), np.asarray(drawn)

    def median(self, values: np.ndarray, known: np.ndarray, most: int = 200) -> tuple[float, np.ndarray]:
        """Median of the ``known`` values (W, N) over windows and N: the figure, and redrawn (up to ``most`` times)."""
        if not known.any():
            return math.nan, np.full(1, np.nan)
        order = np.argsort(values[known], kind="stable")
        ranked = values[known][order]
        owner = np.broadcast_to(self.member[:, None], values.shape)[known][order]
        drawn = [_weighted_median(ranked, weights[owner]) for weights in self.weights[:most]]
        return float(np.median(ranked)), np.array(drawn)

    def interval(self, drawn: np.ndarray) -> list[float]:
        """2.5 and 97.5 % quantiles of redrawn figures (R,); NaN where there are none."""
        finite = drawn[~np.isnan(drawn)]
        if not len(finite):
            return [math.nan, math.nan]
        return [float(v) for v in np.quantile(finite, [0.025, 0.975], method="nearest")]

    def _by_episode(self, values: np.ndarray) -> np.ndarray:
        out = np.zeros((self.episodes, *values.shape[1:]))
        np.add.at(out, self.member, values)
        return out


def _weighted_median(ranked: np.ndarray, weights: np.ndarray) -> float:
    total = np.cumsum(weights)
    return float(ranked[np.searchsorted(total, total[-1] / 2)]) if total[-1] else math.nan
