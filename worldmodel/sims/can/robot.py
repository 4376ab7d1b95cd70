"""One task as a Gymnasium env: a robot arm, 20 Hz Cartesian control, camera frames and a state out."""

from dataclasses import dataclass, fields, replace
from typing import Any

import gymnasium
import numpy as np

from worldmodel.config import known
from worldmodel.schema import (
    AUDIO,
    AUDIO_HZ,
    CONTROL_HZ,
    ENVIRONMENT_STATE,
    SEGMENTATION,
    STATE,
    image_key,
    segmentation_key,
)  # fmt: skip

from .arm import ArmController, ArmTarget
from .backend import gl_backend, mujoco
from .cameras import MAX_SIZE, MIN_SIZE, Renderer, make_renderer
from .microphone import Microphone
from .perturb import PERTURBATIONS, Perturber
from .scene import CAMERAS, MAX_WIDTH, WORKSPACE_HIGH, WORKSPACE_LOW, load_scene
from .tasks import Task, get_task

OPTIONAL_KEYS = {AUDIO: "microphone", SEGMENTATION: "segmentation"}
"""What observations hold only where an option of `EnvConfig` says so; a key ends with what follows its prefix."""
SETTLE_SUBSTEPS = 20  # Physics steps between placing the can and the first observation, so that episodes begin at rest


@dataclass(frozen=True)
class EnvConfig:
    """What a `RobotEnv` shows and how it draws. ``size`` is the side of the square images in pixels, 16 to 1024."""

    cameras: tuple[str, ...] = CAMERAS
    size: int = 96
    privileged: bool = False
    perturb: str = "none"
    shadows: bool = False
    msaa: int = 0
    render_images: bool = True
    microphone: bool = False
    segmentation: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(np.atleast_1d(self.cameras).tolist()))
        for camera in self.cameras:
            known("camera", camera, CAMERAS)
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"cameras {self.cameras} repeat a name; name each camera once")
        bounds = {"camera size": (self.size, MIN_SIZE, MAX_SIZE), "msaa": (self.msaa, 0, 16)}
        for name, (value, low, high) in bounds.items():
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                raise ValueError(f"{name} {value!r} is not an integer from {low} to {high}; leave it out")
        known("perturbation", self.perturb, PERTURBATIONS)


