"""What ``imagine`` draws: a figure of windows with their actions; films and a strip of rollouts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.flow import MODES
from worldmodel.imagine.rollout import real_frames, recorded_actions
from worldmodel.model import ModelConfig, Prediction
from worldmodel.report.plots import COLOURS, panels, save
from worldmodel.report.video import GENERATED, caption, in_column, in_row, side_by_side, write_image, write_mp4
from worldmodel.schema import Clip

ROLES = {"given": "given", "wanted": "predicted", "absent": "left out"}
EDGE = 144
"""Pixels of a side of one camera's picture."""
AHEAD = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Steps ahead in the strip and in the printed lines."""


def draw(clip: Clip, found: Prediction, rows: np.ndarray, path: Path, model: ModelConfig, mode: str) -> None:
    """One block per window in ``rows``; cameras side by side in each picture, time to the right."""
    roles, bands, count = MODES[mode], 2 if found.frames is None else 3, clip.at.shape[1]
    shown = sorted({count * part // min(count, 4) - 1 for part in range(1, min(count, 4) + 1)})  # with the last
    columns, lines = 1 + len(shown), bands * len(rows)
    figure, axes = panels(lines, columns, (1.5 * columns * max(1, len(model.cameras)), 1.5 * lines))
    figure.suptitle(f"{mode}: actions {ROLES[roles.actions]}, frames {ROLES[roles.frames]}", fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    for line, row in zip(range(0, lines, bands), rows.tolist(), strict=True):
        _picture(axes[line, 0], clip.images[row], "observed")
        for column, moment in enumerate(shown, 1):
            ended = "" if clip.future_valid[row, moment] else " (the episode had ended)"
            _picture(axes[line, column], clip.future[row, moment], f"+{int(clip.at[row, moment])} steps{ended}")
            if found.frames is not None:
                _picture(axes[line + 1, column], found.frames[row, moment], "imagined")
        done = clip.executed if roles.actions == "given" else clip.action
        predicted = None if found.actions is None else found.actions[row]
        wide = figure.add_subplot(axes[0, 0].get_gridspec()[line + bands - 1, :])
        _actions(wide, clip.state[row], done[row], predicted, model)
    save(figure, path, dpi=110, comment="" if found.frames is None else GENERATED)


def _picture(axis: Any, frames: Tensor, title: str) -> None:
    axis.imshow(np.concatenate(list(frames.cpu().numpy()), axis=1) if len(frames) else np.zeros((1, 1, 3), np.uint8))
    axis.set_title(title, fontsize=6, pad=2)


def _actions(axis: Any, state: Tensor, done: Tensor, predicted: Tensor | None, model: ModelConfig) -> None:
    """``done`` as lines, predicted actions dashed: left those relative to the state, in centimetres, right the rest."""
    steps, right = np.arange(1, len(done) + 1), axis.twinx()
    for dimension in range(done.shape[1]):
        relative = dimension < model.relative
        side, origin, scale = (axis, state[dimension], 100.0) if relative else (right, 0.0, 1.0)
        name = "xyz"[dimension] if relative and dimension < 3 else f"a{dimension}"
        colour = COLOURS[dimension % len(COLOURS)]
        side.plot(steps, scale * (done[:, dimension] - origin), lw=1, color=colour, label=name)
        if predicted is not None:
            side.plot(steps, scale * (predicted[:, dimension] - origin), "--", color=colour, lw=1)
    low, high = right.get_ylim()
    right.set_ylim(min(low, -1.2), max(high, 1.2))  # noise in a command that rests is no swing
    axis.set_title(
        "actions " + ("carried out" if predicted is None else "recorded; dashed: predicted"), fontsize=6, pad=2
    )
    axis.set_ylabel("target - state [cm]", fontsize=6)
    for each in (axis, right):
        each.tick_params(labelsize=5, length=2)
    lines = [line for each in (axis, right) for line in each.lines if not line.get_label().startswith("_")]
    axis.legend(handles=lines, fontsize=5, loc="upper left", ncols=len(lines))


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
