"""Dreams to look at: real frames above imagined ones, as a film and as a strip."""

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
"""Steps ahead that the strip shows, as far as the dream goes, and that are printed."""


def show(
    clips: Clips, windows: np.ndarray, frames: np.ndarray, out: Path, truth: np.ndarray | None = None
) -> list[Path]:
    """Write ``rollout_<n>.mp4`` for each of S dreams, ``frames`` uint8 (S, T, C, H, W, 3), and ``rollout.png`` of all.

    ``truth``: simulated frames of the same shape to show above them instead of the recorded ones.

    Both say in their metadata that they show generated frames. Returns what was written.
    """
    written, rows = [], []
    for number, (window, dreamt) in enumerate(zip(windows, frames, strict=True)):
        pictures = list(_pictures(clips, int(window), dreamt, None if truth is None else truth[number]))
        path = out / f"rollout_{number}.mp4"
        write_mp4(path, pictures, round(clips.stores[0].rate), GENERATED)
        written.append(path)
        rows.append(in_row([pictures[ahead - 1] for ahead in AHEAD if ahead <= len(pictures)]))
    if rows:
        written.append(out / "rollout.png")
        write_image(written[-1], caption(in_column(rows), GENERATED), GENERATED)
    return written


def _pictures(clips: Clips, window: int, dreamt: np.ndarray, truth: np.ndarray | None) -> Iterator[np.ndarray]:
    """Step by step what was really seen, cameras side by side, and below it what was imagined."""
    led, cameras = recorded_actions(clips, np.array([window]), len(dreamt)), clips.spec.cameras
    for t, frames in enumerate(dreamt):
        there = truth is not None or bool(led.recorded[0, t])
        real = np.zeros_like(frames) if truth is None else truth[t]
        if truth is None and there:
            real = real_frames(clips, led.begins + t + 1)[0]
        named = f"{'real' if truth is None else 'MuJoCo'}, step {t + 1}" if there else "episode over"
        above = side_by_side(list(real), [named, *cameras[1:]], EDGE)
        yield in_column([above, side_by_side(list(frames), ["imagined", *cameras[1:]], EDGE)])
