"""What a run tells about itself: a line of JSON per interval, a plot, and a tracker where asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

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
        self.clock, self.samples = time.perf_counter(), 0

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
        row["samples_per_second"] = round(self.samples / max(seconds, 1e-9), 1)
        row |= {name: round(float(np.mean([float(v) for v in values])), 5) for name, values in self.sums.items()}
        row |= extra
        self.write(row)
        self.sums, self.samples, self.clock = {}, 0, time.perf_counter()
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
        """Losses, and closed-loop success where there is some, against steps."""
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        losses = sorted({name for row in self.rows for name in row if "/" in name and "validation/" not in name})
        examined = [row for row in self.rows if "validation/success_rate" in row]
        figure, axes = plt.subplots(1, 2 if examined else 1, figsize=(10 if examined else 6, 4), squeeze=False)
        for name in losses:
            points = [(row["step"], row[name]) for row in self.rows if name in row]
            axes[0][0].plot(*zip(*points, strict=True), lw=1, label=name)
        axes[0][0].set(xlabel="step", ylabel="loss")
        if examined:
            steps, rates = ([row[key] for row in examined] for key in ("step", "validation/success_rate"))
            low, high = ([row[f"validation/{key}"] for row in examined] for key in ("low", "high"))
            gaps = [np.subtract(rates, low).clip(0), np.subtract(high, rates).clip(0)]
            axes[0][1].errorbar(steps, rates, yerr=gaps, marker="o", capsize=3, label="closed loop, 95 % Wilson")
            axes[0][1].set(xlabel="step", ylabel="success rate on validation starts", ylim=(0, 1.03))
        for axis in axes[0]:
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize=7)
        axes[0][0].set_yscale("log")
        figure.tight_layout()
        figure.savefig(self.plot_path, dpi=110)
        plt.close(figure)


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
