"""How close imagined frames come to the real ones, beside the simplest guess: that nothing will move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from worldmodel.report.stats import decibels
from worldmodel.schema import AUDIO, EXECUTED, STATE, Arrays, Episode, image_key

BATCH, STRIDE = 16, 8


def imagine(policy: Any, cameras: tuple[str, ...], episodes: Sequence[Episode]) -> dict[str, Any]:
    """PSNR in decibels at every control step ahead, of frames imagined under the actions that were executed.

    Both guesses are compared on the same moments, squared errors averaged over moments, cameras and pixels first.
    ``above_copy_at_every_step`` is the bar: imagined frames beat the last one seen at each time.
    """
    steps = np.arange(1, policy.horizon + 1)
    errors, moments = np.zeros((len(cameras), 2, len(steps))), 0
    for observed, actions, real in _batches(episodes, cameras, policy.horizon, getattr(policy, "hears", 0)):
        guess = policy.imagine(observed, actions, steps.tolist())
        for camera, (key, seen) in enumerate(real.items()):
            errors[camera] += _squared(guess[key], seen), _squared(observed[key][:, None], seen)
        moments += len(actions)
    both = decibels(errors.mean(0) / moments)
    each = {camera: decibels(row / moments) for camera, row in zip(cameras, errors, strict=True)}
    return {
        "psnr": [{"steps_ahead": step} | _row(both, n) for n, step in enumerate(steps.tolist())],
        "above_copy_at_every_step": _above(both),
        "cameras": {
            camera: {"psnr": [_row(found, n) for n in range(len(steps))], "above_copy_at_every_step": _above(found)}
            for camera, found in each.items()
        },
        "moments": moments,
        "episodes": len(episodes),
    }


def _row(psnr: np.ndarray, step: int) -> dict[str, float]:
    imagined, copied = psnr[:, step].round(2).tolist()
    return {"imagined": imagined, "copy_last_frame": copied}


def _above(psnr: np.ndarray) -> bool:
    return bool((psnr[0] > psnr[1]).all())


def _batches(
    episodes: Sequence[Episode], cameras: tuple[str, ...], horizon: int, hears: int
) -> Iterator[tuple[Arrays, np.ndarray, dict[str, np.ndarray]]]:
    """Observations (B, ...), actions executed after them (B, horizon, A) and frames then seen, by camera key."""
    moments = [
        (arrays, start)
        for arrays in (episode.arrays for episode in episodes)
        for start in range(0, len(arrays[EXECUTED]) - horizon, STRIDE)
    ]
    keys = [image_key(camera) for camera in cameras]
    for first in range(0, len(moments), BATCH):
        batch = moments[first : first + BATCH]
        observed = {key: np.stack([arrays[key][t] for arrays, t in batch]) for key in (*keys, STATE)}
        if hears:
            observed[AUDIO] = np.stack([_heard(arrays[AUDIO][: t + 1], hears) for arrays, t in batch])
        actions = np.stack([arrays[EXECUTED][t : t + horizon] for arrays, t in batch])
        real = {key: np.stack([arrays[key][t + 1 : t + 1 + horizon] for arrays, t in batch]) for key in keys}
        yield observed, actions, real


def _heard(sound: np.ndarray, steps: int) -> np.ndarray:
    """The last control steps (steps, 400) of what was heard so far, silence before the first."""
    last = sound[-steps:]
    return np.pad(last, ((steps - len(last), 0), (0, 0)))


def _squared(guess: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean squared error over pixels, summed over the batch, per step: float64 (steps,)."""
    return ((guess.astype(np.float32) - real.astype(np.float32)) ** 2).mean((2, 3, 4), dtype=np.float64).sum(0)
