"""How much noise each token gets while training."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldmodel.flow.arms import Arm

NEARER = 0.2
"""SRA's teacher is up to this much closer to the data than its student."""
REFINE = 0.1
"""Noise in the second of MIP's two passes (1 - t* with the paper's t* = 0.9)."""


@dataclass(frozen=True)
class NoiseLaw:
    """Distribution of one modality's noise: logit-normal with extra mass at high noise.

    mean, spread: of the logit. high: share of draws from U[0.95, 1] (the Self-Flow paper's low-SNR addition).
    pure: share of draws at exactly 1, where every sampler starts. masked: share of tokens that take the second level.
    prefix: of actions, up to so many first steps are given clean: those already under way while a chunk is computed.
    """

    mean: float = 0.0
    spread: float = 1.0
    high: float = 0.05
    pure: float = 0.0
    masked: float = 0.0
    prefix: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.masked <= 0.5:
            raise ValueError(f"masked={self.masked} must lie in [0, 0.5]: more would only exchange the two levels")
        if self.prefix < 0:
            raise ValueError(f"prefix={self.prefix}: expected a number of control steps, or 0")

    def levels(self, batch: int, generator: torch.Generator) -> Float[Tensor, "B"]:
        """One level per sample, float32 in (0, 1]."""
        uniform = torch.rand(batch, 3, generator=generator)
        level = torch.sigmoid(self.mean + self.spread * torch.randn(batch, generator=generator))
        level = torch.where(uniform[:, 0] < self.high, 0.95 + 0.05 * uniform[:, 1], level)
        return torch.where(uniform[:, 2] < self.pure, 1.0, level).clamp(1e-3, 1.0)


@dataclass(frozen=True)
class ObservedLaw:
    """Noise put on observed frames while training; the model is told how much. Acting always sees them clean.

    high: every sample's level is drawn from U[0, high] (0.2 in the Self-Flow paper's robot experiment, 0 for none).
    masked: share of the observed frames' tokens that take a second level, from U[0, 1]; with a teacher, which sees them
    all at the smaller level, what the student makes of them is aligned as well.
    """

    high: float = 0.0
    masked: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.high <= 1 and 0 <= self.masked <= 0.5):
            raise ValueError(f"noise.observed: high={self.high}, masked={self.masked}; expected [0, 1] and [0, 0.5]")


@dataclass(frozen=True)
class NoiseConfig:
    """Noise laws of the modalities: frames are drawn noisy, actions broadly, so that few action steps suffice.

    stream: of the next moment's frames and state alike; often pure, since streams are sampled in one or two steps.
    """

    frames: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=1.08, masked=0.1))
    actions: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=0.5, spread=1.5, pure=0.25))
    audio: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=0.0, masked=0.5))
    observed: ObservedLaw = field(default_factory=ObservedLaw)
    stream: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=1.08, pure=0.25))


@dataclass(frozen=True)
class NoiseDraw:
    """Noise of one modality in one batch.

    eps: noise sample, (B, N, d). levels: the few levels of each sample, (B, L); (t, s) where a share of the tokens
    takes the second. which: index of every token's level, (B, N). nearer: the teacher's level where it is not the
    smallest of ``levels``, (B, 1). given: the last of ``levels`` is 0 and belongs to tokens that are given, to the
    teacher as well. Given tokens have level 0.
    """

    eps: Float[Tensor, "B N d"]
    levels: Float[Tensor, "#B L"]
    which: Int[Tensor, "#B N"]
    nearer: Float[Tensor, "#B 1"] | None = None
    given: bool = False

    def noise(self) -> Float[Tensor, "B N 1"]:
        """Noise of every token."""
        return torch.gather(self.levels, 1, self.which.expand(len(self.levels), -1))[..., None]

    def teacher(self) -> NoiseDraw:
        """What the teacher sees: the same noise sample, every token at the smaller of the two levels."""
        drawn = self.levels[:, :-1] if self.given else self.levels
        level = drawn.amin(1, keepdim=True) if self.nearer is None else self.nearer
        if not self.given:
            return NoiseDraw(self.eps, level, torch.zeros_like(self.which))
        levels = torch.cat([level, self.levels[:, -1:]], 1)
        return NoiseDraw(self.eps, levels, (self.which == drawn.shape[1]).long(), given=True)

    def to(self, device: torch.device) -> NoiseDraw:
        """The same draw on a device."""
        nearer = None if self.nearer is None else self.nearer.to(device)
        return NoiseDraw(self.eps.to(device), self.levels.to(device), self.which.to(device), nearer, self.given)


