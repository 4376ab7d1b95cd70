"""How sure a comparison of arms is, where both trainings (seeds) and exams (starts) are samples of many.

Episodes of one seed share a network, episodes of one start share a scene. Pooling them as if they were independent
makes intervals too short, so differences are resampled over both at once, and seeds stay in sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float

from worldmodel.eval.stats import paired

Z = 1.959963985
QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
"""Student's t at 97.5 % for 1 to 10 degrees of freedom."""


@dataclass(frozen=True)
class Comparison:
    """First minus second arm, over the same seeds, sizes and starts.

    difference: of success rates. interval: 95 %, from resampling seeds and starts. by_seed: each seed's difference.
    only_first, only_second: discordant episodes; p_value: exact McNemar over all episodes, which takes them as
    independent and is therefore too small wherever seeds differ. episodes: pairs compared.
    """

    difference: float
    interval: tuple[float, float]
    by_seed: tuple[float, ...]
    only_first: int
    only_second: int
    p_value: float
    episodes: int


def compare(
    first: Bool[np.ndarray, "seeds sizes starts"], second: Bool[np.ndarray, "seeds sizes starts"]
) -> Comparison:
    """Compare two arms' outcomes on the same seeds, sizes of data and starts."""
    gap = first.astype(np.float64) - second
    whole = paired(first.ravel().tolist(), second.ravel().tolist())
    return Comparison(
        difference=float(gap.mean()),
        interval=crossed_bootstrap(gap.mean(1)),
        by_seed=tuple(float(value) for value in gap.mean((1, 2))),
        only_first=whole.only_first,
        only_second=whole.only_second,
        p_value=whole.p_value,
        episodes=whole.episodes,
    )


def crossed_bootstrap(
    values: Float[np.ndarray, "seeds starts"], resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean where rows and columns are both samples: both are drawn anew, with replacement.

    Percentiles around the mean, widened by sqrt(n / (n - 1)) for the number n of rows: with three seeds, resampled rows
    vary a third too little. With one row only starts are resampled, and the interval says nothing about seeds.
    """
    rng = np.random.default_rng(seed)
    rows, columns = values.shape
    # A resample's mean is a weighted one: the weights are how often each row and each column was drawn.
    times_row = rng.multinomial(rows, np.full(rows, 1 / rows), size=resamples) / rows
    times_column = rng.multinomial(columns, np.full(columns, 1 / columns), size=resamples) / columns
    means = np.einsum("br,rc,bc->b", times_row, values, times_column)
    centre = float(values.mean())
    wider = sqrt(rows / (rows - 1)) if rows > 1 else 1.0
    low, high = np.percentile(means, [2.5, 97.5])
    return centre + wider * (float(low) - centre), centre + wider * (float(high) - centre)


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
    """Student's t at 97.5 % for some degrees of freedom; beyond the table the Cornish-Fisher expansion (to 3e-3)."""
    if freedom < 1:
        raise ValueError(f"degrees of freedom: got {freedom}, expected at least 1")
    if freedom <= len(QUANTILES):
        return QUANTILES[freedom - 1]
    return Z + (Z**3 + Z) / (4 * freedom) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)


def outcomes(bits: str) -> Bool[np.ndarray, " n"]:
    """ "0110" as booleans."""
    return np.array([bit == "1" for bit in bits], bool)
