"""Frames imagined further ahead than one chunk: the frame at a chunk's end is the observation of the next."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.model import Given, WorldModel
from worldmodel.model.ahead import frames_ahead


def autoregressive(
    model: WorldModel,
    clips: Clips,
    windows: Int[np.ndarray, " B"],
    ahead: Int[np.ndarray, " K"],
    actions: bool,
    sampling: tuple[int, torch.Generator],
) -> UInt8[Tensor, "B K C H W 3"]:
    """Frames ``ahead`` control steps (ascending, from 1) after the windows' observations.

    With ``actions`` the model is given those that were executed, and each chunk's state as recorded; without, it is in
    video mode and keeps the first state. ``sampling``: steps and generator.
    """
    chunk_size, reach = model.config.chunk_size, int(ahead[-1])
    last = windows + clips.end[windows] - 1 - clips.time[windows]
    first = clips.gather(windows).map(torch.as_tensor)
    images, out = first.images, []
    for begin in range(0, reach, chunk_size):
        clip = first if begin == 0 else clips.gather(np.minimum(windows + begin, last)).map(torch.as_tensor)
        state = clip.state if actions else first.state
        given = Given(images, state, clip.task, clip.executed if actions else None, more=clip.more)
        wanted = ahead[(ahead > begin) & (ahead <= begin + chunk_size)] - begin
        asked = wanted if begin + chunk_size >= reach else np.union1d(wanted, [chunk_size])
        frames = frames_ahead(model, given, torch.as_tensor(asked), *sampling)
        out.append(frames[:, np.isin(asked, wanted)])
        images = frames[:, -1]
    return torch.cat(out, dim=1)
