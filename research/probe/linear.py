"""Ridge regression in closed form, its score on episodes that it never saw, and how sure that score is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from research.probe.targets import Steps, Target

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties that are tried, relative to the features' mean variance."""


@dataclass(frozen=True)
class Score:
    """How well a probe answers on test episodes.

    score: R^2 (mean over axes; 1 perfect, 0 the mean) or balanced accuracy; interval: 95 %, over test episodes.
    error, error_interval: mean distance in millimetres, or share of wrong answers. by_name: score per axis or class.
    ridge: penalty chosen. validation: the score on the episodes that chose it. by_episode: error of each test episode,
    by its number.
    """

    score: float
    interval: tuple[float, float]
    error: float
    error_interval: tuple[float, float]
    by_name: dict[str, float]
    ridge: float
    validation: float
    by_episode: dict[str, float]


def ridge(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n d"], weight: Float[Tensor, " n"], penalties: tuple[float, ...]
) -> Iterator[tuple[Float[Tensor, "k d"], Float[Tensor, " d"]]]:
    """Coefficients and offset of weighted ridge regression, one pair per penalty, solved in float64.

    Penalties are relative to the features' mean variance. The smaller of the two equal systems is solved: over features
    or, where there are fewer rows, over rows.
    """
    share = (weight / weight.sum()).double()[:, None]
    mean_x, mean_y = (share * x).sum(0), (share * y).sum(0)
    rows, wanted = share.sqrt() * (x - mean_x), share.sqrt() * (y - mean_y)
    unit = rows.square().sum() / x.shape[1]
    many = len(x) >= x.shape[1]
    gram = rows.T @ rows if many else rows @ rows.T
    cross = rows.T @ wanted if many else wanted
    for penalty in penalties:
        whole = gram.clone()
        whole.diagonal().add_(penalty * unit.clamp(min=1e-8))
        solution = torch.cholesky_solve(cross, torch.linalg.cholesky(whole))
        solution = solution if many else rows.T @ solution
        yield solution.to(x), (mean_y - mean_x @ solution).to(x)


def score_probe(features: Float[Tensor, "n k"], target: Target, steps: Steps, resamples: int, seed: int = 0) -> Score:
    """Fit on one part of the episodes, choose the penalty on another, fit on both, and score on the third.

    Classes are fitted as one-hot values with every class weighing the same, and decided by `nearest`.
    """
    rows = [np.flatnonzero((steps.part == part) & target.where) for part in range(3)]
    if min(map(len, rows)) == 0:
        raise ValueError(f"no time steps to fit, choose or test {target.name!r} with; take more episodes")
    both, classes = np.concatenate(rows[:2]), target.kind == "class"
    truth = torch.as_tensor(target.values)
    wanted = F.one_hot(truth[:, 0], len(target.names)).float() if classes else truth.float()

    def fit(chosen: np.ndarray, penalties: tuple[float, ...], rows_out: np.ndarray) -> list[np.ndarray]:
        weight = _balance(truth[chosen, 0]) if classes else torch.ones(len(chosen))
        found = list(ridge(features[chosen], wanted[chosen], weight, penalties))
        answers = [features[rows_out] @ w + b for w, b in found]
        if classes:
            own = (features[chosen] @ w + b for w, b in found)
            answers = [nearest(a, mine, truth[chosen, 0]) for a, mine in zip(answers, own, strict=True)]
        return [answer.numpy() for answer in answers]

    tried = [_score(_sums(a, target, rows[1], steps), classes)[0] for a in fit(rows[0], RIDGES, rows[1])]
    best = int(np.argmax(tried))
    (answer,) = fit(both, (RIDGES[best],), rows[2])
    sums = _sums(answer, target, rows[2], steps)
    return _summary(sums, target, np.unique(steps.episode[rows[2]]), (RIDGES[best], tried[best]), (resamples, seed))


