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

        names = sorted({name for row in self.rows for name in row if "/" in name})
        losses = [name for name in names if not name.startswith("validation/")]
        success = [name for name in names if name.startswith("validation/") and name.endswith("success_rate")]
        figure, axes = plt.subplots(1, 2 if success else 1, figsize=(10 if success else 6, 4), squeeze=False)
        for axis, chosen, label in zip(axes[0], (losses, success), ("loss", "success rate"), strict=False):
            for name in chosen:
                points = [(row["step"], row[name]) for row in self.rows if name in row]
                axis.plot(*zip(*points, strict=True), marker="o" if name in success else None, ms=3, lw=1, label=name)
            axis.set(xlabel="step", ylabel=label)
            axis.grid(alpha=0.3)
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

        run = wandb.init(project="worldmodel", dir=str(folder), config=dict(config), resume="allow")
        return lambda row, step: run.log(dict(row), step=step)
    except ImportError:
        message = f"log.tracker={kind} needs a package that is not installed: pip install 'worldmodel[track]'"
        raise ValueError(message) from None


def say(text: str) -> None:
    """A line for the person watching."""
    Console(stderr=True).print(text, highlight=False)


def _parse(line: str) -> dict[str, Any] | None:
    """A row of the log; None for a line cut short by a crash."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
