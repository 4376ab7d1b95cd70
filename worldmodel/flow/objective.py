"""What training minimises: plain flow matching, and Self-Flow's representation loss on top of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from worldmodel.flow.path import velocity_error


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which losses, and how much of each.

    kind: ``flow`` (one noise level per sample and modality) or ``self_flow`` (two levels, EMA teacher, alignment).
    frames, actions: weights of the modalities' means. align: weight of the representation loss (gamma, 0.8).
    frames_floor, actions_floor: clamp of the noise in the velocity loss, per token.
    draws: noise samples per observation in policy mode, where the observation's share of the work is paid once.
    """

    kind: str = "flow"
    frames: float = 1.0
    actions: float = 1.0
    align: float = 0.8
    frames_floor: float = 0.05
    actions_floor: float = 0.25
    draws: int = 2

    def __post_init__(self) -> None:
        if self.kind not in ("flow", "self_flow"):
            raise ValueError(f"objective kind must be flow or self_flow, got {self.kind!r}")


def flow_loss(
    predicted: Float[Tensor, "B N d"],
    clean: Float[Tensor, "B N d"],
    noise: Float[Tensor, "B N 1"],
    valid: Bool[Tensor, "B N"],
    floor: float,
) -> Float[Tensor, ""]:
    """Flow-matching loss in velocity space: mean over the valid tokens of one modality (never pooled over several)."""
    error = velocity_error(predicted.float(), clean, noise, floor).mean(-1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def alignment(student: Float[Tensor, "B N D"], teacher: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Negative cosine over channels, mean over every token (Self-Flow equation 6). The teacher gets no gradient."""
    return -F.cosine_similarity(student.float(), teacher.detach().float(), dim=-1).mean()


def mean_direction(features: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Cosine between features of different samples: what an uninformative student would reach. Read alignment by it."""
    with torch.no_grad():
        return F.cosine_similarity(features.float(), features.float().roll(1, 0), dim=-1).mean()
