"""worldmodel's tasks as a LeRobot env: ``--env.type=worldmodel --env.task=lift_can``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from worldmodel.schema import ACTION, CONTROL_HZ, STATE, image_key
from worldmodel.sims.can import TASKS, RobotEnv, get_task

NAMESPACE = "worldmodel_lerobot"
"""Gymnasium's ids of the envs that LeRobot makes begin with this: they show what LeRobot expects an env to show."""


class LeRobotEnv(gymnasium.ObservationWrapper):
    """A `RobotEnv` with LeRobot's manners.

    Observations are ``{"pixels": {camera: uint8 (size, size, 3)}, "agent_pos": float32 (4,)}``; info has
    ``is_success``; ``task`` and ``task_description`` are the task's name, which is also what data sets converted from
    our stores call it.
    """

    def __init__(self, task: str, cameras: tuple[str, ...] = ("scene", "wrist"), **options: Any) -> None:
        """``options`` are fields of `worldmodel.sims.can.EnvConfig`, and ``render_mode``."""
        self.robot = RobotEnv(task, cameras=tuple(cameras), **options)
        super().__init__(self.robot)
        self.task = self.task_description = task
        self._max_episode_steps = round(self.robot.task.seconds * CONTROL_HZ)
        spaces: Any = self.robot.observation_space  # a Dict
        frames = {camera: spaces[image_key(camera)] for camera in self.robot.config.cameras}
        self.observation_space = gymnasium.spaces.Dict(
            {"pixels": gymnasium.spaces.Dict(frames), "agent_pos": spaces[STATE]}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """As `RobotEnv.reset`; LeRobot's own options are none of its business."""
        known = {"state": options["state"]} if options and "state" in options else None
        observation, info = self.robot.reset(seed=seed, options=known)
        return self.observation(observation), self._told(info)

    def step(self, action: np.ndarray) -> Any:
        """As `RobotEnv.step`."""
        observation, reward, success, truncated, info = self.robot.step(action)
        return self.observation(observation), reward, success, truncated, self._told(info)

    def observation(self, observation: dict[str, np.ndarray]) -> dict[str, Any]:
        """An observation in LeRobot's layout."""
        frames = {camera: observation[image_key(camera)] for camera in self.robot.config.cameras}
        return {"pixels": frames, "agent_pos": observation[STATE]}

    @staticmethod
    def _told(info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "is_success": info["success"]}


@EnvConfig.register_subclass("worldmodel")
@dataclass
class WorldModelEnv(EnvConfig):
    """Our tasks at 20 Hz: end-effector targets in, two cameras and the gripper's pose out.

    task: lift_can, place_can or place_can_anywhere. size: side of the frames in pixels. cameras: which, in this order.
    perturb: a change of the scene's look (``worldmodel evaluate --help`` lists them).
    """

    task: str | None = "lift_can"
    fps: int = CONTROL_HZ
    size: int = 96
    cameras: tuple[str, ...] = ("scene", "wrist")
    perturb: str = "none"
    render_mode: str = "rgb_array"
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        get_task(str(self.task))
        if self.fps != CONTROL_HZ:
            raise ValueError(f"env.fps={self.fps}: these tasks run at {CONTROL_HZ} Hz; leave it out")
        self.features = {
            ACTION: PolicyFeature(type=FeatureType.ACTION, shape=(4,)),
            "agent_pos": PolicyFeature(type=FeatureType.STATE, shape=(4,)),
        }
        for camera in self.cameras:
            shape = (self.size, self.size, 3)
            self.features[image_key(camera)] = PolicyFeature(type=FeatureType.VISUAL, shape=shape)
        self.features_map = {key: STATE if key == "agent_pos" else key for key in self.features}

    @property
    def package_name(self) -> str:
        """Namespace of the envs' ids."""
        return NAMESPACE

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What the env is made with."""
        shown = {"cameras": self.cameras, "size": self.size, "perturb": self.perturb}
        return {**shown, "render_mode": self.render_mode}


for _task in TASKS:
    if f"{NAMESPACE}/{_task}" not in gymnasium.registry:
        entry = f"{__name__}:{LeRobotEnv.__name__}"
        gymnasium.register(f"{NAMESPACE}/{_task}", entry_point=entry, kwargs={"task": _task})
