"""Inverse dynamics: the actions between frames, from frames that were recorded or imagined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.model import Given, Want, WorldModel
from worldmodel.schema import Clip

READING = 1
"""Sampling steps. What was done has one answer, whose mean given the frames is what one step gives; more steps sample
from what remains open (shipped model, mixed data: 4.7 mm, 5.3 with 2)."""


@torch.no_grad()
def read_actions(model: WorldModel, clip: Clip, generator: torch.Generator | None = None) -> Float[Tensor, "B H A"]:
    """The chunks, in physical units, that lead from a clip's observations to its later frames ``clip.future``."""
    given = Given(clip.images, clip.state, clip.task, None, clip.future, clip.at, clip.more)
    actions = model.predict(given, Want(actions=True), READING, generator=generator).actions
    assert actions is not None
    return actions.float()


def read_pairs(model: WorldModel, clip: Clip, generator: torch.Generator) -> Float[Tensor, "B H A"]:
    """Each action of the chunk from the real frame after it, two frames at a time; ``clip.future`` holds all H."""
    out = torch.empty(clip.action.shape)
    for first in [*range(0, len(out[0]) - 2, 2), max(0, len(out[0]) - 2)]:
        two = slice(first, first + 2)
        pair = replace(clip, future=clip.future[:, two], at=clip.at[:, two])
        out[:, two] = read_actions(model, pair, generator)[:, two]
    return out


def read_along(
    model: WorldModel, clips: Clips, windows: np.ndarray, generator: torch.Generator
) -> Float[Tensor, "B H A"]:
    """Each action of these windows' chunks from the frames just before and after it: labels for frames and states."""
    chunk_size, left = model.config.chunk_size, clips.end[windows] - 1 - clips.time[windows]
    out = torch.zeros(len(windows), chunk_size, model.config.action_dim)
    for step in range(chunk_size):
        clip = clips.gather(windows + np.minimum(step, left), np.tile([1, 2], (len(windows), 1)), done=True)
        out[:, step] = read_actions(model, clip.map(torch.as_tensor), generator)[:, 0]
    return out


def position_error(
    guess: Float[np.ndarray, "B H A"], real: Float[np.ndarray, "B H A"], relative: int
) -> Float[np.ndarray, "B H"]:
    """Distance between target positions: the first three dimensions, fewer where fewer are ``relative`` to a state."""
    many = min(3, relative)
    return np.asarray(np.linalg.norm(guess[..., :many] - real[..., :many], axis=-1))
