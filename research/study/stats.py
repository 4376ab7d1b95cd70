"""How sure a comparison of arms is, where both trainings (seeds) and evaluations (starts) are samples of many.

Episodes of one seed share a network, episodes of one start share a scene. Pooling them as if they were independent
makes intervals too short, so differences are resampled over both at once, and seeds stay in sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float

from worldmodel.report.stats import paired


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
    """Compare the outcomes of a pair of arms on the same seeds, sizes of data and starts."""
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


def outcomes(bits: str) -> Bool[np.ndarray, " n"]:
    """ "0110" as booleans."""
    return np.array([bit == "1" for bit in bits], bool)
