"""Training: one loop, exact resume."""

from worldmodel.train.loop import TrainConfig, train

__all__ = ["TrainConfig", "train"]
