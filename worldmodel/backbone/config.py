"""Sizes of the network."""

from dataclasses import dataclass

from worldmodel.config import check_sizes, option


@dataclass(frozen=True)
class BackboneConfig:
    """The numbers that make a size. Actions leave after ``depth`` blocks; imagined rollouts pass ``deep`` more."""

    width: int = option("width of a token", 192)
    depth: int = option("number of blocks", 4)
    heads: int = option("heads of attention", 4)
    deep: int = option("further blocks, that imagined rollouts alone pass", 0)

    def __post_init__(self) -> None:
        check_sizes(self, width=(8, 16384), depth=(1, 256), heads=(1, 1024), deep=(0, 256))
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ValueError(f"width {self.width} over {self.heads} heads must give a multiple of 8 per head")
