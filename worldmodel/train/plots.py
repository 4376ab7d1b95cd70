"""The log of a run as a picture: losses, closed-loop success where there is some, and representation losses below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.report.plots import COLOURS, panels, save

COSINES = ("align", "external", "mean_direction", "identity", "disperse")
RATIOS = ("asymmetry", "gradient_ratio")
"""Metrics of representation losses: no losses to put on a logarithmic axis (see `worldmodel.train.diagnostics`)."""

STYLES = {"align": "-", "mean_direction": "--", "identity": ":", "gradient_ratio": "-", "asymmetry": "--"}
"""Lines of metrics that are read beside one another; their colours are the modes'."""


def plot(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw all ``rows`` of a log to a PNG file."""
    names = sorted({name for row in rows for name in row if "/" in name and "validation/" not in name})
    told = [name for name in names if name.split("/")[1] in COSINES + RATIOS]
    examined = [row for row in rows if "validation/success_rate" in row]
    lines, columns = 1 + bool(told), 1 + bool(told or examined)
    figure, axes = panels(lines, columns, (2 + 5.5 * columns, 4 * lines))
    _curves(rows, axes[0][0], [name for name in names if name not in told])
    axes[0][0].set(xlabel="step", ylabel="loss", yscale="log")
    if examined:
        _draw_success(axes[0][1], examined)
    elif told:
        axes[0][1].set_visible(False)
    if told:
        _curves(rows, axes[1][0], [name for name in told if name.split("/")[1] in COSINES])
        axes[1][0].set(xlabel="step", ylabel="representation: cosines, log dispersion")
        _curves(rows, axes[1][1], [*(name for name in told if name.split("/")[1] in RATIOS), "ema_drift"])
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


def _draw_success(axis: Any, examined: Sequence[Mapping[str, float]]) -> None:
    """Closed-loop success rates with their intervals."""
    steps, rates = ([row[key] for row in examined] for key in ("step", "validation/success_rate"))
    low, high = ([row[f"validation/{key}"] for row in examined] for key in ("low", "high"))
    gaps = [np.subtract(rates, low).clip(0), np.subtract(high, rates).clip(0)]
    axis.errorbar(steps, rates, yerr=gaps, marker="o", capsize=3, label="closed loop, 95 % Wilson")
    axis.set(xlabel="step", ylabel="success rate on validation starts", ylim=(0, 1.03))
