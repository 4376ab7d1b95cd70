"""The robot's state as a token: the observed one, and the next one, which imagined rollouts predict beside frames."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel.schema import STATE, Clip
from worldmodel.tokens.embedding import embedding, zero_head
from worldmodel.tokens.scaling import Scaling


class Proprioception(nn.Module):
    """The robot's own state (S numbers in physical units) as one token at the observation's time, always given."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.scaling = Scaling((dim,))
        self.embed = embedding(dim, width)

    def fit(self, clip: Clip) -> None:
        """Set the ranges from observed states."""
        self.scaling.fit(clip.state)

    def tokens(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 D"]:
        return self.embed(self.scaling.encode(state).to(self.embed[0].weight.dtype))[:, None]

    def positions(self, device: torch.device) -> Float[Tensor, "1 3"]:
        return torch.zeros(1, 3, device=device)


class NextState(nn.Module):
    """The robot's state one control step later, as one token.

    Values are changes since the step before, each dimension in its own robust range: as a share of the state's whole
    range a step's change would vanish in the noise. floor: clamp of the noise in its velocity loss.
    """

    floor = 0.25

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.dim = dim
        self.scaling = Scaling((dim,))
        self.embed = embedding(dim, width)
        self.slot = nn.Parameter(torch.randn(width) * 0.02)
        self.head = zero_head(width, dim)

    def fit(self, clip: Clip) -> None:
        """Set the ranges from changes of one control step (``clip.future``'s one frame is the next step's)."""
        change = clip.more_future[STATE][:, 0] - clip.state
        self.scaling.fit(change[clip.future_valid[:, 0]])

    def encode(self, state: Float[Tensor, "*b S"], before: Float[Tensor, "*b S"]) -> Float[Tensor, "*b S"]:
        """States and those a step before, physical units, to model units, about [-1, 1]."""
        return self.scaling.encode(state - before)

    def decode(self, values: Float[Tensor, "*b S"], before: Float[Tensor, "*b S"]) -> Float[Tensor, "*b S"]:
        """Model units to states in physical units; the inverse of ``encode``."""
        return before + self.scaling.decode(values)

    def tokens(self, values: Float[Tensor, "B T S"]) -> Float[Tensor, "B T D"]:
        """Embed (noisy) values."""
        return self.embed(values.to(self.slot.dtype)) + self.slot

    def read(self, features: Float[Tensor, "B T D"]) -> Float[Tensor, "B T S"]:
        """The clean values that the features predict, in model units."""
        return self.head(features).float()
