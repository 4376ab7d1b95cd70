"""Imagining with a trained model: the env made of it, rollouts under actions, offline metrics, pictures."""

from worldmodel.imagine.env import WorldModelEnv, WorldModelVectorEnv

__all__ = ["WorldModelEnv", "WorldModelVectorEnv"]
