"""What training minimises: flow matching, and the representation losses that an arm may add to it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from worldmodel.flow.arms import ARMS, Arm
from worldmodel.flow.noise import REFINE
from worldmodel.flow.path import velocity_error


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which losses, and how much of each.

    kind: the arm: flow, dual, sra, self_flow, separated, dispersive, repa, frame, regression or mip.
    frames, actions, audio, body: weights of the modalities' means.
    plain: weight of the mean absolute error of a stream's frames beside the squared one (see `stream_loss`).
    carried: weight of that of the warped last frame alone, before anything is painted over it.
    align: weight of the representation loss towards the teacher (gamma, 0.8). student, teacher: blocks where it is read
    and where its target comes from, as shares of the depth. centre: subtract the batch mean of the teacher's features.
    external: weight of REPA's loss (0.5). disperse: weight of the dispersive loss (0.5). temperature: its own (0.5).
    frames_floor, actions_floor, audio_floor, body_floor: clamp of the noise in the velocity loss, per token.
    draws: noise samples per observation in policy mode, where the observation's share of the work is paid once.
    """

    kind: str = "flow"
    frames: float = 1.0
    actions: float = 1.0
    audio: float = 0.2
    align: float = 0.8
    student: float = 0.3
    teacher: float = 0.7
    centre: bool = False
    external: float = 0.5
    disperse: float = 0.5
    temperature: float = 0.5
    frames_floor: float = 0.05
    actions_floor: float = 0.25
    audio_floor: float = 0.25
    draws: int = 2
    body: float = 0.1
    body_floor: float = 0.25
    plain: float = 0.0
    carried: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ARMS:
            near = get_close_matches(self.kind, ARMS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"objective.kind={self.kind!r}: expected one of {', '.join(ARMS)}{hint}")
        if not 0 < self.student < self.teacher <= 1:
            raise ValueError(
                f"objective.student={self.student}, teacher={self.teacher}: expected 0 < student < teacher"
            )
        if self.draws < 1:
            raise ValueError(f"objective.draws={self.draws}: expected at least 1")

    @property
    def arm(self) -> Arm:
        """What ``kind`` stands for."""
        return ARMS[self.kind]

    def repeats(self) -> int:
        """Noise samples per observation in policy mode; a regression has as many as it has passes."""
        return self.arm.passes or self.draws

    def taps(self, depth: int) -> tuple[int, int]:
        """Blocks read by student and teacher, counted from 1: 0.3 and 0.7 of the depth (Self-Flow A.3)."""
        student = max(1, round(self.student * depth))
        return student, min(depth, max(student + 1, round(self.teacher * depth)))


def flow_loss(
    predicted: Float[Tensor, "B N d"],
    clean: Float[Tensor, "B N d"],
    noise: Float[Tensor, "B N 1"],
    valid: Bool[Tensor, "B N"],
    floor: float,
) -> Float[Tensor, ""]:
    """Flow-matching loss in velocity space: mean over the valid tokens of one modality (never pooled over several)."""
    return _mean(velocity_error(predicted.float(), clean, noise, floor), valid)


def absolute_loss(
    predicted: Float[Tensor, "B N d"], clean: Float[Tensor, "B N d"], valid: Bool[Tensor, "B N"]
) -> Float[Tensor, ""]:
    """Mean absolute error over the valid tokens, model units: beside what is unsure it sees what is nearly right."""
    return _mean((predicted.float() - clean).abs(), valid)


def regression_loss(
    predicted: Float[Tensor, "B N d"], clean: Float[Tensor, "B N d"], noise: Float[Tensor, "B N 1"], valid: Tensor
) -> Float[Tensor, ""]:
    """Squared error of a regression's passes: the first divided by t* = 1 - REFINE, the second by 1 - t* (MIP's loss).

    A single regression has only the first, and is thereby scaled alone.
    """
    scale = torch.where(noise >= 1, 1 - REFINE, noise)
    return _mean(((predicted.float() - clean) / scale).square(), valid)


def _mean(error: Float[Tensor, "B N d"], valid: Tensor) -> Float[Tensor, ""]:
    """Over the valid tokens alone, 0 where there are none."""
    return (error.mean(-1) * valid).sum() / valid.sum().clamp(min=1)


def alignment(
    student: Float[Tensor, "B N D"], teacher: Float[Tensor, "B N D"], centre: bool = False
) -> Float[Tensor, ""]:
    """Negative cosine over channels, mean over every token (Self-Flow equation 6). The teacher gets no gradient.

    ``centre`` subtracts each token's mean over the batch from the target: what all samples share cannot be predicted
    cheaply any more.
    """
    target = teacher.detach().float()
    if centre:
        target = target - target.mean(0, keepdim=True)
    return -F.cosine_similarity(student.float(), target, dim=-1).mean()


def mean_direction(features: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Cosine between features of different samples: what an uninformative student would reach. Read alignment by it."""
    with torch.no_grad():
        return F.cosine_similarity(features.float(), features.float().roll(1, 0), dim=-1).mean()


def asymmetry(student: Float[Tensor, "B N 1"], teacher: Float[Tensor, "B N 1"]) -> Float[Tensor, ""]:
    """How much cleaner the teacher's tokens are than the student's, on average: 0 means nothing is left to predict."""
    return (student - teacher).mean()


def dispersion(features: Float[Tensor, "B N D"], temperature: float) -> Float[Tensor, ""]:
    """Dispersive loss (arXiv 2506.09027): log of the mean over all pairs of exp(-squared distance / temperature).

    Distances are taken between flattened features and divided by their dimension; a sample's distance to itself counts.
    """
    flat = features.float().flatten(1)
    distance = F.pdist(flat).square() / flat.shape[1]
    pairs = torch.cat([distance, distance, distance.new_zeros(len(flat))])
    return (-pairs / temperature).exp().mean().log()
