"""Sizes of the network."""

from __future__ import annotations

from dataclasses import dataclass

from worldmodel.config import option


@dataclass(frozen=True)
class BackboneConfig:
    """The three numbers that make a size."""

    width: int = option("width of a token", 192)
    depth: int = option("number of blocks", 4)
    heads: int = option("heads of attention", 4)

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ValueError(f"width {self.width} over {self.heads} heads must give a multiple of 8 per head")
