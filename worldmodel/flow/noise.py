"""Which noise each token of a batch has: a sample, and one of a few levels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class NoiseSample:
    """Noise of one modality in one batch; given tokens have level 0.

    eps: noise sample. levels: the few levels of each sample, (t, s) where a share of the tokens takes the second.
    level_index: of every token. nearer: the teacher's level where it is not the smallest of ``levels``. given: the last
    of ``levels`` is 0 and belongs to tokens that are given, to the teacher as well.
    """

    eps: Float[Tensor, "B N d"]
    levels: Float[Tensor, "#B L"]
    level_index: Int[Tensor, "#B N"]
    nearer: Float[Tensor, "#B 1"] | None = None
    given: bool = False

    def noise(self) -> Float[Tensor, "B N 1"]:
        """Noise of every token."""
        return torch.gather(self.levels, 1, self.level_index.expand(len(self.levels), -1))[..., None]

    def teacher(self) -> "NoiseSample":
        """The teacher's: the same noise sample, every token at the smaller of the two levels."""
        drawn = self.levels[:, :-1] if self.given else self.levels
        level = drawn.amin(1, keepdim=True) if self.nearer is None else self.nearer
        if not self.given:
            return NoiseSample(self.eps, level, torch.zeros_like(self.level_index))
        levels = torch.cat([level, self.levels[:, -1:]], 1)
        return NoiseSample(self.eps, levels, (self.level_index == drawn.shape[1]).long(), given=True)

    def to(self, device: torch.device) -> "NoiseSample":
        """The same on a device."""
        nearer = None if self.nearer is None else self.nearer.to(device)
        return NoiseSample(self.eps.to(device), self.levels.to(device), self.level_index.to(device), nearer, self.given)


def clean_draw(value: Tensor, level: float = 0.0) -> NoiseSample:
    """A whole batch of values (B, N, d) at one level: 0 where they are given."""
    levels = torch.full((1, 1), level, device=value.device)
    return NoiseSample(value, levels, torch.zeros(1, value.shape[1], dtype=torch.int64, device=value.device))


def committed_draw(known: Tensor, level: float) -> NoiseSample:
    """A chunk at one level whose ``known`` steps, bool (B, H, 1), are given."""
    levels = torch.tensor([[level, 0.0]], device=known.device).repeat(len(known), 1)
    return NoiseSample(known.float(), levels, known[..., 0].long(), given=True)
