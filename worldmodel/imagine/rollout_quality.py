"""Quality of long rollouts: image statistics within the range of real frames, and object persistence."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldmodel.report.bootstrap import ClusterBootstrap

STATS = ("brightness", "contrast", "sharpness")
"""Mean grey level; its standard deviation over the frame; mean difference between neighbouring pixels."""

USUAL = 0.99
"""The middle share of real frames that counts as usual."""

RESAMPLES = 1000
"""Bootstrap resamples of rollouts, for the intervals of shares: frames of one are alike and do not count apart."""


def image_stats(frames: UInt8[np.ndarray, "*b H W 3"]) -> Float[np.ndarray, "*b 3"]:
    """`STATS` of every frame, in grey levels. What fades, burns out or blurs leaves the range of real ones."""
    grey = frames.astype(np.float32).mean(-1)
    across, down = np.abs(np.diff(grey, axis=-1)), np.abs(np.diff(grey, axis=-2))
    sharp = (across.mean((-1, -2)) + down.mean((-1, -2))) / 2
    return np.stack([grey.mean((-1, -2)), grey.std((-1, -2)), sharp], axis=-1)


def object_persistence(
    imagined: Bool[np.ndarray, "B T"],
    real: Bool[np.ndarray, " N"],
    simulated: Bool[np.ndarray, "B T"] | None = None,
) -> dict[str, Any]:
    """Shares of imagined and real frames that show the object, with 95 % intervals over rollouts.

    by_hundred: per hundred steps. simulated: the simulator under the same actions. agree: both or neither show it.
    """
    resampled = ClusterBootstrap(np.arange(len(imagined)), RESAMPLES, seed=0)
    found = {"real": round(float(real.mean()), 4)} | _share("imagined", imagined, resampled)
    found["by_hundred"] = _by_hundred(imagined)
    if simulated is not None:
        found |= _share("simulated", simulated, resampled) | {"simulated_by_hundred": _by_hundred(simulated)}
        found |= _share("agree", imagined == simulated, resampled)
    return found


def _by_hundred(holds: Bool[np.ndarray, "B T"]) -> list[float]:
    return [round(float(holds[:, first : first + 100].mean()), 3) for first in range(0, holds.shape[1], 100)]


def within_range(
    imagined: Float[np.ndarray, "B T C 3"], real: Float[np.ndarray, "N C 3"], cameras: tuple[str, ...]
) -> dict[str, Any]:
    """By camera and statistic: the range of N real frames, imagined means at some times, and the share within.

    ``usual``: the middle `USUAL` of real frames, since a few odd ones set the range. ``mean_within``: the share of
    times at which the mean over rollouts lies within: a common drift shows there. Shares have intervals over rollouts.
    """
    last, resampled = imagined.shape[1], ClusterBootstrap(np.arange(len(imagined)), RESAMPLES, seed=0)
    times = sorted({time for time in (1, 10, 100, 1000, 10_000) if time < last} | {last})
    found: dict[str, Any] = {camera: {} for camera in cameras}
    for c, camera in enumerate(cameras):
        for n, name in enumerate(STATS):
            values, tail = imagined[:, :, c, n], 100 * (1 - USUAL) / 2
            low, least, most, high = (float(v) for v in np.percentile(real[:, c, n], (0, tail, 100 - tail, 100)))
            found[camera][name] = {
                "real": [round(low, 2), round(high, 2)],
                "usual": [round(least, 2), round(most, 2)],
                "imagined": {str(time): round(float(values[:, time - 1].mean()), 2) for time in times},
                **_share("within", _between(values, low, high), resampled),
                "mean_within": round(float(_between(values.mean(0), low, high).mean()), 4),
                **_share("usual_within", _between(values, least, most), resampled),
            }
    return found


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return (values >= low) & (values <= high)


def _share(name: str, holds: np.ndarray, resampled: ClusterBootstrap) -> dict[str, Any]:
    """Of frames (B, T) for which something holds, with its interval; without width where all rollouts are alike."""
    each = holds.mean(1)
    whole, drawn = resampled.ratio(each, np.ones_like(each))
    return {name: round(float(whole), 4), f"{name}_interval": [round(end, 4) for end in resampled.interval(drawn)]}
