"""Losses of models with a memory: the next step after observed and imagined ones."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, smooth_l1_loss

from worldmodel.backbone import KVCache
from worldmodel.model import WorldModel
from worldmodel.model.history import advance, stacked
from worldmodel.model.records import RolloutHistory
from worldmodel.objectives.config import ObjectiveConfig

CHANGED = 8 / 127.5
"""A pixel moves where a channel changes by more than this (8 grey levels), or one within two pixels does."""


@dataclass(frozen=True)
class NextStep:
    """One step of B rollouts.

    cache: keys and values of the remembered steps, as they were computed, without gradient; valid: which of its tokens
    exist. present: the present step (T = 1). last, frames: its frames and the recorded next ones, in model units.
    state: the recorded next one, in physical units. moves: 1 where recorded pixels move.
    """

    cache: KVCache
    valid: Bool[Tensor, "B N"]
    present: RolloutHistory
    last: Float[Tensor, "B C H W 3"]
    frames: Float[Tensor, "B C H W 3"]
    state: Float[Tensor, "B S"]
    moves: Float[Tensor, "B C H W 1"]


def next_step_loss(model: WorldModel, batch: NextStep, objective: ObjectiveConfig) -> dict[str, Tensor]:
    """Losses ``frames``, ``l1`` and ``body``, and their weighted sum ``loss``.

    Pixels that move from the recorded present frame to the next weigh 1 + ``moving``.
    ``next_frames`` (model units), ``next_state`` and ``keys`` (of the present step, all blocks' keys and values
    stacked), without gradient: from which the rollouts continue.
    """
    assert model.body is not None
    last, before = batch.last, batch.present.state[:, 0]
    frames, body, own = advance(model, batch.cache, batch.present, last, batch.valid)
    error = frames - batch.frames
    weight = 1 + objective.moving * batch.moves
    losses = {
        "frames": (weight * error.square()).mean(),
        "l1": (weight * error.abs()).mean(),
        "body": smooth_l1_loss(body, model.body.encode(batch.state, before), beta=0.5),
    }
    total = objective.rollout * (losses["frames"] + objective.l1 * losses["l1"] + objective.body * losses["body"])
    following = {"next_frames": frames, "next_state": model.body.decode(body, before), "keys": stacked(own)}
    return {"loss": total, **losses, **{name: value.detach() for name, value in following.items()}}


def moving(
    last: Float[Tensor, "*b H W 3"], then: Float[Tensor, "*b H W 3"], by: float = CHANGED
) -> Float[Tensor, "*b H W 1"]:
    """1 where a pixel or one within two pixels of it changes by more than ``by``, in the frames' unit, else 0."""
    changed = ((then - last).abs().amax(-1) > by).float()
    return max_pool2d(changed.reshape(-1, 1, *changed.shape[-2:]), 5, stride=1, padding=2).view(changed.shape)[
        ..., None
    ]
