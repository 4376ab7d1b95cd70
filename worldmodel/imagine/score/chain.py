"""Frames imagined as far ahead as wanted: within one chunk in pairs of moments, beyond it by chaining chunks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.model import Given, WorldModel


def in_pairs(model: WorldModel, given: Given, ahead: np.ndarray, steps: int, noise: torch.Generator) -> Tensor:
    """Frames ``ahead`` (K,) control steps after the observation, uint8 (B, K, C, H, W, 3).

    Two moments at a time, as in training; the last one is asked twice where their number is odd.
    """
    batch, count = len(given.state), len(ahead)
    even = np.append(ahead, ahead[-1:]) if count % 2 else ahead
    at = torch.as_tensor(np.tile(even, (batch, 1))).reshape(batch * len(even) // 2, 2)
    frames = model.imagine(given, at, steps, generator=noise)
    return frames.reshape(batch, len(even), *frames.shape[2:])[:, :count]


def chained(
    model: WorldModel,
    clips: Clips,
    windows: np.ndarray,
    ahead: np.ndarray,
    actions: bool,
    sampling: tuple[int, torch.Generator],
) -> Tensor:
    """Frames ``ahead`` (K,), ascending, of the windows' observations, uint8 (B, K, C, H, W, 3).

    The frame imagined at a chunk's end is the observation of the next. With ``actions`` the model is given those that
    were executed, and each chunk's state as recorded; without, it is in video mode and keeps the first state.
    """
    horizon, reach = model.config.horizon, int(ahead[-1])
    last = windows + clips.end[windows] - 1 - clips.time[windows]
    first = clips.gather(windows).map(torch.as_tensor)
    images, out = first.images, []
    for begin in range(0, reach, horizon):
        clip = first if begin == 0 else clips.gather(np.minimum(windows + begin, last)).map(torch.as_tensor)
        state = clip.state if actions else first.state
        given = Given(images, state, clip.task, clip.executed if actions else None, more=clip.more)
        wanted = ahead[(ahead > begin) & (ahead <= begin + horizon)] - begin
        asked = wanted if begin + horizon >= reach else np.union1d(wanted, [horizon])
        frames = in_pairs(model, given, asked, *sampling)
        out.append(frames[:, np.isin(asked, wanted)])
        images = frames[:, -1]
    return torch.cat(out, dim=1)
