"""Meta-World behind the wire: runs in Meta-World's own environment and needs only that, Gymnasium and NumPy."""

import difflib
import os
from typing import Any

import numpy as np

UPSIDE_DOWN = -0.3
"""Height of a camera's upward axis below which its picture is turned round: some of Meta-World's hang head first."""


class MetaWorldTask:
    """One of Meta-World's tasks with its goal in the observation, a start for every seed, and its scripted policy."""

    def __init__(self, name: str, size: int, options: dict[str, Any]) -> None:
        metaworld = __import__("metaworld")  # lives in this process's own environment, not among our dependencies
        self.mujoco, kinds = __import__("mujoco"), metaworld.ALL_V3_ENVIRONMENTS
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1, cutoff=0.3)
            raise ValueError(f"no such task {name!r}; did you mean '{near[0] if near else 'pick-place-v3'}'?")
        env = self.env = kinds[name](render_mode="rgb_array", width=size, height=size, **options)
        env._partially_observable = env._freeze_rand_vec = False
        env._set_task_called = env.seeded_rand_vec = True
        del env.sawyer_observation_space  # computed for a hidden goal
        env.model.vis.quality.offsamples = 0
        env.model.light_castshadow[:] = env.model.mat_reflectance[:] = 0
        self.policy = __import__("metaworld.policies", fromlist=["ENV_POLICY_MAP"]).ENV_POLICY_MAP[name]()
        self.reset(0)

    def describe(self) -> dict[str, Any]:
        """Versions, cameras, action range, rate, time limit, and how many numbers an observation has."""
        env, names = self.env, ("metaworld", "mujoco", "gymnasium", "numpy")
        version = __import__("importlib.metadata", fromlist=["version"]).version
        return {
            "versions": {name: version(name) for name in names},
            "gl": os.environ.get("MUJOCO_GL", ""),
            "cameras": [env.model.camera(i).name for i in range(env.model.ncam)],
            "low": env.action_space.low.tolist(),
            "high": env.action_space.high.tolist(),
            "hertz": env.metadata["render_fps"],
            "steps": env.max_path_length,
            "numbers": len(self.seen),
        }

    def reset(self, seed: int) -> None:
        """Draw a start from ``seed`` alone."""
        self.mujoco.mj_resetData(self.env.model, self.env.data)
        self.env.seed(seed)
        self.seen, self.info = self.env.reset()

    def draw(self, camera: str) -> np.ndarray:
        """One camera's picture, uint8 (size, size, 3), upright."""
        number, renderer = self.env.model.camera(camera).id, self.env.mujoco_renderer
        renderer.camera_id = number
        picture = np.asarray(renderer.render("rgb_array"))
        down = self.env.data.cam_xmat[number].reshape(3, 3)[2, 1] < UPSIDE_DOWN
        return np.ascontiguousarray(picture[::-1, ::-1] if down else picture)

    def answer(self, call: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], Any]:
        """Carry out one call; what it gives as JSON and as arrays."""
        result: dict[str, Any] = {}
        match call:
            case "reset":
                self.reset(int(header["seed"]))
            case "step":
                self.seen, reward, terminated, truncated, self.info = self.env.step(arrays["action"])
                result = {"reward": float(reward), "terminated": bool(terminated), "truncated": bool(truncated)}
            case "draw":
                return {}, {"picture": self.draw(str(header["camera"]))}
            case "scripted":
                return {}, {"action": np.asarray(self.policy.get_action(self.seen), np.float64)}
            case _:
                raise ValueError(f"no such call: {call}")
        result["info"] = {key: float(value) for key, value in self.info.items() if np.ndim(value) == 0}
        return result, {"seen": np.asarray(self.seen, np.float64)}


def make(header: dict[str, Any]) -> MetaWorldTask:
    """What the first call wants."""
    return MetaWorldTask(header["name"], int(header["size"]), dict(header["options"]))
