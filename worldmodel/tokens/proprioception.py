"""Proprioception as one token, always given."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel.schema import Clip
from worldmodel.tokens.scaling import Scaling


class Proprioception(nn.Module):
    """The robot's own state (S numbers in physical units) as one token at the observation's time."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.scaling = Scaling((dim,))
        self.embed = nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width))

    def fit(self, clip: Clip) -> None:
        """Set the ranges from observed states."""
        self.scaling.fit(clip.state)

    def tokens(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 D"]:
        scaled = self.scaling.encode(state).to(next(self.embed.parameters()).dtype)
        return self.embed(scaled)[:, None]

    def positions(self, device: torch.device) -> Float[Tensor, "1 3"]:
        return torch.zeros(1, 3, device=device)
