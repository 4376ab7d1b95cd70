"""Imagining with a trained model: the env made of it, rollouts under actions, offline metrics, pictures."""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.imagine.env import WorldModelEnv, WorldModelVectorEnv

__all__ = ["WorldModelEnv", "WorldModelVectorEnv"]
__getattr__ = lazy.names(__name__, env="WorldModelEnv WorldModelVectorEnv")
