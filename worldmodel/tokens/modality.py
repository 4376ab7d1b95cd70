"""What a signal must offer to be predicted, and what a model asks of recordings for it.

A new modality beside frames and actions is one file (see `Signal`, which does most of it) and one line in `LISTED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.schema import Clip


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


class Modality(Protocol):
    """A kind of signal that can be wanted, given or absent; values are in model units, (B, N, d).

    role: whose role its future takes in a mode: that of the ``actions`` or that of the ``frames``.
    noise: of its tokens in training, where a run does not say otherwise. weight: of its loss, likewise.
    floor: clamp of the noise in its velocity loss, per token.
    optional: whether it may be missing where it is given; training then leaves it out every other time.
    with_observation: whether, where it is given, it is read together with the observation.
    """

    role: Literal["actions", "frames"]
    noise: NoiseLaw
    weight: float
    floor: float
    optional: bool
    with_observation: bool

    def fit(self, clip: Clip) -> None:
        """Set the ranges from a sample of recordings (see `worldmodel.data.clips.Clips.sample`)."""

    def shape(self, batch: int, moments: int) -> tuple[int, int, int]:
        """(B, N, d) of the values for a batch that asks for frames at ``moments`` times."""

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B N d"]:
        """What really followed the observation, as it is to be predicted (``wanted``) or as it is given."""

    def valid(self, clip: Clip) -> Bool[Tensor, "B N"]:
        """Which tokens have a truth: False past the episode's end."""

    def tokens(self, values: Float[Tensor, "B N d"]) -> Float[Tensor, "B N D"]:
        """Embed (noisy) values."""

    def when(self, at: Int[Tensor, "B F"] | None, rate: float, device: torch.device) -> Float[Tensor, "... N 3"]:
        """Places of the tokens; frames are asked for ``at`` these control steps, each 1 / ``rate`` seconds long."""

    def read(self, features: Float[Tensor, "B N D"], last: Float[Tensor, "B M P"]) -> Float[Tensor, "B N d"]:
        """The clean values that features predict; ``last`` are the observed frames' patches."""
