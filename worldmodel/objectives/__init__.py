"""Objectives: noise to learn from, and losses. Training alone needs them; a model acts and imagines without."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.objectives.config import NoiseConfig, ObjectiveConfig, RolloutConfig
from worldmodel.objectives.objective import OBJECTIVES, Objective
from worldmodel.tokens.timesteps import TimestepDistribution

if TYPE_CHECKING:
    from worldmodel.objectives.noise import draw_noise
    from worldmodel.objectives.training import loss

__all__ = [
    "OBJECTIVES",
    "NoiseConfig",
    "Objective",
    "ObjectiveConfig",
    "RolloutConfig",
    "TimestepDistribution",
    "draw_noise",
    "loss",
]
__getattr__ = lazy.names(__name__, noise="draw_noise", training="loss")
