"""What a run writes about itself: a line of JSON per interval, sent to a tracker as well where one is chosen."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from worldmodel.files import read_json_lines, write_file

type Track = Callable[[Mapping[str, float], int], None]


class Log:
    """Means of metrics between two lines, appended to ``metrics.jsonl``.

    Lines after the step that a run resumes from are dropped, so that no step is logged twice.
    """

    def __init__(self, folder: Path, step: int, track: Track | None = None) -> None:
        self.path, self.track = folder / "metrics.jsonl", track
        self.rows = [row for row, _ in read_json_lines(self.path) if row["step"] <= step]
        write_file(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
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
        work = time.process_time() - self.work  # of all threads: what contention does not change
        speed = round(self.samples / max(seconds, 1e-9), 1)
        row = {"step": step, "seconds": round(seconds, 2), "cpu_seconds": round(work, 2), "samples_per_second": speed}
        row |= {name: round(float(np.mean([float(v) for v in values])), 5) for name, values in self.sums.items()}
        self.write({**row, **extra})
        self.sums, self.samples = {}, 0
        self.clock, self.work = time.perf_counter(), time.process_time()
        return self.rows[-1]

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


def say(text: str) -> None:
    """A line for the person watching."""
    Console(stderr=True).print(text, highlight=False)


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
        message = f"log.tracker=wandb: {error}; or set WANDB_MODE=offline to log into the run's folder"
        raise ValueError(message) from None
    return lambda row, step: run.log(dict(row), step=step)
