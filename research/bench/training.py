"""Training samples per second, measured through `worldmodel train` itself."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from worldmodel.settings import load
from worldmodel.train import TrainConfig, train

EVERY, WARM = 10, 2
"""Steps in one interval of the log, and how many intervals are left out: they pay for compiling."""


def train_speed(data: Path, out: Path, steps: int = 120) -> dict[str, Any]:
    """Samples per second of the `tiny` model in policy mode: loading, augmentation, forward, backward and update."""
    sizes = ["model=tiny", f"steps={steps}", f"save_every={steps}", f"log.every={EVERY}"]
    sizes += ["holdout=0", "validation.every=0"]
    modes = ["modes.policy=1", *(f"modes.{mode}=0" for mode in ("joint", "forward", "inverse", "video"))]
    config = load("train", TrainConfig, [f"data={data}", f"out={out}", "device=cpu", *sizes, *modes])
    train(config)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    speeds = [row["samples_per_second"] for row in rows if "samples_per_second" in row][WARM:]
    if not speeds:
        raise ValueError(f"steps={steps}: expected at least {EVERY * (WARM + 1)}, the first of which only compile")
    return {
        "samples_per_second": round(statistics.median(speeds), 1),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "batch": config.batch,
        "model": "tiny",
        "compiled": config.compile,
    }
