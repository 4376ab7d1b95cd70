"""Training: one loop, exact resume."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.train.config import TrainConfig

if TYPE_CHECKING:
    from worldmodel.train.loop import train

__all__ = ["TrainConfig", "train"]
__getattr__ = lazy.names(__name__, loop="train")
lazy.callable_package(__name__, "call")
