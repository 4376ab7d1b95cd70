"""Objectives: noise to learn from, and losses. Training alone needs them; a model acts and imagines without."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.objectives.arms import ARMS, Arm
from worldmodel.objectives.config import NoiseConfig, ObjectiveConfig, StreamConfig
from worldmodel.tokens.noise_law import NoiseLaw

if TYPE_CHECKING:
    from worldmodel.objectives.noise import draw_noise
    from worldmodel.objectives.training import loss

__all__ = ["ARMS", "Arm", "NoiseConfig", "NoiseLaw", "ObjectiveConfig", "StreamConfig", "draw_noise", "loss"]
__getattr__ = lazy.names(__name__, noise="draw_noise", training="loss")
