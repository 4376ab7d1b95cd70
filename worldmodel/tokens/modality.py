"""What a signal must offer to be predicted, and what a model needs of recordings for it.

A new modality beside frames and actions is one file (see `Signal`, which does most of it) and one line in `LISTED`.
"""

from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.schema import Clip
from worldmodel.tokens.timesteps import TimestepDistribution


class Modality(Protocol):
    """A kind of signal that can be wanted, given or absent; values are in model units, (B, N, d).

    role: whose role its future takes in a mode: that of the ``actions`` or that of the ``frames``.
    noise: of its tokens in training, where a run does not say otherwise. weight: of its loss, likewise.
    floor: clamp of the noise in its velocity loss, per token.
    optional: whether it may be missing where it is given; training then leaves it out every other time.
    with_observation: whether, where it is given, it is read together with the observation.
    """

    role: Literal["actions", "frames"]
    noise: TimestepDistribution
    weight: float
    floor: float
    optional: bool
    with_observation: bool

    def fit(self, clip: Clip) -> None:
        """Set the ranges from a sample of recordings (see `worldmodel.data.clips.Clips.sample`)."""

    def shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """(B, N, d) of the values for a batch with ``frames`` later frames."""

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B N d"]:
        """What really followed the observation, as it is to be predicted (``wanted``) or as it is given."""

    def valid(self, clip: Clip) -> Bool[Tensor, "B N"]:
        """Which tokens have a truth: False past the episode's end."""

    def tokens(self, values: Float[Tensor, "B N d"]) -> Float[Tensor, "B N D"]:
        """Embed (noisy) values."""

    def when(self, at: Int[Tensor, "B F"] | None, control_hz: float, device: torch.device) -> Float[Tensor, "... N 3"]:
        """Positions of the tokens; frames are wanted ``at`` these control steps of 1 / ``control_hz`` seconds."""

    def read(self, features: Float[Tensor, "B N D"], last: Float[Tensor, "B M P"]) -> Float[Tensor, "B N d"]:
        """The clean values that features predict; ``last`` are the observed frames' patches."""
