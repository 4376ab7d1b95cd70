"""The Gymnasium face of one task: a robot arm, 20 Hz Cartesian control, camera frames and a state out."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

import gymnasium
import numpy as np

from worldmodel.schema import AUDIO, AUDIO_HZ, CONTROL_HZ, ENVIRONMENT_STATE, STATE, image_key, segmentation_key

from .arm import ArmController, ArmTarget
from .backend import gl_backend, mujoco
from .cameras import MAX_SIZE, MIN_SIZE, Renderer, make_renderer
from .microphone import Microphone
from .perturb import Perturber, check_perturbation
from .scene import CAMERAS, MAX_WIDTH, WORKSPACE_HIGH, WORKSPACE_LOW, load_scene
from .snapshot import Snapshot
from .tasks import Task, get_task

SETTLE_SUBSTEPS = 20
"""Physics steps between placing the can and the first observation, so that episodes begin at rest."""


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
            if camera not in CAMERAS:
                close = get_close_matches(str(camera), CAMERAS, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "leave cameras out for both"
                raise ValueError(f"unknown camera {camera!r}, expected one of {', '.join(CAMERAS)}; {hint}")
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"cameras {self.cameras} repeat a name; name each camera once")
        _check_integer("camera size", self.size, MIN_SIZE, MAX_SIZE, "pixels, for example 96")
        _check_integer("msaa", self.msaa, 0, 16, "samples per pixel, for example 0")
        check_perturbation(self.perturb)


def _check_integer(name: str, value: Any, low: int, high: int, hint: str) -> None:
    """Raises a one-line ValueError unless ``value`` is an integer in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"{name} {value!r} is not an integer from {low} to {high}; give {hint}")


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

        Raises:
            ValueError: unknown task, option, camera or perturbation, or a size out of range.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"unknown render mode {render_mode!r}, expected 'rgb_array' or None; use 'rgb_array'")
        self.task = get_task(task) if isinstance(task, str) else task
        self.config = replace(config or EnvConfig(), **_check_options(options))
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
        unknown = set(options or {}) - {"state"}
        if unknown:
            raise ValueError(f"unknown reset option {sorted(unknown)[0]!r}, expected 'state'; remove it")
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

        Raises:
            ValueError: wrong shape, or a value that is not finite; the simulation has then not moved.
            RuntimeError: called before `reset`.
        """
        if self._target is None:
            raise RuntimeError("step called before reset; call env.reset(seed=...) first")
        action = self._checked(action)
        self._target = self._arm.advance(self._target, action)
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

    def _checked(self, action: Any) -> np.ndarray:
        """The action as float64 (4,), or a ValueError."""
        array = np.asarray(action, dtype=np.float64)
        if array.shape != (4,):
            raise ValueError(
                f"action has shape {array.shape}, expected (4,): target x, y, z in metres and gripper command"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"action {array.tolist()} is not finite, expected metres and a gripper command in [-1, 1]")
        return array

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
        """What no camera shows exactly, float64: can position (3,), quaternion (4,), velocity (3,).

        Where the bin moves also its centre (2,).
        """
        scene = self.scene
        place = {"bin_position": np.array([scene.bin.x, scene.bin.y])} if scene.bin_moves else {}
        return {
            "can_position": scene.can_position,
            "can_quaternion": scene.can_quaternion,
            "can_velocity": scene.can_velocity,
            **place,
        }

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
        if self._target is None:
            raise RuntimeError("render called before reset; call env.reset(seed=...) first")
        return np.concatenate([self.draw(camera) for camera in self.config.cameras or CAMERAS], axis=1)

    def get_state(self) -> np.ndarray:
        """Everything that decides the future, float64 (N,): integration state, controller target, counters."""
        if self._target is None:
            raise RuntimeError("get_state called before reset; call env.reset(seed=...) first")
        return Snapshot(self.scene.get_state(), self._target, self._held, self._steps).pack()

    def set_state(self, state: np.ndarray) -> None:
        """Restores a vector of `get_state`; the same actions then give the same observations, bit for bit.

        A microphone begins from silence: what rang when the state was taken is no part of it.

        Raises:
            ValueError: wrong length, or values that are not finite; the simulation has then not changed.
        """
        snapshot = Snapshot.unpack(state, self.scene.state_size)
        self.scene.set_state(snapshot.physics)
        self._target, self._held, self._steps = snapshot.target, snapshot.held, snapshot.steps
        self._hush()

    def _hush(self) -> None:
        """Silence, as at the beginning of an episode."""
        self._heard = np.zeros_like(self._heard)
        if self._microphone is not None:
            self._microphone.hush()

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for results to be comparable bit for bit."""
        return {
            "task": self.task.name,
            "mujoco": mujoco.__version__,
            "gl": self._renderer.backend if self._renderer else gl_backend(),
            "scene_sha256": self.scene.sha256,
            "cameras": list(self.config.cameras),
            "size": self.config.size,
            "perturb": self.config.perturb,
            "shadows": self.config.shadows,
            "msaa": self.config.msaa,
            **({"microphone": AUDIO_HZ} if self.config.microphone else {}),
            **({"segmentation": True} if self.config.segmentation else {}),
        }

    def close(self) -> None:
        """Frees the renderer; safe to call twice."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Returns ``options`` if `EnvConfig` knows them all."""
    known = [field.name for field in fields(EnvConfig)]
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
            raise ValueError(f"unknown env option {name!r}, expected one of {', '.join(known)}; {hint}")
    return options
