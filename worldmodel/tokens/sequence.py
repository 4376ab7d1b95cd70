"""A sequence of tokens: values, places and noise travel together. Knows no network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TokenSequence:
    """Embedded tokens of a batch with their positions and noise.

    positions: seconds from the observation, row and column as fractions of the image; (N, 3) or (B, N, 3), float32.
    levels: the few distinct noise levels of each sample, in [0, 1], 0 clean and 1 pure noise, float32.
    level_index: of every token. Modulation is computed per level, then gathered.
    """

    values: Float[Tensor, "B N D"]
    positions: Float[Tensor, "... N 3"]
    levels: Float[Tensor, "#B L"]
    level_index: Int[Tensor, "#B N"]

    def __len__(self) -> int:
        return self.values.shape[1]


def instants(seconds: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3"]:
    """Positions of tokens that have a time but neither row nor column."""
    return F.pad(seconds[..., None], (0, 2))


def concat(sequences: Sequence[TokenSequence]) -> TokenSequence:
    """Sequences of one batch one after another, levels too. Positions of a batch and of all samples may be mixed."""
    if len(sequences) == 1:
        return sequences[0]
    batch = max(s.levels.shape[0] for s in sequences)
    rows = max(s.level_index.shape[0] for s in sequences)
    ranks = max(s.positions.ndim for s in sequences)
    level_index, offset = [], 0
    for s in sequences:
        level_index.append((s.level_index + offset).expand(rows, -1))
        offset += s.levels.shape[1]
    placed = max([batch, *(s.positions.shape[0] for s in sequences if s.positions.ndim == 3)])
    positions = [p.expand(placed, -1, -1) if ranks == 3 else p for p in (s.positions for s in sequences)]
    return TokenSequence(
        values=torch.cat([s.values for s in sequences], dim=1),
        positions=torch.cat(positions, dim=-2),
        levels=torch.cat([s.levels.expand(batch, -1) for s in sequences], dim=1),
        level_index=torch.cat(level_index, dim=1),
    )
