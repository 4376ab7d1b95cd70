"""Zero-motion baseline and action sensitivity."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from worldmodel.data.clips import Clips
from worldmodel.imagine.image_metrics import squared
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.model.ahead import frames_ahead
from worldmodel.schema import Clip


def zero_motion(model: WorldModel, clip: Clip, mean: Float[np.ndarray, " A"]) -> Float[np.ndarray, "B H A"]:
    """Chunks that hold the observed state, and the mean of dimensions that are no targets."""
    still = model.actions.origin(clip.state).numpy().copy()
    still[..., model.config.relative :] = mean[model.config.relative :]
    return np.broadcast_to(still, clip.action.shape)


def sensitivity_step(shape: ModelConfig) -> int:
    """Control steps ahead at which action sensitivity is measured: half a second, or the chunk's end."""
    return min(shape.chunk_size, max(1, round(0.5 * shape.control_hz)))


def action_sensitivity(
    model: WorldModel, clips: Clips, windows: np.ndarray, others: np.ndarray, sampling: tuple[int, int]
) -> Float[np.ndarray, "B 2 C"]:
    """Squared error of the frame `sensitivity_step` ahead: under the true actions, and under those of ``others``.

    Of another window the motion is taken: targets relative to its own state. Both begin from the same noise
    (``sampling``: steps and seed), so that a model which ignores actions gives the same answer twice.
    """
    step = sensitivity_step(model.config)
    clip = clips.gather(windows, np.full((len(windows), 1), step)).map(torch.as_tensor)
    other = clips.gather(others).map(torch.as_tensor)
    moved = other.executed - model.actions.origin(other.state) + model.actions.origin(clip.state)
    errors = []
    for actions in (clip.executed, moved):
        given = Given(clip.images, clip.state, clip.task, actions, more=clip.more)
        noise = torch.Generator().manual_seed(sampling[1])
        frames = frames_ahead(model, given, sorted({max(1, step // 2), step}), sampling[0], noise)
        errors.append(squared(frames[:, -1], clip.future[:, 0]))
    return np.stack(errors, axis=1)
