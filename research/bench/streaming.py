"""How many frames a second a stream imagines, by size of the model, sampling steps, device and threads."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from worldmodel.backbone import fast_dtype
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.settings import load
from worldmodel.train import TrainConfig

SIZES, STEPS, WINDOW, WARM = ("nano", "tiny", "small"), (1, 2, 4), 4, 6
"""Sizes and sampling steps that are timed; window of past frames, and untimed frames."""
FRAME = 96
"""Side of the frames; there are two cameras, as in our envs."""


def stream_speed(threads: int, frames: int = 40) -> dict[str, Any]:
    """Frames per second (all cameras of a time step are one frame) with 1 and ``threads`` threads, and on a GPU if any.

    One rollout, the median of ``frames`` steps until the frames are in host memory, with random weights.
    """
    before, rows = torch.get_num_threads(), []
    counts = sorted({1, threads})
    try:
        for size in SIZES:
            for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
                model = _model(size, device)
                for count in counts if device == "cpu" else counts[:1]:
                    torch.set_num_threads(count)
                    head = {"size": size, "device": device, "threads": count}
                    rows += [head | _time(model, steps, frames) for steps in STEPS]
    finally:
        torch.set_num_threads(before)
    return {"cameras": 2, "frame": FRAME, "window": WINDOW, "rows": rows}


def _model(size: str, device: str) -> WorldModel:
    backbone = load("train", TrainConfig, ["data=x", "out=x", f"model={size}"]).backbone
    torch.manual_seed(0)
    model = WorldModel(ModelConfig(backbone=backbone, size=FRAME, window=WINDOW)).eval()
    return model.to(device).compute_in(fast_dtype(device))


def _time(model: WorldModel, steps: int, frames: int) -> dict[str, Any]:
    """Median and 95th percentile milliseconds of a step, frames per second, and the processor's own time."""
    config, stream = model.config, ImaginedRollout(model, 1, steps)
    generator = torch.Generator().manual_seed(0)
    shape = (1, len(config.cameras), config.size, config.size, 3)
    stream.begin(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), torch.zeros(1, config.state_dim))
    action, wall, work = torch.zeros(1, config.action_dim), [], []
    for _ in range(WARM + frames):
        began, busy = time.perf_counter(), time.process_time()
        stream.step(action)[0].cpu()
        wall.append(1000 * (time.perf_counter() - began))
        work.append(1000 * (time.process_time() - busy))
    wall, work = sorted(wall[WARM:]), sorted(work[WARM:])
    middle = statistics.median(wall)
    return {
        "steps": steps,
        "frames_per_second": round(1000 / middle, 1),
        "p50_ms": round(middle, 2),
        "p95_ms": round(wall[int(0.95 * (len(wall) - 1))], 2),
        "cpu_ms": round(statistics.median(work), 2),
    }


def table(found: dict[str, Any]) -> str:
    """The figures in lines of columns, below one another."""
    head = f"{'size':6}{'device':>7}{'threads':>8}{'steps':>7}{'frames/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'cpu ms':>9}"
    lines = [
        f"{row['size']:6}{row['device']:>7}{row['threads']:8}{row['steps']:7}{row['frames_per_second']:10.1f}"
        f"{row['p50_ms']:9.1f}{row['p95_ms']:9.1f}{row['cpu_ms']:9.1f}"
        for row in found["rows"]
    ]
    return "\n".join(["frames of two cameras imagined by a stream", head, *lines])
