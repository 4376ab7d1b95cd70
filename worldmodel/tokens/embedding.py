"""Numbers to tokens and back: an embedding, a head that is zero at first, and one token per control step of a chunk."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel.tokens.sequence import instants


def embedding(dim: int, width: int) -> nn.Sequential:
    """From ``dim`` scaled numbers to a token: two linear layers with a SiLU between."""
    return nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width))


def zero_head(width: int, dim: int) -> nn.Linear:
    """From a token's features to ``dim`` numbers, all zero at first."""
    head = nn.Linear(width, dim)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class ChunkTokens(nn.Module):
    """One token of ``dim`` numbers per control step of the chunk; a subclass makes the parts that are named here."""

    chunk_size: int
    dim: int
    control_hz: float
    embed: nn.Module
    slot: nn.Parameter
    head: nn.Module

    def shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """(B, chunk_size, d), whichever frames are wanted."""
        return batch, self.chunk_size, self.dim

    def tokens(self, values: Float[Tensor, "B H d"]) -> Float[Tensor, "B H D"]:
        """Embed (noisy) values in model units."""
        return self.embed(values.to(self.slot.dtype)) + self.slot

    def when(self, at: Int[Tensor, "B F"] | None, control_hz: float, device: torch.device) -> Float[Tensor, "H 3"]:
        """Control step k ends at (k + 1) / control_hz seconds; it has no row or column."""
        return instants((torch.arange(self.chunk_size, device=device) + 1) / self.control_hz)

    def read(self, features: Float[Tensor, "B H D"], last: Tensor | None = None) -> Float[Tensor, "B H d"]:
        """The clean values that the features predict, in model units."""
        return self.head(features).float()
