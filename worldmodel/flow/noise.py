"""How much noise each token gets while training."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class NoiseLaw:
    """Distribution of one modality's noise: logit-normal with extra mass at high noise.

    mean, spread: of the logit. high: share of draws from U[0.95, 1] (the Self-Flow paper's low-SNR addition).
    pure: share of draws at exactly 1, where every sampler starts. masked: share of tokens that take the second level.
    """

    mean: float = 0.0
    spread: float = 1.0
    high: float = 0.05
    pure: float = 0.0
    masked: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.masked <= 0.5:
            raise ValueError(f"masked={self.masked} must lie in [0, 0.5]: more would only exchange the two levels")

    def levels(self, batch: int, generator: torch.Generator) -> Float[Tensor, "B"]:
        """One level per sample, float32 in (0, 1]."""
        uniform = torch.rand(batch, 3, generator=generator)
        level = torch.sigmoid(self.mean + self.spread * torch.randn(batch, generator=generator))
        level = torch.where(uniform[:, 0] < self.high, 0.95 + 0.05 * uniform[:, 1], level)
        return torch.where(uniform[:, 2] < self.pure, 1.0, level).clamp(1e-3, 1.0)


@dataclass(frozen=True)
class NoiseConfig:
    """Noise laws of the two modalities: frames are drawn noisy, actions broadly, so that few action steps suffice."""

    frames: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=1.08, masked=0.1))
    actions: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=0.5, spread=1.5, pure=0.25))


@dataclass(frozen=True)
class NoiseDraw:
    """Noise of one modality in one batch.

    eps: noise sample, (B, N, d). levels: the two levels (t, s) of each sample, (B, 2), or (B, 1) where no token takes
    the second. which: index of every token's level, (B, N). Given tokens have level 0.
    """

    eps: Float[Tensor, "B N d"]
    levels: Float[Tensor, "#B L"]
    which: Int[Tensor, "#B N"]

    def noise(self) -> Float[Tensor, "B N 1"]:
        """Noise of every token."""
        return torch.gather(self.levels, 1, self.which.expand(len(self.levels), -1))[..., None]

    def teacher(self) -> NoiseDraw:
        """What the teacher sees: the same noise sample, every token at the smaller of the two levels."""
        return NoiseDraw(self.eps, self.levels.amin(1, keepdim=True), torch.zeros_like(self.which))


def draw_noise(law: NoiseLaw, shape: tuple[int, int, int], generator: torch.Generator, dual: bool = False) -> NoiseDraw:
    """Draw for a batch of shape (B, N, d); ``dual`` gives a share ``law.masked`` of the tokens a level of their own."""
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels = [law.levels(batch, generator)]
    which = torch.zeros(1, tokens, dtype=torch.int64)
    if dual:
        levels.append(law.levels(batch, generator))
        which = (torch.rand(batch, tokens, generator=generator) < law.masked).long()
    return NoiseDraw(eps, torch.stack(levels, dim=1), which)


def no_noise(shape: tuple[int, int, int]) -> NoiseDraw:
    """The draw of given tokens: level 0."""
    batch, tokens, _ = shape
    return NoiseDraw(torch.zeros(shape), torch.zeros(batch, 1), torch.zeros(1, tokens, dtype=torch.int64))
