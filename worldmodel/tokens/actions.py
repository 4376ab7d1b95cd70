"""Action chunks as tokens: one continuous token per control step."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldmodel.schema import Clip
from worldmodel.tokens.embedding import ChunkTokens, Scaling, embedding, zero_head
from worldmodel.tokens.timesteps import ACTIONS


class Actions(ChunkTokens):
    """One token per control step of the chunk.

    The first ``relative`` dimensions (the target position) are relative to the same dimensions of the observed state.
    Each step of the chunk has its own range, so that near and distant steps weigh the same.
    """

    role: Literal["actions", "frames"] = "actions"
    noise = ACTIONS
    weight, floor = 1.0, 0.25
    optional = with_observation = False

    def __init__(self, chunk_size: int, dim: int, relative: int, width: int, control_hz: float) -> None:
        super().__init__()
        self.chunk_size, self.dim, self.relative, self.control_hz = chunk_size, dim, relative, control_hz
        self.scaling = Scaling((chunk_size, dim))
        self.embed = embedding(dim, width)
        self.slot = nn.Parameter(torch.randn(chunk_size, width) * 0.02)
        self.head = zero_head(width, dim)

    def fit(self, clip: Clip) -> None:
        """Set each step's ranges from chunks as they were wanted, pushes and all."""
        self.scaling.fit(clip.action - self.origin(clip.state.to(clip.action)))

    def origin(self, state: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 A"]:
        """What actions are relative to: the state's first dimensions, and zero for the others."""
        origin = state.new_zeros(len(state), 1, self.dim)
        origin[..., : self.relative] = state[:, None, : self.relative]
        return origin

    def encode(self, actions: Float[Tensor, "B H A"], state: Float[Tensor, "B S"]) -> Float[Tensor, "B H A"]:
        """Physical units to model units, about [-1, 1]."""
        return self.scaling.encode(actions - self.origin(state))

    def decode(self, values: Float[Tensor, "B H A"], state: Float[Tensor, "B S"]) -> Float[Tensor, "B H A"]:
        """Model units to physical units; the inverse of ``encode``."""
        return self.scaling.decode(values) + self.origin(state)

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B H A"]:
        """The chunk to imitate where it is wanted; where it is given, the one that was really carried out."""
        return self.encode(clip.action if wanted else clip.executed, clip.state)

    def valid(self, clip: Clip) -> Bool[Tensor, "B H"]:
        """Steps before the episode's end and before any push that nothing announced."""
        return clip.valid

    def single(self, action: Float[Tensor, "B A"], state: Float[Tensor, "B S"]) -> Float[Tensor, "B 1 D"]:
        """One action (physical units) that is carried out now, embedded as a chunk's first."""
        first = self.encode(action[:, None].expand(-1, self.chunk_size, -1), state)[:, :1]
        return self.embed(first.to(self.slot.dtype)) + self.slot[:1]
