"""Numbers to tokens and back: ranges, an embedding, a head that is zero at first, one token per control step."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from worldmodel.tokens.sequence import instants

DEGENERATE = 1e-4
"""A dimension whose range is narrower than this (in its own unit) carries no signal and is not amplified."""


class Scaling(nn.Module):
    """Affine map of each dimension's [low, high] to [-1, 1]; values outside go beyond, nothing is clipped.

    Dimensions that hardly move ("degenerate") get a unit range, so that their noise is not amplified. Those that only
    ever take two values ("binary", a gripper command) are snapped to the nearer one on the way back.
    """

    low: Float[Tensor, "*shape"]
    high: Float[Tensor, "*shape"]
    binary: Bool[Tensor, "*shape"]

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("low", -torch.ones(shape))
        self.register_buffer("high", torch.ones(shape))
        self.register_buffer("binary", torch.zeros(shape, dtype=torch.bool))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "n *shape"], quantile: float = 0.01) -> None:
        """Set the ranges from n samples: the ``quantile`` and ``1 - quantile`` of every dimension.

        Raises ValueError if a value is not finite or the shape is not this scaling's.
        """
        if values.shape[1:] != self.low.shape:
            raise ValueError(f"scaling of shape {tuple(self.low.shape)} cannot be fitted to {tuple(values.shape[1:])}")
        if not torch.isfinite(values).all():
            raise ValueError("data holds values that are not finite; `worldmodel data health` on its store shows where")
        ordered = values.float().sort(dim=0).values
        edge = min(int(quantile * len(ordered)), len(ordered) - 1)
        low, high = ordered[edge], ordered[len(ordered) - 1 - edge]
        lowest, highest = ordered[0], ordered[-1]
        self.binary.copy_((lowest < highest) & ((values == lowest) | (values == highest)).all(dim=0))
        low, high = torch.where(self.binary, lowest, low), torch.where(self.binary, highest, high)
        flat = high - low < DEGENERATE
        centre = (low + high) / 2
        self.low.copy_(torch.where(flat, centre - 1, low))
        self.high.copy_(torch.where(flat, centre + 1, high))

    def encode(self, values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """From physical units to [-1, 1] (and beyond for outliers)."""
        return (values - self.low) / (self.high - self.low) * 2 - 1

    def decode(self, values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """From [-1, 1] to physical units; binary dimensions are snapped."""
        snapped = torch.where(self.binary, torch.where(values < 0, -1.0, 1.0), values)
        return (snapped + 1) / 2 * (self.high - self.low) + self.low


def embedding(dim: int, width: int) -> nn.Sequential:
    """From ``dim`` scaled numbers to a token: two linear layers with a SiLU between."""
    return nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width))


def zero_head(width: int, dim: int) -> nn.Linear:
    """From a token's features to ``dim`` numbers, all zero at first."""
    head = nn.Linear(width, dim)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class Embedded(nn.Module):
    """Vectors of numbers as one token each; a subclass makes the three parts."""

    embed: nn.Module
    slot: nn.Parameter
    head: nn.Module

    def tokens(self, values: Float[Tensor, "B T d"]) -> Float[Tensor, "B T D"]:
        """Embed (noisy) values in model units."""
        return self.embed(values.to(self.slot.dtype)) + self.slot

    def read(self, features: Float[Tensor, "B T D"], last: Tensor | None = None) -> Float[Tensor, "B T d"]:
        """The clean values that the features predict, in model units."""
        return self.head(features).float()


class ChunkTokens(Embedded):
    """One token of ``dim`` numbers per control step of the chunk."""

    chunk_size: int
    dim: int
    control_hz: float

    def shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """(B, chunk_size, d), whichever frames are wanted."""
        return batch, self.chunk_size, self.dim

    def when(self, at: Int[Tensor, "B F"] | None, control_hz: float, device: torch.device) -> Float[Tensor, "H 3"]:
        """Control step k ends at (k + 1) / control_hz seconds; it has no row or column."""
        return instants((torch.arange(self.chunk_size, device=device) + 1) / self.control_hz)
