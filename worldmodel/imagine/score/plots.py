"""Curves of a scorecard, as pictures inside the page: readable on light and dark paper alike."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

INK = "#7d8694"
"""Grey that can be read on the page's light and on its dark paper."""
COLOURS = ("#2b7bd0", "#d0803a", "#8a93a0", "#3a9a6a", "#a05ab5", "#c24a5a", "#5a7a2a", "#6a6ad0")


@dataclass(frozen=True)
class Line:
    """One curve: its name, points (x, y) and, where known, an interval per point; ``dashed`` for what is a control."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[Sequence[float]] | None = None
    dashed: bool = False


def figure(lines: Sequence[Line], x_label: str, y_label: str, caption: str) -> str:
    """A plot with a legend as an HTML figure; empty text where no line has a finite point."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    usable = [line for line in lines if np.isfinite(_numbers(line.y)).any()]
    if not usable:
        return ""
    with plt.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 12, "svg.hashsalt": "x"}):
        sheet, axis = plt.subplots(figsize=(6.4, 3.5), layout="constrained")
        for number, line in enumerate(usable):
            colour, y = COLOURS[number % len(COLOURS)], _numbers(line.y)
            axis.plot(line.x, y, "--" if line.dashed else "-", color=colour, lw=2, label=line.name, marker="o", ms=3)
            if line.band is not None:
                low, high = np.array([_numbers(pair) for pair in line.band]).T
                axis.fill_between(line.x, low, high, color=colour, alpha=0.18, lw=0)
        _dress(axis, x_label, y_label)
        file = io.BytesIO()
        sheet.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        plt.close(sheet)
    source = picture("image/svg+xml", file.getvalue())
    return (
        f'<figure><img src="{source}" alt="{escape(caption)}" style="width:100%;max-width:44rem;height:auto">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def picture(kind: str, content: bytes) -> str:
    """A file inside the page: a ``data:`` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """JSON's null as NaN; infinities, which no axis can hold, too."""
    found = np.array([np.nan if value is None else float(value) for value in values])
    return np.where(np.isinf(found), np.nan, found)


def _dress(axis: Any, x_label: str, y_label: str) -> None:
    axis.set_xlabel(x_label, color=INK)
    axis.set_ylabel(y_label, color=INK)
    axis.tick_params(colors=INK)
    axis.grid(color=INK, alpha=0.2)
    for name, spine in axis.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    axis.legend(frameon=False, labelcolor=INK, fontsize=11)
