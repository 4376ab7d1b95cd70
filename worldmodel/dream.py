"""The env made of a world model, registered with Gymnasium; `DreamEnv` and `DreamVectorEnv` are its old names."""

import gymnasium

from worldmodel.imagine.env import WorldModelEnv, WorldModelVectorEnv

__all__ = ["DreamEnv", "DreamVectorEnv", "WorldModelEnv", "WorldModelVectorEnv"]

DreamEnv, DreamVectorEnv = WorldModelEnv, WorldModelVectorEnv

if "worldmodel/Dream-v0" not in gymnasium.registry:
    gymnasium.register(
        "worldmodel/Dream-v0",
        entry_point="worldmodel.imagine.env:WorldModelEnv",
        vector_entry_point="worldmodel.imagine.env:WorldModelVectorEnv",
    )
