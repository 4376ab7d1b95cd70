"""Dreams: a world model wearing the Gymnasium interface. Importing this registers them with Gymnasium."""

import gymnasium

from worldmodel.dream.env import DreamEnv
from worldmodel.dream.vector import DreamVectorEnv

__all__ = ["DreamEnv", "DreamVectorEnv"]

if "worldmodel/Dream-v0" not in gymnasium.registry:
    gymnasium.register(
        "worldmodel/Dream-v0",
        entry_point="worldmodel.dream.env:DreamEnv",
        vector_entry_point="worldmodel.dream.vector:DreamVectorEnv",
    )
