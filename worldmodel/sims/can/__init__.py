"""Simulated tasks behind the Gymnasium interface. Importing this registers them with Gymnasium."""

from typing import Any

import gymnasium

from worldmodel.sims.base import state_hash

from .perturb import PERTURBATIONS
from .robot import EnvConfig, RobotEnv
from .tasks import TASKS, Task, get_task

__all__ = ["PERTURBATIONS", "TASKS", "EnvConfig", "RobotEnv", "Task", "get_task", "make", "state_hash"]


def make(task: str, **options: Any) -> RobotEnv:
    """A `RobotEnv`; ``options`` are the fields of `EnvConfig`, for example ``make("place_can", size=96)``."""
    return RobotEnv(task, **options)


_IDS = {"lift_can": "LiftCan-v0", "place_can": "PlaceCan-v0", "place_can_anywhere": "PlaceCanAnywhere-v0"}
for _name, _id in _IDS.items():
    if f"worldmodel/{_id}" not in gymnasium.registry:
        gymnasium.register(f"worldmodel/{_id}", "worldmodel.sims.can.robot:RobotEnv", kwargs={"task": _name})
