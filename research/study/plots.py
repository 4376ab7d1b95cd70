"""The report's plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from research.study.arms import ARMS
from worldmodel.report.plots import panels, save

type Record = Mapping[str, Any]


def draw(found: Record, folder: Path) -> list[str]:
    """Draw every plot that there are values for into ``folder``; returns the files' names."""
    import matplotlib

    colours = [matplotlib.colormaps[name](n) for name in ("tab10", "Dark2", "Set2") for n in range(8)]
    order = list(dict.fromkeys([*ARMS, *found["arms"]]))  # an arm has one colour in all reports
    look = {arm: {"color": colours[order.index(arm) % len(colours)], "label": arm} for arm in found["arms"]}
    drawn = []
    if found["success"]:
        drawn.append(_success(found, look, folder / "success.png"))
    for size in found["demonstrations"]:
        records = [one for one in found["curves"] if one["demonstrations"] == size]
        drawn.append(_curves(records, look, folder / f"curves-{size}.png"))
    if found["imagination"]:
        drawn.append(_imagination(found, look, folder / "imagination.png"))
    if found["probe"]:
        drawn.append(_probes(found, look, folder / "probes.png"))
    if found["diagnostics"]:
        drawn.append(_diagnostics(found, look, folder / "diagnostics.png"))
    return drawn


def _panels(columns: int, rows: int = 1) -> tuple[Any, Any]:
    return panels(rows, columns, (min(4.2 * columns, 13), 3.4 * rows))


def _save(figure: Any, path: Path) -> str:
    """One legend for all panels, under them."""
    return save(figure, path, legend=min(6, max(2, int(figure.get_figwidth() / 1.7))), dpi=90)


def _success(found: Record, look: Record, path: Path) -> str:
    """Success against demonstrations, one panel per perturbation."""
    kinds = list(dict.fromkeys(one["under"] for one in found["success"]))
    figure, axes = _panels(len(kinds))
    for axis, kind in zip(axes[0], kinds, strict=True):
        for number, arm in enumerate(found["arms"]):
            mine = [one for one in found["success"] if one["arm"] == arm and one["under"] == kind]
            rates = np.array([one["successes"] / one["episodes"] for one in mine])
            ends = np.array([one["interval"] for one in mine]).reshape(-1, 2)
            shift = 1 + 0.02 * (number - len(found["arms"]) / 2)  # so that intervals do not hide one another
            x = [one["demonstrations"] * shift for one in mine]
            gaps = [rates - ends[:, 0], ends[:, 1] - rates]
            axis.errorbar(x, rates, yerr=np.clip(gaps, 0, 1), marker="o", ms=4, capsize=2, lw=1.2, **look[arm])
        axis.set(xscale="log", ylim=(-0.02, 1.02), xlabel="demonstrations", ylabel="success rate")
        axis.set_xticks(found["demonstrations"], list(map(str, found["demonstrations"])))
        axis.set_xticks([], minor=True)
        axis.set_title("as recorded" if kind == "none" else kind, fontsize=10)
    return _save(figure, path)


def _curves(records: Sequence[Record], look: Record, path: Path) -> str:
    """Success and held-out losses against steps (above) and processor seconds (below)."""
    names = list(dict.fromkeys(name for one in records for name in one["held_out"]))
    figure, axes = _panels(1 + len(names), 2)
    clocks = (("step", "training steps"), ("cpu_seconds", "processor seconds"))
    for line, (key, label) in zip(axes, clocks, strict=True):
        for arm, style in look.items():
            mine = [one for one in records if one["arm"] == arm and one[key] is not None]
            line[0].plot([one[key] for one in mine], [one["success"] for one in mine], "o-", ms=3, **style)
            for axis, name in zip(line[1:], names, strict=True):
                points = [(one[key], one["held_out"][name]) for one in mine if one["held_out"].get(name) is not None]
                # A regression's loss is in other units than a flow's
                if points and not (name == "policy" and arm in ("regression", "mip")):
                    axis.plot(*zip(*points, strict=True), "o-", ms=3, **style)
        line[0].set(xlabel=label, ylabel="success on the curve's starts", ylim=(-0.02, 1.02))
        for axis, name in zip(line[1:], names, strict=True):
            axis.set(xlabel=label, ylabel=f"held-out loss, {name}")
    return _save(figure, path)


def _imagination(found: Record, look: Record, path: Path) -> str:
    """Decibels above the copy-last-frame baseline, against steps ahead."""
    sizes = list(dict.fromkeys(one["demonstrations"] for one in found["imagination"]))
    figure, axes = _panels(len(sizes))
    for axis, size in zip(axes[0], sizes, strict=True):
        for one in found["imagination"]:
            if one["demonstrations"] == size:
                gain = np.subtract(one["imagined"], one["copy_last_frame"])
                axis.plot(range(1, len(gain) + 1), gain, "o-", ms=3, **look[one["arm"]])
        axis.set(xlabel="control steps ahead", ylabel="dB above copy-last-frame baseline")
        axis.set_title(f"{size} demonstrations", fontsize=10)
    return _save(figure, path)


def _probes(found: Record, look: Record, path: Path) -> str:
    """Scores by block at the largest size: targets across, kinds of features down."""
    size = max(one["demonstrations"] for one in found["probe"])
    mine = [one for one in found["probe"] if one["demonstrations"] == size]
    targets = list(dict.fromkeys(one["target"] for one in mine))
    kinds = list(dict.fromkeys(kind for one in mine for kind in one["layers"]))
    figure, axes = _panels(len(targets), len(kinds))
    for line, kind in zip(axes, kinds, strict=True):
        for axis, target in zip(line, targets, strict=True):
            for one in mine:
                if one["target"] == target and (scores := one["layers"].get(kind)):
                    axis.plot([int(block) for block in scores], list(scores.values()), "o-", ms=3, **look[one["arm"]])
            axis.set(xlabel="after block", ylabel="score")
            axis.set_title(f"{target}\n{kind}", fontsize=8)
    return _save(figure, path)


def _diagnostics(found: Record, look: Record, path: Path) -> str:
    """Cosine to the teacher beside the mean direction's (dashed), and the other terms, at the largest size."""
    size = max(one["demonstrations"] for one in found["diagnostics"])
    mine = [one for one in found["diagnostics"] if one["demonstrations"] == size]
    others = [name for name in dict.fromkeys(one["what"] for one in mine) if name not in ("align", "mean_direction")]
    figure, axes = _panels(1 + len(others))
    for one in mine:
        steps, values = np.array(one["curve"]).T
        style = look[one["arm"]]
        if one["what"] == "align":
            axes[0][0].plot(steps, -values, **style)
        elif one["what"] == "mean_direction":
            axes[0][0].plot(steps, values, ls="--", color=style["color"])
        else:
            axes[0][1 + others.index(one["what"])].plot(steps, values, **style)
    axes[0][0].set(xlabel="training steps", ylabel="cosine (dashed: mean direction)")
    for axis, name in zip(axes[0][1:], others, strict=True):
        axis.set(xlabel="training steps", ylabel=name)
    return _save(figure, path)
