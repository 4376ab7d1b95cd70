"""Losses of models with a memory: the next step after observed and imagined ones."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from worldmodel.model import WorldModel
from worldmodel.model.history import encode_steps, regress_next, tokens_per_step
from worldmodel.model.records import RolloutHistory
from worldmodel.objectives.config import ObjectiveConfig

CHANGED = 8 / 127.5
"""A pixel moves where a channel changes by more than this (8 grey levels), or one within two pixels does."""
GRADIENT_STEPS = 2
"""Steps through which a gradient flows: the present one and another, drawn at random. It halves the work."""


@dataclass(frozen=True)
class NextStep:
    """One step of B rollouts.

    history: the remembered steps, the present one first; beyond the first `GRADIENT_STEPS` without gradient.
    valid: which of them exist. last, frames: the present frames and the recorded next ones, in model units.
    state: the recorded next one, in physical units.
    """

    history: RolloutHistory
    valid: Bool[Tensor, "B T"]
    last: Float[Tensor, "B C H W 3"]
    frames: Float[Tensor, "B C H W 3"]
    state: Float[Tensor, "B S"]


def next_step_loss(model: WorldModel, batch: NextStep, objective: ObjectiveConfig) -> dict[str, Tensor]:
    """Losses ``frames``, ``l1`` and ``body``, and their weighted sum ``loss``.

    Pixels that move between the last frame, observed or imagined, and the recorded next one weigh 1 + ``moving``.
    ``next_frames`` and ``next_state``, without gradient: from which the rollouts continue.
    """
    assert model.body is not None
    history, last, before = batch.history, batch.last, batch.history.state[:, 0]
    cache, embedded = encode_steps(model, history.part(0, GRADIENT_STEPS))
    if (times := batch.valid.shape[1]) > GRADIENT_STEPS:
        with torch.no_grad():
            rest, _ = encode_steps(model, history.part(GRADIENT_STEPS, times))
        pairs = zip(cache, rest, strict=True)
        cache = [(torch.cat([k, ks], dim=2), torch.cat([v, vs], dim=2)) for (k, v), (ks, vs) in pairs]
    valid = batch.valid.repeat_interleave(tokens_per_step(model), 1)
    when = history.when[:1] + 1 / model.config.control_hz
    frames, body = regress_next(model, cache, embedded[:, 0], last, when, valid)
    error = frames - batch.frames
    weight = 1 + objective.moving * moving(last, batch.frames)
    losses = {
        "frames": (weight * error.square()).mean(),
        "l1": (weight * error.abs()).mean(),
        "body": (body - model.body.encode(batch.state, before)).square().mean(),
    }
    total = objective.rollout * (losses["frames"] + objective.l1 * losses["l1"] + objective.body * losses["body"])
    present = {"next_frames": frames.detach(), "next_state": model.body.decode(body.detach(), before)}
    return {"loss": total, **losses, **present}


def moving(last: Float[Tensor, "*b H W 3"], then: Float[Tensor, "*b H W 3"]) -> Float[Tensor, "*b H W 1"]:
    """1 where a pixel or one within two pixels of it changes by more than `CHANGED`, else 0."""
    changed = ((then - last).abs().amax(-1) > CHANGED).float()
    return max_pool2d(changed.flatten(0, -3)[:, None], 5, stride=1, padding=2).view(changed.shape)[..., None]
