"""What a run tells about itself: a line of JSON per interval, a plot, and a tracker where asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

COSINES = ("align", "external", "mean_direction", "identity", "disperse")
RATIOS = ("asymmetry", "gradient_ratio")
"""Metrics of representation losses: no losses to put on a logarithmic axis (see `worldmodel.train.diagnostics`)."""

STYLES = {"align": "-", "mean_direction": "--", "identity": ":", "gradient_ratio": "-", "asymmetry": "--"}
"""Lines of metrics that are read beside one another; their colours are the modes'."""

type Track = Callable[[Mapping[str, float], int], None]


class Log:
    """Means of metrics between two lines, appended to ``metrics.jsonl`` and plotted to ``metrics.png``.

    Lines after the step that a run resumes from are dropped, so that the log never tells a step twice.
    """

    def __init__(self, folder: Path, step: int, track: Track | None = None) -> None:
        self.path, self.plot_path, self.track = folder / "metrics.jsonl", folder / "metrics.png", track
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows = [row for row in map(_parse, lines) if row and row["step"] <= step]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.sums: dict[str, list[Any]] = {}
        self.clock, self.work, self.samples = time.perf_counter(), time.process_time(), 0

    def add(self, mode: str, losses: Mapping[str, Any], norm: Any, samples: int) -> None:
        """Note one step's losses (tensors or floats) and its gradient norm."""
        for name, value in losses.items():
            if name != "loss":
                self.sums.setdefault(f"{mode}/{name}", []).append(value.detach())
        self.sums.setdefault("gradient", []).append(norm.detach())
        self.samples += samples

    def flush(self, step: int, extra: Mapping[str, float]) -> dict[str, float]:
        """Write the means since the last flush as one line; returns them."""
        seconds = time.perf_counter() - self.clock
        row: dict[str, float] = {"step": step, "seconds": round(seconds, 2)}
        work = time.process_time() - self.work  # of all threads: what contention does not change
        row["cpu_seconds"] = round(work, 2)
        row["samples_per_second"] = round(self.samples / max(seconds, 1e-9), 1)
        row |= {name: round(float(np.mean([float(v) for v in values])), 5) for name, values in self.sums.items()}
        row |= extra
        self.write(row)
        self.sums, self.samples = {}, 0
        self.clock, self.work = time.perf_counter(), time.process_time()
        return row

    def write(self, row: dict[str, float]) -> None:
        """Append a line."""
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.track is not None:
            self.track(row, int(row["step"]))

    def seconds(self) -> float:
        """Wall-clock seconds of training so far, over all resumes."""
        return round(sum(row.get("seconds", 0.0) for row in self.rows), 1)

    def plot(self) -> None:
        """Losses, closed-loop success where there is some, and below them what tells of a representation loss."""
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        names = sorted({name for row in self.rows for name in row if "/" in name and "validation/" not in name})
        told = [name for name in names if name.split("/")[1] in COSINES + RATIOS]
        examined = [row for row in self.rows if "validation/success_rate" in row]
        lines, columns = 1 + bool(told), 1 + bool(told or examined)
        figure, axes = plt.subplots(lines, columns, figsize=(2 + 4 * columns, 4 * lines), squeeze=False)
        self._curves(axes[0][0], [name for name in names if name not in told])
        axes[0][0].set(xlabel="step", ylabel="loss", yscale="log")
        if examined:
            _draw_success(axes[0][1], examined)
        elif told:
            axes[0][1].set_visible(False)
        if told:
            self._curves(axes[1][0], [name for name in told if name.split("/")[1] in COSINES])
            axes[1][0].set(xlabel="step", ylabel="representation: cosines, log dispersion")
            self._curves(axes[1][1], [*(name for name in told if name.split("/")[1] in RATIOS), "ema_drift"])
            axes[1][1].set(xlabel="step", ylabel="ratio", yscale="log")
        for axis in axes.flat:
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(self.plot_path, dpi=110)
        plt.close(figure)

    def _curves(self, axis: Any, names: Sequence[str]) -> None:
        """One curve per metric against steps; alignments as cosines, so with the loss's sign turned."""
        modes = sorted({name.partition("/")[0] for name in names})
        for name in names:
            mode, _, kind = name.partition("/")
            turned = kind in ("align", "external")
            points = [(row["step"], -row[name] if turned else row[name]) for row in self.rows if name in row]
            style = {"ls": STYLES[kind], "color": f"C{modes.index(mode)}"} if kind in STYLES else {}
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


def tracker(kind: str, folder: Path, config: Mapping[str, Any]) -> Track | None:
    """A function that sends a line of metrics to TensorBoard or Weights & Biases; None for the local log alone.

    Raises ValueError where the package is not installed.
    """
    if kind == "none":
        return None
    try:
        if kind == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"))

            def to_tensorboard(row: Mapping[str, float], step: int) -> None:
                for name, value in row.items():
                    writer.add_scalar(name, value, step)

            return to_tensorboard
        import wandb
    except ImportError:
        message = f"log.tracker={kind} needs a package that is not installed: pip install 'worldmodel[track]'"
        raise ValueError(message) from None
    try:
        run = wandb.init(project="worldmodel", dir=str(folder), config=dict(config), resume="allow")
    except wandb.Error as error:
        raise ValueError(
            f"log.tracker=wandb: {error}; or set WANDB_MODE=offline to log into the run's folder"
        ) from None
    return lambda row, step: run.log(dict(row), step=step)


def say(text: str) -> None:
    """A line for the person watching."""
    Console(stderr=True).print(text, highlight=False)


def _parse(line: str) -> dict[str, Any] | None:
    """A row of the log; None for a line cut short by a crash."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
