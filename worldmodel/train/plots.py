"""Pictures of a run: its first batch, and its log (losses, closed-loop success, representation losses)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.report.plots import COLOURS, panels, save
from worldmodel.schema import Clip

COSINES = ("align", "external", "mean_direction", "identity", "disperse")
RATIOS = ("asymmetry", "gradient_ratio")
"""Metrics of representation losses: no losses to put on a logarithmic axis (see `worldmodel.train.diagnostics`)."""

STYLES = {"align": "-", "mean_direction": "--", "identity": ":", "gradient_ratio": "-", "asymmetry": "--"}
"""Lines of metrics that are read beside one another; their colours are the modes'."""


def plot(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw all ``rows`` of a log to a PNG file."""
    names = sorted({name for row in rows for name in row if "/" in name and "validation/" not in name})
    representation = [name for name in names if name.split("/")[1] in COSINES + RATIOS]
    validated = [row for row in rows if "validation/success_rate" in row]
    lines, columns = 1 + bool(representation), 1 + bool(representation or validated)
    figure, axes = panels(lines, columns, (2 + 5.5 * columns, 4 * lines))
    _curves(rows, axes[0][0], [name for name in names if name not in representation])
    axes[0][0].set(xlabel="step", ylabel="loss", yscale="log")
    if validated:
        _draw_success(axes[0][1], validated)
    elif representation:
        axes[0][1].set_visible(False)
    if representation:
        _curves(rows, axes[1][0], [name for name in representation if name.split("/")[1] in COSINES])
        axes[1][0].set(xlabel="step", ylabel="representation: cosines, log dispersion")
        _curves(rows, axes[1][1], [*(name for name in representation if name.split("/")[1] in RATIOS), "ema_drift"])
        axes[1][1].set(xlabel="step", ylabel="ratio", yscale="log")
    for axis in axes.flat:
        if axis.lines:
            axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    save(figure, path, dpi=110)


def _curves(rows: Sequence[Mapping[str, float]], axis: Any, names: Sequence[str]) -> None:
    """One curve per metric against steps; alignments as cosines, so with the loss's sign turned."""
    modes = sorted({name.partition("/")[0] for name in names})
    styles = [style for style in ("-", "--", ":") for _ in COLOURS]  # there are more metrics than colours
    axis.set_prop_cycle(color=[*COLOURS] * 3, linestyle=styles)
    for name in names:
        mode, _, kind = name.partition("/")
        turned = kind in ("align", "external")
        points = [(row["step"], -row[name] if turned else row[name]) for row in rows if name in row]
        style = {"ls": STYLES[kind], "color": COLOURS[modes.index(mode) % len(COLOURS)]} if kind in STYLES else {}
        if points:
            label = f"-{name}" if turned else name
            axis.plot(*zip(*points, strict=True), lw=1, marker=".", ms=3, label=label, **style)


def _draw_success(axis: Any, validated: Sequence[Mapping[str, float]]) -> None:
    """Closed-loop success rates with their intervals."""
    steps, rates = ([row[key] for row in validated] for key in ("step", "validation/success_rate"))
    low, high = ([row[f"validation/{key}"] for row in validated] for key in ("low", "high"))
    gaps = [np.subtract(rates, low).clip(0), np.subtract(high, rates).clip(0)]
    axis.errorbar(steps, rates, yerr=gaps, marker="o", capsize=3, label="closed loop, 95 % Wilson")
    axis.set(xlabel="step", ylabel="success rate on validation starts", ylim=(0, 1.03))


def draw_batch(clip: Clip, path: Path, cameras: tuple[str, ...], rows: int = 6) -> None:
    """Observed and later frames as augmented, and the action chunk in physical units, of the first clips of a batch.

    Steps that the loss leaves out are hollow.
    """
    rows = min(rows, len(clip.state))
    later = 0 if clip.future is None else clip.future.shape[1]
    columns = len(cameras) * (1 + later) + 2
    figure, axes = panels(rows, columns, (1.5 * columns, 1.55 * rows))
    for row in range(rows):
        shown = [("observed", clip.pixels[row])]
        shown += [(f"+{int(clip.at[row, f])}", clip.future_pixels[row, f]) for f in range(later)]
        flat = [(frame[c], f"{title} {name}") for title, frame in shown for c, name in enumerate(cameras)]
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
