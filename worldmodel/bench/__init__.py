"""``worldmodel bench``: how fast this machine acts, trains and simulates, and how well the model imagines."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.bench.config import BenchConfig

if TYPE_CHECKING:
    from worldmodel.bench.command import bench

__all__ = ["BenchConfig", "bench"]
__getattr__ = lazy.names(__name__, command="bench")
