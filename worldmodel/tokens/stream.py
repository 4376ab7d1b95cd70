"""A stream of tokens: values, places and noise travel together. Knows no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TokenStream:
    """Tokens of a batch with what they need to be read in any order.

    values: embedded tokens, (B, N, D).
    places: seconds from the observation, row and column as fractions of the image; (N, 3) or (B, N, 3), float32.
    levels: the few distinct noise levels of each sample, (B, L) in [0, 1], 0 clean and 1 pure noise, float32.
    which: index of every token's level, (B, N) or (1, N). Modulation is computed per level, then gathered.
    """

    values: Float[Tensor, "B N D"]
    places: Float[Tensor, "... N 3"]
    levels: Float[Tensor, "#B L"]
    which: Int[Tensor, "#B N"]

    def __len__(self) -> int:
        return self.values.shape[1]

    @property
    def noise(self) -> Float[Tensor, "#B N"]:
        """Noise of every token, in [0, 1]."""
        which = self.which.expand(self.levels.shape[0], -1)
        return torch.gather(self.levels, 1, which)


def join(streams: Sequence[TokenStream]) -> TokenStream:
    """One stream after another. Levels are concatenated and indices shifted to match.

    Streams must share the batch size; places of a batch and places shared by all may be mixed.
    """
    if len(streams) == 1:
        return streams[0]
    batch = max(s.levels.shape[0] for s in streams)
    rows = max(s.which.shape[0] for s in streams)
    ranks = max(s.places.ndim for s in streams)
    which, offset = [], 0
    for s in streams:
        which.append((s.which + offset).expand(rows, -1))
        offset += s.levels.shape[1]
    placed = max([batch, *(s.places.shape[0] for s in streams if s.places.ndim == 3)])
    places = [p.expand(placed, -1, -1) if ranks == 3 else p for p in (s.places for s in streams)]
    return TokenStream(
        values=torch.cat([s.values for s in streams], dim=1),
        places=torch.cat(places, dim=-2),
        levels=torch.cat([s.levels.expand(batch, -1) for s in streams], dim=1),
        which=torch.cat(which, dim=1),
    )
