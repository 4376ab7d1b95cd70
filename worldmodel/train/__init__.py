"""Training: one loop, exact resume."""

from worldmodel.train.config import TrainConfig
from worldmodel.train.loop import train

__all__ = ["TrainConfig", "train"]
