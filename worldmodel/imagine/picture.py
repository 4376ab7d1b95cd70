"""The figure of ``imagine``: real frames, the imagined ones below, and below those the actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldmodel.flow import MODES
from worldmodel.model import ModelConfig, Prediction
from worldmodel.report.plots import pyplot
from worldmodel.report.video import GENERATED
from worldmodel.schema import Clip

COLOURS = ("#d1495b", "#30638e", "#3c887e", "#8f6593")
ROLES = {"given": "given", "wanted": "predicted", "absent": "left out"}


def draw(clip: Clip, found: Prediction, rows: np.ndarray, path: Path, model: ModelConfig, mode: str) -> None:
    """One block per window in ``rows``; cameras side by side in each picture, time to the right."""
    plt = pyplot()
    roles, bands = MODES[mode], 1 if found.frames is None else 2
    shown = _some(clip.at.shape[1])
    columns, wide = 1 + len(shown), max(1, len(model.cameras))
    size = (1.35 * wide * columns, len(rows) * (1.35 * bands + 1.25) + 0.5)
    figure = plt.figure(figsize=size, layout="constrained")
    figure.suptitle(f"{mode}: actions {ROLES[roles.actions]}, frames {ROLES[roles.frames]}", fontsize=9)
    blocks = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for block, row in zip(blocks, rows, strict=True):
        grid = block.add_gridspec(bands + 1, columns, height_ratios=[1.35] * bands + [1.1])
        for column, moment in enumerate((None, *shown)):
            _frames(block, [grid[band, column] for band in range(bands)], moment, clip, found.frames, int(row))
        done = clip.executed if roles.actions == "given" else clip.action
        _actions(block.add_subplot(grid[bands, :]), clip, done, found.actions, int(row), model)
    figure.savefig(path, dpi=110, metadata=None if found.frames is None else {"Comment": GENERATED})
    plt.close(figure)


def _some(count: int) -> list[int]:
    """Indices of the frames to draw: at most four of ``count``, with the last."""
    return sorted({count * part // min(count, 4) - 1 for part in range(1, min(count, 4) + 1)})


def _frames(block: Any, places: list[Any], moment: int | None, clip: Clip, imagined: Tensor | None, row: int) -> None:
    real = clip.images[row] if moment is None else clip.future[row, moment]
    title = "observed" if moment is None else f"+{int(clip.at[row, moment])} steps"
    there = moment is None or bool(clip.future_valid[row, moment])
    _picture(block.add_subplot(places[0]), real, title if there else f"{title} (the episode had ended)")
    if imagined is not None and moment is not None:
        _picture(block.add_subplot(places[1]), imagined[row, moment], "imagined")


def _picture(axis: Any, frames: Tensor, title: str) -> None:
    axis.imshow(np.concatenate(list(frames.cpu().numpy()), axis=1) if len(frames) else np.zeros((1, 1, 3), np.uint8))
    axis.set_title(title, fontsize=6, pad=2)
    axis.axis("off")


def _actions(axis: Any, clip: Clip, done: Tensor, predicted: Tensor | None, row: int, model: ModelConfig) -> None:
    """``done`` as lines, predicted actions dashed: what is relative to the state in centimetres, others as is."""
    state, recorded = clip.state[row].numpy(), done[row].numpy()
    steps = np.arange(1, len(recorded) + 1)
    other = axis.twinx()
    for dimension in range(recorded.shape[1]):
        relative = dimension < model.relative
        on, origin, scale = (axis, state[dimension], 100.0) if relative else (other, 0.0, 1.0)
        colour = COLOURS[dimension % len(COLOURS)]
        name = "xyz"[dimension] if relative and dimension < 3 else f"a{dimension}"
        on.plot(steps, scale * (recorded[:, dimension] - origin), color=colour, lw=1, label=name)
        if predicted is not None:
            on.plot(steps, scale * (predicted[row, :, dimension].numpy() - origin), "--", color=colour, lw=1)
    axis.set_ylabel("target - state [cm]", fontsize=6)
    other.set_ylim(-1.3, 1.3)
    for one in (axis, other):
        one.tick_params(labelsize=5, length=2)
    handles = [*axis.get_lines(), *other.get_lines()]
    named = [line for line in handles if not line.get_label().startswith("_")]
    axis.legend(named, [line.get_label() for line in named], fontsize=5, loc="upper left", ncols=4)
    title = "actions carried out" if predicted is None else "recorded actions; dashed: predicted"
    axis.set_title(title, fontsize=6, pad=2)