def draw_noise(
    law: NoiseLaw, shape: tuple[int, int, int], generator: torch.Generator, arm: Arm, moments: int = 1
) -> NoiseDraw:
    """Draw for a batch of shape (B, N, d), spread over its tokens as ``arm`` says.

    The noise sample and the first level come first, so that they are the same in every arm. ``moments``: how many
    frames the tokens belong to, one after another; in a ``frame`` arm each has a level of its own. A modality whose
    ``law.masked`` is 0 has one level in every arm: the teacher sees of it what the student sees.
    """
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels, nearer = [law.levels(batch, generator)], None
    which = torch.zeros(1, tokens, dtype=torch.int64)
    if arm.levels == "dual" and law.masked > 0:
        levels.append(law.levels(batch, generator))
        which = (torch.rand(batch, tokens, generator=generator) < law.masked).long()
    if arm.levels == "frame" and moments > 1:
        levels += [law.levels(batch, generator) for _ in range(moments - 1)]
        which = torch.arange(moments).repeat_interleave(tokens // moments)[None]
    if arm.teacher == "nearer" and law.masked > 0:
        nearer = (levels[0] - NEARER * torch.rand(batch, generator=generator)).clamp(min=0)[:, None]
    draw = NoiseDraw(eps, torch.stack(levels, dim=1), which, nearer)
    return _give_prefix(draw, law.prefix, generator) if law.prefix else draw


def draw_moments(law: NoiseLaw, shape: tuple[int, int, int], generator: torch.Generator, moments: int) -> NoiseDraw:
    """Draw for ``moments`` in a row, a level for each; their tokens follow one another, so many for each."""
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels = law.levels(batch * moments, generator).view(batch, moments)
    return NoiseDraw(eps, levels, torch.arange(moments).repeat_interleave(tokens // moments)[None])


def _give_prefix(draw: NoiseDraw, most: int, generator: torch.Generator) -> NoiseDraw:
    """Give 0 to ``most`` first tokens of each sample clean, equally often (training-time real-time chunking).

    arXiv 2512.05964: what is committed while a chunk is computed is given, and learned to be continued.
    """
    batch, tokens = draw.eps.shape[:2]
    committed = torch.randint(most + 1, (batch, 1), generator=generator)
    which = torch.where(torch.arange(tokens) < committed, draw.levels.shape[1], draw.which)
    levels = torch.cat([draw.levels, draw.levels.new_zeros(batch, 1)], 1)
    return NoiseDraw(draw.eps, levels, which, draw.nearer, given=True)


def draw_regression(shape: tuple[int, int, int], generator: torch.Generator, arm: Arm) -> NoiseDraw:
    """What a regression is shown of its target: nothing (zeros at level 1); in MIP every other row a refinable copy.

    The copy is mixed with noise at `REFINE`; at deployment the first pass' answer takes its place.
    """
    batch, tokens, _ = shape
    eps, levels = torch.randn(shape, generator=generator), torch.ones(batch, 1)
    refine = torch.arange(batch) % arm.passes == 1
    levels[refine] = REFINE
    return NoiseDraw(eps * refine[:, None, None], levels, torch.zeros(1, tokens, dtype=torch.int64))


def draw_observed(
    law: ObservedLaw, shape: tuple[int, int, int], generator: torch.Generator, arm: Arm
) -> NoiseDraw | None:
    """Noise for the observed frames' patches, (B, N, d); None where the law or the arm wants them clean."""
    masked = law.masked if arm.levels == "dual" else 0.0
    if law.high == 0 and masked == 0:
        return None
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels = torch.stack([law.high * torch.rand(batch, generator=generator), torch.rand(batch, generator=generator)], 1)
    which = (torch.rand(batch, tokens, generator=generator) < masked).long()
    return NoiseDraw(eps, levels if masked else levels[:, :1], which if masked else torch.zeros_like(which[:1]))


def no_noise(shape: tuple[int, int, int]) -> NoiseDraw:
    """The draw of given tokens: level 0."""
    batch, tokens, _ = shape
    return NoiseDraw(torch.zeros(shape), torch.zeros(batch, 1), torch.zeros(1, tokens, dtype=torch.int64))
