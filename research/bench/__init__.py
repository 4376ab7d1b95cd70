"""``worldmodel bench``: how fast this machine acts, trains and simulates, and how well the model imagines."""

from typing import TYPE_CHECKING

from research.bench.config import BenchConfig
from worldmodel import lazy

if TYPE_CHECKING:
    from research.bench.command import bench

__all__ = ["BenchConfig", "bench"]
__getattr__ = lazy.names(__name__, command="bench")
