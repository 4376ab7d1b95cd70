"""robosuite behind the wire: runs in robosuite's own environment and needs only that and NumPy."""

import json
import os
import sys
from typing import Any

import numpy as np

RENDERING = tuple(f"camera_{what}" for what in ("names", "heights", "widths", "depths", "segmentations"))
"""Arguments of recorded envs that are left out, beside ``render_camera``: we draw ourselves."""
OFF = ("has_renderer", "has_offscreen_renderer", "use_camera_obs", "hard_reset")
FIXED: dict[str, Any] = {**dict.fromkeys(OFF, False), "use_object_obs": True, "ignore_done": True, "seed": 0}
"""``seed``: what is drawn while the scene is built (the size of Lift's cube) is always the same."""


class RobosuiteServer:
    """One robosuite env. Calls take and give JSON values and arrays; see `answer`."""

    def __init__(self, env_name: str, env_kwargs: dict[str, Any], look: dict[str, Any]) -> None:
        """``look``: "cameras", "size" in pixels and "plain" (no reflections and multisampling: 4 times faster)."""
        suite = __import__("robosuite")  # lives in this script's own environment, not among our dependencies
        self.suite, self.look, self.steps = suite, look, 0
        unwanted = (*RENDERING, "render_camera")
        wanted = {name: value for name, value in env_kwargs.items() if name not in unwanted}
        self.controller = wanted["controller_configs"] = self._controller(wanted)
        self.env = suite.make(env_name, **{**wanted, **FIXED})
        self.mujoco = __import__("mujoco")
        self._renderer: Any = None
        # XML keeps six digits: only a scene that was itself read from XML is the one that a file's XML makes again
        self.load(self.env.sim.model.get_xml())

    def _controller(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The arm's controller: as configured, from robosuite 1.4's layout, or the default with our two words."""
        config, ours = wanted.get("controller_configs"), wanted.pop("ours", {})
        if config is None:
            config = self.suite.load_composite_controller_config(controller="BASIC", robot="Panda")
            config["body_parts"] = {"right": {**config["body_parts"]["right"], **ours}}
        elif "body_parts" not in config:
            factory = self.suite.controllers.composite.composite_controller_factory
            delta = config.get("control_delta", True)
            config = factory.refactor_composite_controller_config(config, "Panda", ["right"])
            config["body_parts"]["right"].update(input_ref_frame="world", input_type="delta" if delta else "absolute")
            wanted["lite_physics"] = False
        return dict(config)

    def describe(self) -> dict[str, Any]:
        """Versions, the scene as XML, cameras, action range and rate."""
        low, high = self.env.action_spec
        names = ("robosuite", "mujoco", "numpy")
        return {
            "versions": {name: sys.modules[name].__version__ for name in names},
            "gl": os.environ.get("MUJOCO_GL", ""),
            "model": self.env.sim.model.get_xml(),
            "controller": json.loads(json.dumps(self.controller, default=np.ndarray.tolist)),
            "cameras": list(self.env.sim.model.camera_names),
            "low": low.tolist(),
            "high": high.tolist(),
            "hertz": self.env.control_freq,
            "horizon": self.env.horizon,
        }

    def load(self, model: str) -> None:
        """Replace the scene by one from a file's ``model_file``."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.env.reset_from_xml_string(self.env.edit_model_xml(model))

    def reset(self, seed: int) -> None:
        """Draw a start from ``seed`` alone, then begin there as `start` does."""
        generator = np.random.default_rng(seed)
        placement = getattr(self.env, "placement_initializer", None)
        for owner in (self.env, placement, *getattr(placement, "samplers", {}).values()):
            if owner is not None:
                owner.rng = generator
        self.env.reset()
        self.start(self.flat())

    def start(self, flat: np.ndarray) -> None:
        """Begin an episode at a recorded state (time, qpos, qvel) the way robomimic replays: nothing hidden is left."""
        self.env.deterministic_reset = True
        try:
            self.env.reset()
        finally:
            self.env.deterministic_reset = False
        self.env.sim.reset()
        self.env.sim.set_state_from_flattened(flat)
        self.env.sim.forward()
        self.steps = 0

    def flat(self) -> np.ndarray:
        """Time, qpos and qvel, float64: what robomimic's files call a state."""
        return np.array(self.env.sim.get_state().flatten())

    def step(self, action: np.ndarray) -> None:
        """One control step."""
        self.env.step(action)
        data = self.env.sim.data._data
        warm = data.qacc_warmstart.copy()  # so that looking does not change what happens next
        self.env.sim.forward()
        data.qacc_warmstart[:] = warm
        self.steps += 1

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        """Low-dimensional observations (float64) and images (uint8, upright) of the state as it is now."""
        seen = self.env._get_observations(force_update=True)
        parts = {name: value for name, value in seen.items() if not name.endswith("-state")}
        found = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in parts.items()}
        return found | {f"{camera}_image": self._draw(camera) for camera in self.look["cameras"] if draw}

    def get_state(self) -> np.ndarray:
        """Everything that decides the future, float64."""
        part, gripper = self._hidden()
        raw, kind = self.env.sim, self.mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(self.mujoco.mj_stateSize(raw.model._model, kind))
        self.mujoco.mj_getState(raw.model._model, raw.data._data, physics, kind)
        goals = np.zeros(12) if part.goal_pos is None else np.append(part.goal_pos, np.ravel(part.goal_ori))
        flat = self.flat()
        return np.concatenate([[self.steps, len(flat)], flat, goals, gripper.current_action, physics])

    def set_state(self, state: np.ndarray) -> None:
        """Restore a vector of `get_state`; the same actions then lead to the same states, bit for bit."""
        part, gripper = self._hidden()
        count, most = int(state[1]), len(gripper.current_action)
        expected = len(self.get_state())
        if state.shape != (expected,) or count != len(self.flat()) or not np.isfinite(state).all():
            raise ValueError(f"state has shape {state.shape}, expected finite ({expected},) from this very scene")
        flat, rest = state[2 : 2 + count], state[2 + count :]
        self.start(flat)
        if state[0]:
            part, gripper = self._hidden()  # a reset made new ones
            part.goal_pos, part.goal_ori = rest[:3].copy(), rest[3:12].reshape(3, 3).copy()
            gripper.current_action = rest[12 : 12 + most].copy()
            raw, kind = self.env.sim, self.mujoco.mjtState.mjSTATE_INTEGRATION
            self.mujoco.mj_setState(raw.model._model, raw.data._data, rest[12 + most :], kind)
            raw.forward()
            self.mujoco.mj_setState(raw.model._model, raw.data._data, rest[12 + most :], kind)
            part.new_update = True
        self.steps = int(state[0])

    def _hidden(self) -> tuple[Any, Any]:
        """Where robosuite keeps state that is not the simulator's: the arm's controller and the gripper."""
        robot = self.env.robots[0]
        gripper = robot.gripper["right"]
        if len(gripper.current_action) == 1:
            gripper.current_action = np.repeat(gripper.current_action, 2)  # zeros (1,) after a reset, then (2,)
        return robot.composite_controller.part_controllers["right"], gripper

    def _draw(self, camera: str) -> np.ndarray:
        model, gl = self.env.sim.model._model, self.mujoco
        if self._renderer is None:
            if self.look.get("plain", True):
                model.vis.quality.offsamples = 0
                model.mat_reflectance[:] = 0
            self._renderer = gl.Renderer(model, self.look["size"], self.look["size"])
            self._seen = gl.MjvOption()
            self._seen.geomgroup[0] = 0  # collision shapes
        self._renderer.update_scene(self.env.sim.data._data, camera, self._seen)
        if self.look.get("plain", True):
            for flag in (gl.mjtRndFlag.mjRND_SHADOW, gl.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = 0
        return np.asarray(self._renderer.render())

    def answer(self, call: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], Any]:
        """Carry out one call; the episode as JSON, and the observation as arrays.

        Where the header says ``"draw": false``, it comes without images: drawing takes most of a step's time.
        """
        match call:
            case "step":
                self.step(arrays["action"])
            case "reset":
                self.reset(int(header["seed"]))
            case "start":
                if "model" in header:
                    self.load(str(header["model"]))
                self.start(arrays["state"])
            case "set_state":
                self.set_state(arrays["state"])
            case "observe":
                pass
            case _:
                raise ValueError(f"no such call: {call}")
        episode = {"success": bool(self.env._check_success()), "steps": self.steps}
        return episode, {"state": self.get_state(), "flat": self.flat(), **self.observe(header.get("draw", True))}


def make(header: dict[str, Any]) -> RobosuiteServer:
    """What the first call wants."""
    return RobosuiteServer(header["env_name"], header["env_kwargs"], header["look"])
