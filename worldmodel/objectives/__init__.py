"""Objectives: noise to learn from, and losses. Training alone needs them; a model acts and imagines without."""

from worldmodel.objectives.arms import ARMS, Arm
from worldmodel.objectives.config import NoiseConfig, NoiseLaw, ObjectiveConfig, StreamConfig
from worldmodel.objectives.noise import draw_noise
from worldmodel.objectives.training import loss

__all__ = ["ARMS", "Arm", "NoiseConfig", "NoiseLaw", "ObjectiveConfig", "StreamConfig", "draw_noise", "loss"]
