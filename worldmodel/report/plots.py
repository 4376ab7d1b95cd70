"""All plots in one style: SVG inside pages; figures for files begin with `panels` and end with `save`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from worldmodel.report.video import data_url

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8a6d3b", "#7f7f7f")
"""After Okabe and Ito, the yellow darkened so that it shows on white."""
INK = "#727b87"
"""Grey for axes and text, with the same contrast to a page's light and dark background."""
SHOWN = 16
"""Dimensions of an array that `traces` plots at most."""


@dataclass(frozen=True)
class Curve:
    """A named line: points (x, y), where known an interval (low, high) per point; ``dashed`` for baselines.

    None and infinities in ``y`` and ``band`` are gaps. ``steps``: constant from one point to the next.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    band: Sequence[Sequence[float | None]] | None = None
    dashed: bool = False
    steps: bool = False


def curves(lines: Sequence[Curve], x_label: str, y_label: str) -> str:
    """A plot with a legend as a ``data:`` address; empty where no line has a finite point."""
    usable = [line for line in lines if np.isfinite(_numbers(line.y)).any()]
    if not usable:
        return ""
    with _page_style() as plt:
        sheet, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        for number, line in enumerate(usable):
            colour, y = COLOURS[number % len(COLOURS)], _numbers(line.y)
            look = {"drawstyle": "steps-post"} if line.steps else {"marker": "o", "ms": 3}
            axis.plot(line.x, y, "--" if line.dashed else "-", color=colour, lw=2, label=line.name, **look)
            if line.band is not None:
                low, high = np.array([_numbers(pair) for pair in line.band]).T
                axis.fill_between(line.x, low, high, color=colour, alpha=0.2, lw=0)
        axis.set(xlabel=x_label, ylabel=y_label)
        if len(usable) > 1:
            columns = 4 if max(len(line.name) for line in usable) < 16 else 2
            sheet.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=10)
        return _svg(sheet)


def figure(caption: str, lines: Sequence[Curve], x_label: str, y_label: str) -> dict[str, str]:
    """`curves` with a caption, for the template's macro of that name."""
    return {"source": curves(lines, x_label, y_label), "caption": caption}


def traces(
    values: Float[np.ndarray, "T n"], other: Float[np.ndarray, "T n"] | None, names: Sequence[str], rate: float
) -> str:
    """A small plot per dimension (`SHOWN` at most) over time, ``rate`` steps a second: a ``data:`` address."""
    count = min(values.shape[1], SHOWN)
    columns = min(count, 4)
    rows = -(-count // columns)
    shape = {"figsize": (2.3 * columns + 0.3, 1.25 * rows + 0.35), "squeeze": False, "sharex": True}
    with _page_style() as plt:
        sheet, axes = plt.subplots(rows, columns, layout="constrained", **shape)
        seconds = np.arange(len(values)) / rate
        for number, axis in enumerate(axes.flat):
            if number >= count:
                axis.set_visible(False)
                continue
            for part, style in ((other, {"ls": "--", "color": COLOURS[1]}), (values, {"color": COLOURS[0]})):
                if part is not None:
                    (line,) = axis.plot(seconds, _numbers(part[:, number]), lw=1.1, **style)
                    line.set_gid("curve")
            axis.set_title(names[number], fontsize=8, color=INK, pad=2)
            axis.tick_params(labelsize=7)
        sheet.supxlabel("seconds", fontsize=8, color=INK)
        return _svg(sheet)


def panels(rows: int, columns: int, size: tuple[float, float], **more: Any) -> tuple[Any, Any]:
    """A figure for a file and its axes (rows, columns); ``size``: inches of the figure, ``more`` for ``subplots``."""
    plt = pyplot()
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **more)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.set_prop_cycle(color=COLOURS)
    return figure, axes


def save(figure: Any, path: Path, legend: int = 0, dpi: int = 100, comment: str = "") -> str:
    """Write a figure as PNG without a date, close it, return its name; ``legend``: columns of one under all panels."""
    share = 0.0
    if legend:
        pairs = (zip(*axis.get_legend_handles_labels(), strict=True) for axis in figure.axes)
        handles = {label: line for axis in pairs for line, label in axis}
        share = min(0.35, -(-len(handles) // legend) * 0.25 / figure.get_figheight())
        figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=legend, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, share, 1, 1))
    figure.savefig(path, dpi=dpi, metadata={"Software": None, "Comment": comment or None})
    pyplot().close(figure)
    return path.name


def pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


@contextmanager
def _page_style() -> Iterator[Any]:
    """pyplot with the look of plots inside pages."""
    plt = pyplot()
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK)
    spines = dict.fromkeys(("axes.spines.top", "axes.spines.right"), False)
    look = {"font.family": "sans-serif", "font.size": 11, "axes.grid": True, "grid.color": INK, "grid.alpha": 0.2}
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "worldmodel", **ink, **spines, **look}):
        yield plt


def _svg(figure: Any) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    pyplot().close(figure)
    return data_url("image/svg+xml", file.getvalue())


def _numbers(values: Any) -> np.ndarray:
    """JSON's null as NaN; infinities, which no axis can hold, too."""
    found = np.array([np.nan if value is None else float(value) for value in values])
    return np.where(np.isinf(found), np.nan, found)
