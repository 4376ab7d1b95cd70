"""Meta-World's tasks as Gymnasium envs; the simulator has its own environment and process."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from worldmodel.sims.remote.process import ServerProcess, python_of

CAMERAS = ("corner4", "gripperPOV")  # What is shown where no cameras are chosen
SECONDS = 120.0  # How long a call may take


class MetaWorld(gymnasium.Env):
    """One task, its goal in the observation: float64 (39,), as Meta-World gives it. Actions: 4 numbers in [-1, 1].

    ``reset(seed)`` decides the start alone; ``info`` tells ``success`` at every step, which does not end the episode.
    """

    push = np.array([0.5, 0.5, 0.5, 0.0])
    """How far exploration shifts an action; the gripper is left alone."""

    def __init__(self, name: str, size: int, python: Path | None = None, **options: Any) -> None:
        """Starts the simulator. UserError: not installed, no such task or option."""
        self._process = ServerProcess("metaworld", python or python_of("metaworld"), SECONDS)
        about = self.about = self._process.call("make", {"name": name, "size": size, "options": options})[0]
        self.cameras, self.usual = tuple(about["cameras"]), CAMERAS
        box = gymnasium.spaces.Box
        self.observation_space = box(-np.inf, np.inf, (int(about["numbers"]),), np.float64)
        self.action_space = box(np.array(about["low"], np.float32), np.array(about["high"], np.float32))
        self.metadata = {"render_modes": [], "render_fps": about["hertz"]}
        self.spec = EnvSpec(f"metaworld/{name}", max_episode_steps=int(about["steps"]))
        self.version = f"metaworld {about['versions']['metaworld']}"
        kept = ("gymnasium", "mujoco", "numpy")
        self.versions = {**{key: about["versions"][key] for key in kept}, "gl": about["gl"]}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = seed if seed is not None else int(self.np_random.integers(2**31))
        told, found = self._process.call("reset", {"seed": drawn})
        return found["seen"], dict(told["info"])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step, 1/80 s."""
        told, found = self._process.call("step", None, {"action": np.asarray(action, np.float64)})
        return found["seen"], told["reward"], told["terminated"], told["truncated"], dict(told["info"])

    def draw(self, camera: str) -> np.ndarray:
        """One camera's picture, uint8 (size, size, 3)."""
        return self._process.call("draw", {"camera": camera})[1]["picture"]

    def scripted(self) -> np.ndarray:
        """What Meta-World's own scripted policy does now, float64 (4,)."""
        return self._process.call("scripted")[1]["action"]

    def close(self) -> None:
        self._process.close()
