"""What a model makes of actions: which it would take, which it reads out of frames, whether it heeds those given."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldmodel.data.clips import Clips
from worldmodel.imagine.score.chain import in_pairs
from worldmodel.imagine.score.likeness import squared
from worldmodel.model import Given, Want, WorldModel
from worldmodel.schema import Clip

type Sampling = tuple[int, torch.Generator]

READING = 1
"""Sampling steps in which actions are read out of frames. What was done has one answer, whose mean given the frames is
what one step tells; more steps draw from what remains open (shipped model, mixed data: 4.7 mm, 5.3 with 2)."""


def chunks(model: WorldModel, clip: Clip, sampling: Sampling) -> np.ndarray:
    """The chunks that the model would act, float32 (B, H, A)."""
    given = Given(clip.images, clip.state, clip.task, more=clip.more)
    return np.asarray(model.act(given, sampling[0], generator=sampling[1]).float().numpy())


def staying(model: WorldModel, clip: Clip, mean: np.ndarray) -> np.ndarray:
    """Chunks of one who holds the observed state, and the mean of dimensions that are no targets."""
    still = model.actions.origin(clip.state).numpy().copy()
    still[..., model.config.relative :] = mean[model.config.relative :]
    return np.broadcast_to(still, clip.action.shape)


def inverse(model: WorldModel, clip: Clip, at: np.ndarray, sampling: Sampling, imagined: bool) -> dict[str, np.ndarray]:
    """Actions read out of two later frames, at control steps ``at`` (2,): float32 (B, H, A) each.

    "real": out of the recorded ones (``clip.future``). "imagined", where asked for: out of those that the model
    imagined under the executed actions.
    """
    when = torch.as_tensor(np.tile(at, (len(clip.state), 1)))

    def ask(frames: Tensor) -> np.ndarray:
        given = Given(clip.images, clip.state, clip.task, None, frames, when, clip.more)
        actions = model.predict(given, Want(actions=True), READING, generator=sampling[1]).actions
        assert actions is not None
        return np.asarray(actions.float().numpy())

    found = {"real": ask(clip.future)}
    if imagined:
        given = Given(clip.images, clip.state, clip.task, clip.executed, more=clip.more)
        found["imagined"] = ask(in_pairs(model, given, at, *sampling))
    return found


def inverse_every(model: WorldModel, clip: Clip, generator: torch.Generator) -> np.ndarray:
    """Actions read out of a real frame after every control step, float32 (B, H, A).

    ``clip.future`` holds all H of them. They are shown two at a time, as in training, and the two actions that they
    follow are read. An odd last one is shown with the one before it.
    """
    horizon, batch = clip.action.shape[1], len(clip.state)
    out = np.empty(clip.action.shape, np.float32)
    for first in [*range(0, horizon - 2, 2), max(0, horizon - 2)]:
        two = slice(first, min(first + 2, horizon))
        when = torch.arange(first + 1, two.stop + 1).expand(batch, -1)
        given = Given(clip.images, clip.state, clip.task, None, clip.future[:, two], when, clip.more)
        found = model.predict(given, Want(actions=True), READING, generator=generator).actions
        assert found is not None
        out[:, two] = found[:, two].float().numpy()
    return out


def position_error(guess: np.ndarray, real: np.ndarray, relative: int) -> np.ndarray:
    """Distance between target positions, the first three dimensions (fewer where fewer are positions): (B, H)."""
    many = min(3, relative)
    return np.asarray(np.linalg.norm(guess[..., :many] - real[..., :many], axis=-1))


def sensitivity(
    model: WorldModel, clips: Clips, windows: np.ndarray, others: np.ndarray, step: int, sampling: tuple[int, int]
) -> np.ndarray:
    """Squared error of the frame ``step`` control steps ahead, float64 (B, 2, C): true actions, those of ``others``.

    What is taken over from another window is its motion: targets relative to its own state are put where this one's
    state is. Both questions begin from the same noise (``sampling``: steps and seed), so that a model which ignores
    actions gives the same answer twice.
    """
    pair = np.unique([max(1, step // 2), step])
    clip = clips.gather(windows, np.full((len(windows), 1), step)).map(torch.as_tensor)
    other = clips.gather(others).map(torch.as_tensor)
    moved = other.executed - model.actions.origin(other.state) + model.actions.origin(clip.state)
    errors = []
    for actions in (clip.executed, moved):
        given = Given(clip.images, clip.state, clip.task, actions, more=clip.more)
        noise = torch.Generator().manual_seed(sampling[1])
        errors.append(squared(in_pairs(model, given, pair, sampling[0], noise)[:, -1], clip.future[:, 0]))
    return np.stack(errors, axis=1)
