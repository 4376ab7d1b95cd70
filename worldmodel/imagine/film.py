"""Films and a strip of pictures: real frames above imagined ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worldmodel.data.clips import Clips
from worldmodel.imagine.rollout import real_frames, recorded_actions
from worldmodel.report.video import GENERATED, caption, in_column, in_row, side_by_side, write_image, write_mp4

EDGE = 144
"""Pixels of a side of one camera's picture."""
AHEAD = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Steps ahead in the strip and in the printed lines."""


def show(
    clips: Clips, windows: np.ndarray, frames: np.ndarray, out: Path, truth: np.ndarray | None = None
) -> list[Path]:
    """Write ``rollout_<n>.mp4`` for each of ``frames`` uint8 (S, T, C, H, W, 3), and ``rollout.png`` of all.

    truth: simulated frames of the same shape, shown instead of recorded ones. Returns the paths.
    """
    written, rows = [], []
    for number, (window, imagined) in enumerate(zip(windows, frames, strict=True)):
        pictures = list(_pictures(clips, int(window), imagined, None if truth is None else truth[number]))
        path = out / f"rollout_{number}.mp4"
        write_mp4(path, pictures, round(clips.stores[0].rate), GENERATED)
        written.append(path)
        rows.append(in_row([pictures[ahead - 1] for ahead in AHEAD if ahead <= len(pictures)]))
    if rows:
        written.append(out / "rollout.png")
        write_image(written[-1], caption(in_column(rows), GENERATED), GENERATED)
    return written


def _pictures(clips: Clips, window: int, imagined: np.ndarray, truth: np.ndarray | None) -> Iterator[np.ndarray]:
    """One picture per step: real frames, cameras side by side, above imagined ones."""
    led, cameras = recorded_actions(clips, np.array([window]), len(imagined)), clips.spec.cameras
    for t, frames in enumerate(imagined):
        there = truth is not None or bool(led.recorded[0, t])
        real = np.zeros_like(frames) if truth is None else truth[t]
        if truth is None and there:
            real = real_frames(clips, led.begins + t + 1)[0]
        named = f"{'real' if truth is None else 'MuJoCo'}, step {t + 1}" if there else "episode over"
        above = side_by_side(list(real), [named, *cameras[1:]], EDGE)
        yield in_column([above, side_by_side(list(frames), ["imagined", *cameras[1:]], EDGE)])
