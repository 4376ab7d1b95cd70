"""Does a long dream still look like anything? Three numbers per frame, beside those of real frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from worldmodel.eval.score.resample import Resampled

VITALS = ("brightness", "contrast", "sharpness")
"""Mean grey level; its standard deviation over the frame; mean difference between neighbouring pixels."""

USUAL = 0.99
"""The share of real frames that counts as usual; as much may be asked of imagined ones."""

RESAMPLES = 1000
"""Bootstrap draws of dreams, for the intervals of shares: frames of one dream are alike and do not count apart."""


def vitals(frames: UInt8[np.ndarray, "*b H W 3"]) -> Float[np.ndarray, "*b 3"]:
    """`VITALS` of every frame, in grey levels. A dream that fades, burns out or blurs leaves the range of real ones."""
    grey = frames.astype(np.float32).mean(-1)
    across, down = np.abs(np.diff(grey, axis=-1)), np.abs(np.diff(grey, axis=-2))
    sharp = (across.mean((-1, -2)) + down.mean((-1, -2))) / 2
    return np.stack([grey.mean((-1, -2)), grey.std((-1, -2)), sharp], axis=-1)


def within(
    imagined: Float[np.ndarray, "B T C 3"],
    real: Float[np.ndarray, "N C 3"],
    cameras: tuple[str, ...],
) -> dict[str, Any]:
    """By camera and number: the range of N real frames, the imagined one at some times, and the share that lies within.

    ``mean_within``: the share of the T times at which the mean over dreams does: what all dreams drift to shows there.
    Smallest and largest are those of a few odd frames, so ``usual``, the middle `USUAL` of real ones, stands beside
    the range, and the share of imagined frames that lies in it. Shares of frames have 95 % intervals over dreams.
    Times are the 1st, 10th, 100th, ... imagined frame and the last; values are means over B dreams.
    """
    last, again = imagined.shape[1], Resampled(np.arange(len(imagined)), RESAMPLES, seed=0)
    times = sorted({time for time in (1, 10, 100, 1000, 10_000) if time < last} | {last})
    found: dict[str, Any] = {}
    for c, camera in enumerate(cameras):
        for n, name in enumerate(VITALS):
            low, high = float(real[:, c, n].min()), float(real[:, c, n].max())
            values, tail = imagined[:, :, c, n], 100 * (1 - USUAL) / 2
            least, most = (float(value) for value in np.percentile(real[:, c, n], (tail, 100 - tail)))
            found.setdefault(camera, {})[name] = {
                "real": [round(low, 2), round(high, 2)],
                "usual": [round(least, 2), round(most, 2)],
                "imagined": {str(time): round(float(values[:, time - 1].mean()), 2) for time in times},
                "within": _share(values, low, high),
                "within_interval": _interval(values, low, high, again),
                "mean_within": _share(values.mean(0), low, high),
                "usual_within": _share(values, least, most),
                "usual_interval": _interval(values, least, most, again),
            }
    return found


def _share(values: np.ndarray, low: float, high: float) -> float:
    return round(float(((values >= low) & (values <= high)).mean()), 4)


def _interval(values: np.ndarray, low: float, high: float, again: Resampled) -> list[float]:
    """Of the share of values (B, T) in the range; without width where all B dreams have the same share."""
    shares = ((values >= low) & (values <= high)).mean(1)
    return [round(value, 4) for value in again.interval(again.ratio(shares, np.ones_like(shares))[1])]
