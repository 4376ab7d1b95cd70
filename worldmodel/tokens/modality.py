"""What a signal must offer to be predicted. A new modality is one file that does so, and one line in the model."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.schema import Clip


class Modality(Protocol):
    """A kind of signal that can be wanted, given or absent; values are in model units, (B, N, d).

    ``role``: whose role its future takes in a mode: that of the ``actions`` or that of the ``frames``.
    """

    role: Literal["actions", "frames"]

    def shape(self, batch: int, moments: int) -> tuple[int, int, int]:
        """(B, N, d) of the values for a batch that asks for frames at ``moments`` times."""
        ...

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B N d"]:
        """What really followed the observation, as it is to be predicted (``wanted``) or as it is given."""
        ...

    def valid(self, clip: Clip) -> Bool[Tensor, "B N"]:
        """Which tokens have a truth: False past the episode's end."""
        ...

    def tokens(self, values: Float[Tensor, "B N d"]) -> Float[Tensor, "B N D"]:
        """Embed (noisy) values."""
        ...

    def when(self, at: Int[Tensor, "B F"] | None, rate: float, device: torch.device) -> Float[Tensor, "... N 3"]:
        """Places of the tokens; frames are asked for ``at`` these control steps, each 1 / ``rate`` seconds long."""
        ...

    def read(self, features: Float[Tensor, "B N D"], last: Float[Tensor, "B M P"]) -> Float[Tensor, "B N d"]:
        """The clean values that features predict; ``last`` are the observed frames' patches."""
        ...
