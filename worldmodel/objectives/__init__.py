"""Objectives: noise to learn from, and losses. Training alone needs them; a model acts and imagines without."""

from typing import TYPE_CHECKING, Any

from worldmodel.objectives.arms import ARMS, Arm
from worldmodel.objectives.config import NoiseConfig, ObjectiveConfig, StreamConfig
from worldmodel.tokens.noise_law import NoiseLaw

if TYPE_CHECKING:
    from worldmodel.objectives.noise import draw_noise
    from worldmodel.objectives.training import loss

__all__ = ["ARMS", "Arm", "NoiseConfig", "NoiseLaw", "ObjectiveConfig", "StreamConfig", "draw_noise", "loss"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads a config needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.objectives import noise, training

    return getattr(training if name == "loss" else noise, name)
