"""What a checkpoint's imagination predicts: one step after real frames, and freely driven beside the simulator."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.data.clips import Clips
from worldmodel.imagine.config import ImagineConfig
from worldmodel.imagine.fidelity import moving
from worldmodel.imagine.image_metrics import CAP, psnr
from worldmodel.imagine.modes import open_clips
from worldmodel.imagine.rollout import real_frames, recorded_actions, roll_out
from worldmodel.model import WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.report.bootstrap import ClusterBootstrap
from worldmodel.schema import EXECUTED, STATE
from worldmodel.sims.can.tasks import shows_can

BATCH = 16


def load(name: str) -> WorldModel:
    """The checkpoint's model, ready to imagine."""
    return checkpoint.load(name).eval().compute_in(fast_dtype("cpu"))


def firsts(clips: Clips, length: int) -> np.ndarray:
    """The first window of every episode of at least ``length`` steps."""
    return np.flatnonzero((clips.time == clips.begin) & (clips.end - clips.begin >= length))


@torch.no_grad()
def one_step(model: WorldModel, data: str, episodes: int, length: int = 40) -> dict[str, Any]:
    """PSNR of moving pixels one step after real frames, earlier ones real too: [value, low, high] over episodes."""
    clips = open_clips(model.config, data)
    windows = firsts(clips, length + 1)[:episodes]
    led = recorded_actions(clips, windows, length)
    actions = torch.as_tensor(np.asarray(clips.stores[0].array(EXECUTED).take(led.steps), np.float32))
    errors, copied, pixels = (np.zeros(len(windows)) for _ in range(3))
    for first in range(0, len(windows), BATCH):
        rows = slice(first, first + BATCH)
        begins = led.begins[rows]
        rollout = ImaginedRollout(model, len(begins), 1)

        def state(at: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.asarray(clips.stores[0].array(STATE).take(at), np.float32))

        before = real_frames(clips, begins)
        rollout.begin(torch.as_tensor(before), state(begins))
        for t in range(length):
            imagined, _ = rollout.step(actions[rows, t])
            after = real_frames(clips, begins + t + 1)
            mask = moving(before, after)
            for total, guess in ((errors, imagined.numpy()), (copied, before)):
                total[rows] += (np.square(guess.astype(np.float64) - after).mean(-1) * mask).sum((1, 2, 3))
            pixels[rows] += mask.sum((1, 2, 3))
            rollout.observe(torch.as_tensor(after), state(begins + t + 1))
            before = after
    resampled = ClusterBootstrap(np.arange(len(windows)), 1000, seed=0)

    def decibels(top: np.ndarray) -> list[float]:
        value, drawn = resampled.ratio(top, pixels)
        low, high = resampled.interval(drawn)
        return [round(float(psnr(number, CAP)), 2) for number in (float(value), high, low)]

    return {"n": len(windows), "steps": length, "moving_db": decibels(errors), "copied_db": decibels(copied)}


def free_driving(model: WorldModel, data: str, courses: int, length: int = 200, steps: int = 2) -> dict[str, Any]:
    """Rollouts of the first ``courses`` episodes' actions beside the simulator; see `worldmodel.imagine.fidelity`."""
    from worldmodel.imagine.fidelity import summary

    clips = open_clips(model.config, data)
    windows = firsts(clips, min(length, 100))[:courses]
    config = ImagineConfig("rollout", data, length=length, simulate=True, steps=steps)
    parts = [
        roll_out(model, clips, windows[first : first + BATCH], config, 0, shows_can)
        for first in range(0, len(windows), BATCH)
    ]
    return summary({horizon: [part.compared[horizon] for part in parts] for horizon in parts[0].compared})


def name_of(path: str) -> str:
    """A store's folder, for a report."""
    return Path(path).name
