"""What training minimises: flow matching, and the representation losses that an objective may add to it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from worldmodel.flow.path import velocity_error
from worldmodel.flow.sampler import REFINE


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
    """Mean absolute error over the valid tokens, model units."""
    return _mean((predicted.float() - clean).abs(), valid)


def regression_loss(
    predicted: Float[Tensor, "B N d"], clean: Float[Tensor, "B N d"], noise: Float[Tensor, "B N 1"], valid: Tensor
) -> Float[Tensor, ""]:
    """MIP's loss: squared error of the first pass divided by t* = 1 - REFINE, of the second by 1 - t*."""
    scale = torch.where(noise >= 1, 1 - REFINE, noise)
    return _mean(((predicted.float() - clean) / scale).square(), valid)


def _mean(error: Float[Tensor, "B N d"], valid: Tensor) -> Float[Tensor, ""]:
    """Over the valid tokens alone, 0 where there are none."""
    return (error.mean(-1) * valid).sum() / valid.sum().clamp(min=1)


def alignment(
    student: Float[Tensor, "B N D"], teacher: Float[Tensor, "B N D"], centre: bool = False
) -> Float[Tensor, ""]:
    """Negative cosine over channels, mean over every token (Self-Flow equation 6). The teacher gets no gradient.

    ``centre`` subtracts each token's mean over the batch from the target, so that what all samples share earns nothing.
    """
    target = teacher.detach().float()
    if centre:
        target = target - target.mean(0, keepdim=True)
    return -F.cosine_similarity(student.float(), target, dim=-1).mean()


def mean_direction(features: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Cosine between features of different samples: the alignment of an uninformative student."""
    with torch.no_grad():
        return F.cosine_similarity(features.float(), features.float().roll(1, 0), dim=-1).mean()


def dispersion(features: Float[Tensor, "B N D"], temperature: float = 0.5) -> Float[Tensor, ""]:
    """Dispersive loss (arXiv 2506.09027): log of the mean over all pairs of exp(-squared distance / temperature).

    Distances are taken between flattened features and divided by their dimension; a sample's distance to itself counts.
    """
    flat = features.float().flatten(1)
    distance = F.pdist(flat).square() / flat.shape[1]
    pairs = torch.cat([distance, distance, distance.new_zeros(len(flat))])
    return (-pairs / temperature).exp().mean().log()
