"""What a training step of each objective costs beside plain flow matching: same model, same batch, taken in turns."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.settings import load
from worldmodel.train import TrainConfig
from worldmodel.train.optimiser import average
from worldmodel.train.setup import Run, prepare
from worldmodel.train.step import Loss, losses

KINDS = ("flow", "dual", "sra", "self_flow", "separated", "dispersive", "frame")
MODE = "joint"
"""Frames and actions wanted: the mode in which every objective computes all of its parts."""


def compare_objectives(data: Path, out: Path, rounds: int = 5, batch: int = 32) -> dict[str, Any]:
    """Seconds of a whole step (loss, gradient, update, average) per objective, and its ratio to flow matching's.

    Medians over ``rounds`` of one step each, so that a busy machine slows all alike; the first round is left out.
    cpu_seconds: of the processor, summed over threads.
    """
    runs = {kind: training_run(kind, data, out / kind, batch) for kind in KINDS}
    wall: dict[str, list[float]] = {kind: [] for kind in KINDS}
    work: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds + 1):
        for kind, (run, loss) in runs.items():
            began, busy = time.perf_counter(), time.process_time()
            one_step(run, loss, number)
            wall[kind].append(time.perf_counter() - began)
            work[kind].append(time.process_time() - busy)
    found = {}
    for kind in KINDS:
        ratios = [mine / plain for mine, plain in zip(work[kind][1:], work["flow"][1:], strict=True)]
        found[kind] = {
            "seconds": round(statistics.median(wall[kind][1:]), 4),
            "cpu_seconds": round(statistics.median(work[kind][1:]), 4),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        }
    return {"mode": MODE, "model": "tiny", "batch": batch, "rounds": rounds, "objectives": found}


def training_run(kind: str, data: Path, out: Path, batch: int) -> tuple[Run, Loss]:
    """A run of the `tiny` model, uncompiled, and its loss."""
    words = [f"data={data}", f"out={out}", "model=tiny", f"batch={batch}", "holdout=0", "compile=false", "device=cpu"]
    config = load("train", TrainConfig, [*words, f"objective.name={kind}"])
    run = prepare(config)
    return run, losses(run.learner.model, run.learner.ema, config)[1]


def one_step(run: Run, loss: Loss, number: int, mode: str = MODE) -> None:
    """One step of the training loop, in the chosen mode."""
    batches, learner, config = run.batches, run.learner, run.config
    windows = batches.clips.order(number, config.batch, config.seed)
    clip = batches.clip(windows, mode, np.random.default_rng(number))
    loss(clip, mode, batches.noise(mode, len(clip.state), number))["loss"].backward()
    learner.optimiser.update(number)
    average(learner.ema, learner.model, number, config.optimiser.ema)
