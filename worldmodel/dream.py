"""Dreams: a world model wearing the Gymnasium interface. Importing this registers them with Gymnasium."""

import gymnasium

from worldmodel.imagine.env import DreamEnv
from worldmodel.imagine.vector import DreamVectorEnv

__all__ = ["DreamEnv", "DreamVectorEnv"]

if "worldmodel/Dream-v0" not in gymnasium.registry:
    gymnasium.register(
        "worldmodel/Dream-v0",
        entry_point="worldmodel.imagine.env:DreamEnv",
        vector_entry_point="worldmodel.imagine.vector:DreamVectorEnv",
    )
