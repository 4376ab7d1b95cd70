"""The first batch as a picture, drawn before step 1: what the model is really shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldmodel.report.plots import panels, save
from worldmodel.schema import Clip


def draw_batch(clip: Clip, path: Path, cameras: tuple[str, ...], rows: int = 6) -> None:
    """Observed frames, future frames where there are some, and the action chunk of the first clips of a batch.

    ``clip`` is augmented. The chunk is plotted in physical units; steps that the loss
    leaves out are hollow.
    """
    rows = min(rows, len(clip.state))
    moments = 0 if clip.future is None else clip.future.shape[1]
    columns = len(cameras) * (1 + moments) + 2
    figure, axes = panels(rows, columns, (1.5 * columns, 1.55 * rows))
    for row in range(rows):
        frames = [clip.pixels[row]] + [clip.future_pixels[row, f] for f in range(moments)]
        titles = ["observed"] + [f"+{int(clip.at[row, f])}" for f in range(moments)]

        shown = list(zip(frames, titles, strict=True))
        flat = [(frame[c], f"{title} {name}") for frame, title in shown for c, name in enumerate(cameras)]
        for axis, (frame, title) in zip(axes[row], flat, strict=False):
            axis.imshow(((frame.float().cpu().numpy() + 1) / 2).clip(0, 1))
            axis.set_title(title, fontsize=6)
            axis.axis("off")
        _draw_chunk(axes[row][-2:], clip, row)
    save(figure, path, dpi=90)


def _draw_chunk(axes: np.ndarray, clip: Clip, row: int) -> None:
    """Target position relative to the state in centimetres, and the last dimension (the gripper command)."""
    action, valid = clip.action[row].cpu().numpy(), clip.valid[row].cpu().numpy()
    state, steps = clip.state[row].cpu().numpy(), np.arange(1, len(action) + 1)
    for dimension, name in enumerate("xyz"[: min(action.shape[1] - 1, len(state))]):
        values = 100 * (action[:, dimension] - state[dimension])
        (line,) = axes[0].plot(steps, values, lw=0.8, label=name)
        axes[0].plot(steps[valid], values[valid], ".", ms=3, color=line.get_color())
    axes[0].legend(fontsize=5, loc="upper left")
    axes[0].set_title("target - state [cm]", fontsize=6)
    axes[1].plot(steps, action[:, -1], lw=0.8, color="k")
    axes[1].set_ylim(-1.2, 1.2)
    axes[1].set_title("gripper", fontsize=6)
    for axis in axes:
        axis.tick_params(labelsize=5)