def nearest(answers: Float[Tensor, "m c"], known: Float[Tensor, "n c"], kinds: Int[Tensor, " n"]) -> Int[Tensor, "m 1"]:
    """Class whose ``known`` answers have the nearest mean, by the spread that classes have in common.

    On top of ridge regression onto one-hot values this is a discriminant analysis with equal priors. The largest answer
    would be simpler, but never names a class that lies between two others, as a phase does between its neighbours.
    """
    present = kinds.unique()
    means = torch.stack([known[kinds == kind].mean(0) for kind in present]).double()
    away = known.double() - means[torch.searchsorted(present, kinds)]
    share = _balance(kinds).double()[:, None] / len(present)
    spread = away.T @ (share * away) + 1e-6 * torch.eye(known.shape[1], dtype=torch.float64)
    gaps = answers.double()[:, None] - means
    distance = (gaps @ torch.linalg.inv(spread) * gaps).sum(-1)
    return present[distance.argmin(1)][:, None]


def _balance(kinds: Tensor) -> Tensor:
    """Weights under which all classes present count the same."""
    counts = torch.bincount(kinds).float()
    return 1 / counts[kinds]


def _sums(answer: np.ndarray, target: Target, rows: np.ndarray, steps: Steps) -> np.ndarray:
    """Sums per episode, (episodes, m), from which scores follow by adding episodes up.

    Positions: counts, distances, then per axis squared errors, values and squared values. Classes: counts, wrong
    answers, then per class hits and counts.
    """
    truth, _, owner = target.values[rows], *np.unique(steps.episode[rows], return_inverse=True)
    one = np.ones((len(rows), 1))
    if target.kind == "class":
        kind = np.eye(len(target.names))[truth[:, 0]]
        hit = answer == truth
        columns = [one, ~hit, kind * hit, kind]
    else:
        gap = answer.astype(np.float64) - truth
        values = truth.astype(np.float64)
        columns = [one, np.linalg.norm(gap, axis=1, keepdims=True), gap**2, values, values**2]
    table = np.concatenate(columns, axis=1, dtype=np.float64)
    out = np.zeros((owner.max() + 1, table.shape[1]))
    np.add.at(out, owner, table)
    return out


def _score(sums: np.ndarray, classes: bool) -> tuple[float, np.ndarray]:
    """Score and its parts (per axis or class, nan where a class is absent) of all episodes together."""
    whole = sums.sum(0, keepdims=True) if sums.ndim == 2 else sums
    parts = _parts(whole, classes)
    return float(np.nanmean(parts[0])), parts[0]


def _parts(whole: np.ndarray, classes: bool) -> np.ndarray:
    """Scores per axis or class, (samples, d), from summed-up sums (samples, m)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if classes:
            hits, counts = np.split(whole[:, 2:], 2, axis=1)
            return np.where(counts > 0, hits / counts, np.nan)
        squared, values, squares = np.split(whole[:, 2:], 3, axis=1)
        return 1 - squared / np.maximum(squares - values**2 / whole[:, :1], 1e-12)


def _summary(
    sums: np.ndarray, target: Target, episodes: np.ndarray, chosen: tuple[float, float], draw: tuple[int, int]
) -> Score:
    """The score with its bootstrap interval over episodes; the same resamples for every set of features."""
    classes = target.kind == "class"
    resamples, seed = draw
    counts = np.random.default_rng([seed, 3]).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    drawn = counts @ sums
    unit = 1.0 if classes else 1000.0
    score, parts = _score(sums, classes)
    return Score(
        score=round(score, 4),
        interval=_interval(np.nanmean(_parts(drawn, classes), axis=1)),
        error=round(float(unit * sums[:, 1].sum() / sums[:, 0].sum()), 4),
        error_interval=_interval(unit * drawn[:, 1] / drawn[:, 0]),
        by_name={n: round(float(p), 4) for n, p in zip(target.names, parts, strict=True) if np.isfinite(p)},
        ridge=chosen[0],
        validation=round(chosen[1], 4),
        by_episode={
            str(e): round(float(unit * row[1] / row[0]), 4) for e, row in zip(episodes.tolist(), sums, strict=True)
        },
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the resampled values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)