class RobotEnv(gymnasium.Env):
    """One task under 20 Hz Cartesian control.

    Action, float32 (4,): target of the end effector x, y, z (metres, absolute, world frame, inside the workspace) and
    gripper command from -1 (open) to +1 (close). The target is clipped to the workspace and moves at most 3 cm a step.

    Observation: ``observation.images.<camera>`` uint8 (size, size, 3); ``observation.state`` float32 (4,) = end
    effector x, y, z and gripper opening, metres; with ``privileged`` also ``observation.environment_state`` float32
    (10,) = can position (3, m), quaternion (4, w x y z), velocity (3, m/s); (12,) where the bin moves, with its centre
    x, y (m) last; with ``microphone`` also ``observation.audio`` float32 (400,) in [-1, 1], heard during the last
    control step at 8 kHz, silent after `reset` and `set_state`; with ``segmentation`` also
    ``observation.segmentation.<camera>`` uint8 (size, size), 0 background, 1 gripper, 2 object. Reward is 1.0 on the
    step of success, else 0.0.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ, "audio_hz": AUDIO_HZ}

    def __init__(
        self, task: str | Task, config: EnvConfig | None = None, *, render_mode: str | None = None, **options: Any
    ) -> None:
        """``options`` are fields of `EnvConfig` and override ``config``.

        Raises ValueError: unknown task, option, camera or perturbation, or a size out of range.
        """
        known("render mode", render_mode or "rgb_array", ("rgb_array",))
        for name in options:
            known("env option", name, [field.name for field in fields(EnvConfig)])
        self.task = get_task(task) if isinstance(task, str) else task
        self.config = replace(config or EnvConfig(), **options)
        self.render_mode = render_mode
        self.scene = load_scene(self.task.scene)
        self._arm = ArmController(self.scene)
        self._perturber = Perturber(self.scene, self.config.perturb)
        self._renderer: Renderer | None = None
        self._substeps = self.scene.substeps(CONTROL_HZ)
        self._microphone = Microphone(self.scene) if self.config.microphone else None
        self._heard = np.zeros(AUDIO_HZ // CONTROL_HZ, np.float32)
        self._target: ArmTarget | None = None
        self._held = self._steps = 0
        low, high = np.append(WORKSPACE_LOW, -1), np.append(WORKSPACE_HIGH, 1)
        self.action_space = gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.observation_space = self._observation_space()

    def _observation_space(self) -> gymnasium.spaces.Dict:
        size, box = self.config.size, gymnasium.spaces.Box
        spaces: dict[str, gymnasium.Space] = {}
        if self.config.render_images:
            spaces |= {image_key(name): box(0, 255, (size, size, 3), np.uint8) for name in self.config.cameras}
        low, high = np.array([-1, -1, -0.1, -0.02], np.float32), np.array([1, 1, 1.2, MAX_WIDTH + 0.02], np.float32)
        spaces[STATE] = box(low, high)
        if self.config.privileged:
            spaces[ENVIRONMENT_STATE] = box(-np.inf, np.inf, (12 if self.scene.bin_moves else 10,), np.float32)
        if self.config.microphone:
            spaces[AUDIO] = box(-1, 1, (AUDIO_HZ // CONTROL_HZ,), np.float32)
        if self.config.segmentation:
            spaces |= {segmentation_key(name): box(0, 2, (size, size), np.uint8) for name in self.config.cameras}
        return gymnasium.spaces.Dict(spaces)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Starts an episode: drawn from the task's start distribution, or ``options={"state": vector}`` of `get_state`.

        The look of a perturbed env is drawn from the same seed either way.
        """
        super().reset(seed=seed)
        for name in options or {}:
            known("reset option", name, ("state",))
        # Drawn first and always: an env restored from a state then looks the same as one that drew its start
        start = self.task.start(self.np_random)
        scene = self.scene
        mujoco.mj_resetData(scene.model, scene.data)
        scene.data.qpos[scene.can_qpos : scene.can_qpos + 2] = start.can
        scene.data.qpos[scene.can_qpos + 3 : scene.can_qpos + 7] = [np.cos(start.yaw / 2), 0, 0, np.sin(start.yaw / 2)]
        scene.furnish(start.bin, start.things)
        self._target = self._arm.place(start.eef, MAX_WIDTH)
        mujoco.mj_step(scene.model, scene.data, SETTLE_SUBSTEPS)
        scene.data.time = 0.0
        self._held = self._steps = 0
        self._hush()
        scene.refresh()
        # Before a given state replaces the drawn one, so that the look follows from the seed alone
        self._perturber.redraw(self.np_random)
        scene.refresh()
        if options and "state" in options:
            self.set_state(options["state"])
        return self.observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Holds ``action`` for 1/20 s.

        Raises ValueError for a wrong shape or a value that is not finite, before anything moves; RuntimeError before
        `reset`.
        """
        target, action = self._begun("step"), np.asarray(action, np.float64)
        if action.shape != (4,):
            what = "target x, y, z in metres and gripper command"
            raise ValueError(f"action has shape {action.shape}, expected (4,): {what}")
        if not np.isfinite(action).all():
            raise ValueError(
                f"action {action.tolist()} is not finite, expected metres and a gripper command in [-1, 1]"
            )
        self._target = self._arm.advance(target, action)
        self._arm.command(self._target)
        if self._microphone is None:
            mujoco.mj_step(self.scene.model, self.scene.data, self._substeps)
        else:
            self._heard = self._microphone.listen(self._substeps)
        self.scene.refresh()
        self._steps += 1
        self._held = self._held + 1 if self.task.holds(self.scene) else 0
        truncated = not self.success and self._steps >= round(self.task.seconds * CONTROL_HZ)
        return self.observe(), float(self.success), self.success, truncated, self._info()

    def _begun(self, call: str) -> ArmTarget:
        if self._target is None:
            raise RuntimeError(f"{call} called before reset; call env.reset(seed=...) first")
        return self._target

    @property
    def success(self) -> bool:
        """Whether the task's condition has held long enough."""
        return self._held >= self.task.hold_steps

    @property
    def solved(self) -> bool:
        """Whether the condition holds now, if only for one step."""
        return bool(self.success or self.task.holds(self.scene))

    def _info(self) -> dict[str, Any]:
        return {"success": self.success, "time": self._steps / CONTROL_HZ}

    def observe(self) -> dict[str, np.ndarray]:
        """The observation now; a function of `get_state` and the perturbation alone, but for what is still heard."""
        observation = {image_key(name): self.draw(name) for name in self.config.cameras if self.config.render_images}
        observation[STATE] = np.append(self.scene.eef, self.scene.width).astype(np.float32)
        if self.config.privileged:
            observation[ENVIRONMENT_STATE] = np.concatenate(list(self.privileged().values())).astype(np.float32)
        if self.config.microphone:
            observation[AUDIO] = self._heard.copy()
        if self.config.segmentation:
            observation |= {segmentation_key(name): self.segment(name) for name in self.config.cameras}
        return observation

    def privileged(self) -> dict[str, np.ndarray]:
        """What no camera shows exactly, float64: the can's position (3,), quaternion (4,) and velocity (3,), and the
        centre (2,) of a bin that moves.
        """
        scene = self.scene
        found = {f"can_{name}": getattr(scene, f"can_{name}") for name in ("position", "quaternion", "velocity")}
        return found | ({"bin_position": np.array([scene.bin.x, scene.bin.y])} if scene.bin_moves else {})

    def draw(self, camera: str) -> np.ndarray:
        """One camera's view now, uint8 (size, size, 3). The renderer is made at the first call."""
        return self._drawing().draw(self.scene.data, camera)

    def segment(self, camera: str) -> np.ndarray:
        """Whose each of a camera's pixels is now, uint8 (size, size): 0 background, 1 gripper, 2 object."""
        geoms = self._drawing().geoms(self.scene.data, camera)
        return np.append(self.scene.parts, np.uint8(0))[geoms]  # where nothing is hit, -1, the last entry

    def _drawing(self) -> Renderer:
        if self._renderer is None:
            config = self.config
            self._renderer = make_renderer(self.scene.model, config.size, config.shadows, config.msaa)
        return self._renderer

    def render(self) -> np.ndarray:
        """All cameras side by side, uint8 (size, size x cameras, 3). Raises RuntimeError before `reset`."""
        self._begun("render")
        return np.concatenate([self.draw(camera) for camera in self.config.cameras or CAMERAS], axis=1)

    def get_state(self) -> np.ndarray:
        """Everything that decides the future, float64 (N,): integration state, controller target, counters."""
        target = self._begun("get_state")
        counts = [target.width, self._held, self._steps]
        return np.concatenate([self.scene.get_state(), target.joints, target.position, counts])

    def set_state(self, state: np.ndarray) -> None:
        """Restores a vector of `get_state`; the same actions then give the same observations, bit for bit.

        A microphone begins from silence: what rang when the state was taken is no part of it. ValueError, before
        anything changes, for a wrong length or values that are not finite.
        """
        state, size = np.array(state, np.float64), self.scene.state_size + 13
        if state.shape != (size,) or not np.isfinite(state).all():
            problem = f"has shape {state.shape}" if state.shape != (size,) else "holds values that are not finite"
            expected = f"finite float64 ({size},) from get_state of the same scene under the same MuJoCo"
            raise ValueError(f"state {problem}, expected {expected}; record the states again")
        self.scene.set_state(state[:-13])
        self._target = ArmTarget(state[-13:-6], state[-6:-3], float(state[-3]))
        self._held, self._steps = map(int, state[-2:])
        self._hush()

    def _hush(self) -> None:
        self._heard = np.zeros_like(self._heard)
        if self._microphone is not None:
            self._microphone.hush()

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for results to be comparable bit for bit."""
        config, backend = self.config, self._renderer.backend if self._renderer else gl_backend()
        made = {"task": self.task.name, "mujoco": mujoco.__version__, "gl": backend, "scene_sha256": self.scene.sha256}
        shown = {name: getattr(config, name) for name in ("size", "perturb", "shadows", "msaa")}
        more: dict[str, Any] = {"microphone": AUDIO_HZ} if config.microphone else {}
        more |= {"segmentation": True} if config.segmentation else {}
        return made | shown | {"cameras": list(config.cameras)} | more

    def close(self) -> None:
        """Frees the renderer; safe to call twice."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
