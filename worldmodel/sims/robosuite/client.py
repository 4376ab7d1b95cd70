"""robosuite's tasks as Gymnasium envs with our observation keys; the simulator has its own environment and process."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

from worldmodel.config import UserError, closest
from worldmodel.data.formats.conventions import absolute_from_ten, matrix_from_six
from worldmodel.schema import STATE, image_key
from worldmodel.sims.remote.process import ServerProcess, python_of

TASKS = ("Lift", "PickPlaceCan", "NutAssemblySquare")
CAMERAS = ("agentview", "robot0_eye_in_hand")
STATE_PARTS = ("robot0_eef_pos", "robot0_eef_quat_site", "robot0_gripper_qpos")
"""What ``observation.state`` is made of: 3 metres, 4 of a unit quaternion x y z w, 2 finger positions in metres."""


@dataclass(frozen=True)
class RobosuiteConfig:
    """Which task, and how it is seen and driven.

    actions: "delta" takes robosuite's own 7 numbers (OSC_POSE: +-1 is 5 cm and half a radian along the world's axes,
    gripper -1 open and +1 close); "absolute" takes 10: target position (m), 6-D rotation, gripper, world frame.
    plain: without reflections and multisampling, 4 times faster. horizon: control steps before truncation.
    env_kwargs: replaces robosuite's arguments, for example by those in a robomimic file.
    """

    task: str = "PickPlaceCan"
    size: int = 84
    cameras: tuple[str, ...] = CAMERAS
    actions: Literal["delta", "absolute"] = "delta"
    horizon: int = 400
    plain: bool = True
    seconds: float = 300.0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """What ``robosuite.make`` gets. "ours" is merged into the default controller where none is named."""
        kwargs = {"robots": "Panda", "control_freq": 20, "reward_shaping": False, "horizon": 1000, **self.env_kwargs}
        if "controller_configs" not in kwargs:
            kwargs["ours"] = {"input_type": self.actions, "input_ref_frame": "world"}
        return kwargs


class RobosuiteEnv(gymnasium.Env):
    """One robosuite task at 20 Hz.

    Observation: ``observation.images.<camera>`` uint8 (size, size, 3), upright; ``observation.state`` float32 (9,), see
    `STATE_PARTS`. `privileged` gives all of robosuite's own low-dimensional observations. Unlike robosuite's, they are
    of the state after the step, not one substep earlier. Reward and termination: 1.0 and the end on success.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, config: RobosuiteConfig | None = None, python: Path | None = None) -> None:
        """Starts the simulator; ``python`` overrides the environment of ``worldmodel env install robosuite``.

        Raises UserError: not installed, unknown task or camera.
        """
        self.config = config or RobosuiteConfig()
        if self.config.task not in TASKS and not self.config.env_kwargs:
            raise UserError(f"task={self.config.task}: no such robosuite task; {closest(self.config.task, TASKS)}")
        self._process = ServerProcess("robosuite", python or python_of("robosuite"), self.config.seconds)
        look = {"cameras": self.config.cameras, "size": self.config.size, "plain": self.config.plain}
        header = {"env_name": self.config.task, "env_kwargs": self.config.arguments(), "look": look}
        self.about = self._process.call("make", header)[0]
        if unknown := [name for name in self.config.cameras if name not in self.about["cameras"]]:
            self.close()
            raise UserError(f"camera {unknown[0]}: no such camera; {closest(unknown[0], self.about['cameras'])}")
        box, side = gymnasium.spaces.Box, self.config.size
        images = {image_key(name): box(0, 255, (side, side, 3), np.uint8) for name in self.config.cameras}
        self.observation_space = gymnasium.spaces.Dict({**images, STATE: box(-np.inf, np.inf, (9,), np.float32)})
        ten = np.array([np.inf] * 3 + [1.0] * 7)
        low, high = np.array(self.about["low"]), np.array(self.about["high"])
        low, high = (-ten, ten) if self.config.actions == "absolute" else (low, high)
        self.action_space = box(low.astype(np.float32), high.astype(np.float32))
        self._episode: dict[str, Any] = {}
        self._found: dict[str, np.ndarray] = {}

    def _do(self, call: str, header: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
        """Carry out a call; keeps what the simulator says of the episode, and the observation."""
        self._episode, self._found = self._process.call(call, header, arrays)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """Draws a start from ``seed``, or begins at ``options={"state": vector}`` of `get_state`."""
        super().reset(seed=seed)
        if options and "state" in options:
            self.set_state(options["state"])
        else:
            self._do("reset", {"seed": seed if seed is not None else int(self.np_random.integers(2**31))})
        return self.observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control step; ValueError for a wrong shape or numbers that are not finite, before anything moves."""
        self.advance(action, draw=True)
        return self.observe(), float(self.success), self.success, self.over, self._info()

    def advance(self, action: np.ndarray, draw: bool = False) -> None:
        """`step` without looking, unless with ``draw``; ValueError as there, and for a 6-D rotation that is none."""
        sent = np.asarray(action, np.float64)
        if sent.shape != self.action_space.shape or not np.isfinite(sent).all():
            raise ValueError(f"action {sent.tolist()}: expected {self.action_space.shape} finite numbers")
        if self.config.actions == "absolute":
            with np.errstate(all="ignore"):
                turns = np.isfinite(matrix_from_six(sent[3:9])).all()
            if not turns:
                raise ValueError(f"action {sent.tolist()}: numbers 4 to 9 are no rotation, expected two directions")
            sent = absolute_from_ten(sent)
        self._do("step", {"draw": draw}, action=sent)

    @property
    def success(self) -> bool:
        return bool(self._episode["success"])

    @property
    def steps(self) -> int:
        return int(self._episode["steps"])

    @property
    def over(self) -> bool:
        return not self.success and self.steps >= self.config.horizon

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the present state, drawn now where the last step was not."""
        if any(f"{name}_image" not in self._found for name in self.config.cameras):
            self._do("observe")
        seen = {image_key(name): self._found[f"{name}_image"] for name in self.config.cameras}
        return seen | {STATE: np.concatenate([self._found[name] for name in STATE_PARTS]).astype(np.float32)}

    def privileged(self) -> dict[str, np.ndarray]:
        """robosuite's low-dimensional observations by their own names, float64, the object's state among them."""
        ours = {"state", "flat", *(f"{name}_image" for name in self.config.cameras)}
        return {name: value for name, value in self._found.items() if name not in ours}

    @property
    def flat(self) -> np.ndarray:
        """Time, qpos, qvel, float64: a row of ``states`` in robomimic's files."""
        return self._found["flat"]

    def get_state(self) -> np.ndarray:
        return self._found["state"].copy()

    def set_state(self, state: np.ndarray) -> None:
        """Restores a vector of `get_state`; UserError where it is of another scene."""
        self._do("set_state", state=np.asarray(state, np.float64))

    def start(self, flat: np.ndarray, model: str | None = None) -> dict[str, np.ndarray]:
        """Begins at a row of ``states``, in the scene ``model`` (XML) where given, as robomimic replays."""
        self._do("start", {} if model is None else {"model": model}, state=np.asarray(flat, np.float64))
        return self.observe()

    def render(self) -> np.ndarray:
        """All cameras side by side."""
        return np.concatenate([self._found[f"{name}_image"] for name in self.config.cameras], axis=1)

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for results to be comparable bit for bit; ``scene_sha256`` is of the scene alone."""
        # where the meshes lie is another place on every machine, and no part of the scene
        model = re.sub(r'file="[^"]*[/\\]', 'file="', self.about["model"])
        scene = hashlib.sha256(model.encode()).hexdigest()
        config = {name: getattr(self.config, name) for name in ("task", "size", "actions", "plain")}
        made = {**self.about["versions"], "gl": self.about["gl"], "scene_sha256": scene}
        return {**config, "cameras": list(self.config.cameras), **made}

    def _info(self) -> dict[str, Any]:
        return {"success": self.success, "time": self.steps / self.about["hertz"]}

    def close(self) -> None:
        self._process.close()
