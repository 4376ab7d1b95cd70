"""Episodes of robosuite as robomimic's demonstrations, and the proof that their actions lead where they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from worldmodel.data.formats.hdf5 import Demo, Head
from worldmodel.sims.robosuite.client import RobosuiteEnv

ROBOSUITE = 1
"""robomimic's number for robosuite among kinds of envs."""

type Act = Callable[[RobosuiteEnv], np.ndarray]
"""What decides on an action, float (A,), by looking at the env."""


def record(env: RobosuiteEnv, act: Act, seed: int, name: str, tail: int = 0) -> Demo:
    """One episode from ``seed`` as a demonstration; it goes on for ``tail`` steps after success.

    ``states[t]`` and ``obs[t]`` are what the action ``actions[t]`` was chosen on; ``next_obs[t]`` what came of it.
    """
    env.reset(seed=seed)
    rows: dict[str, list[Any]] = {"actions": [], "rewards": [], "dones": [], "states": []}
    views, held, over = [_view(env)], 0, False
    while not over:
        rows["states"].append(env.flat)
        action = np.asarray(act(env), np.float64)
        _, reward, success, truncated, _ = env.step(action)
        held = held + 1 if success else 0
        over = truncated or held > tail
        views.append(_view(env))
        for key, value in (("actions", action), ("rewards", reward), ("dones", int(over))):
            rows[key].append(value)
    arrays = {key: np.array(values) for key, values in rows.items()}
    for key in views[0]:
        seen = np.stack([view[key] for view in views])
        arrays[f"obs/{key}"], arrays[f"next_obs/{key}"] = seen[:-1], seen[1:]
    return Demo(name, arrays, {"num_samples": len(rows["actions"]), "model_file": env.about["model"]})


def head_for(env: RobosuiteEnv, total: int) -> Head:
    """What belongs to the whole file: enough for robosuite's own tools to make the env again."""
    kwargs = {name: value for name, value in env.config.arguments().items() if name != "ours"}
    kwargs["controller_configs"] = env.about["controller"]
    version = env.about["versions"]["robosuite"]
    told = {"env_name": env.config.task, "env_version": version, "type": ROBOSUITE, "env_kwargs": kwargs}
    return Head({"env_args": json.dumps(told, indent=4), "total": total})


def replay(env: RobosuiteEnv, demo: Demo, model: str | None = None, first: int = 0) -> np.ndarray:
    """Largest difference to the recorded state after each action, float64 (T - 1 - first,), from ``states[first]`` on.

    ``model`` is the scene to begin in; where the env already has it, leave it out.
    """
    states, actions = demo.arrays["states"], demo.arrays["actions"]
    env.start(states[first], model)
    errors = []
    for action, after in zip(actions[first:-1], states[first + 1 :], strict=True):
        env.step(action)
        errors.append(np.abs(env.flat - after).max())
    return np.array(errors)


def _view(env: RobosuiteEnv) -> dict[str, np.ndarray]:
    """One row of robomimic's observations: its own names, images included, the object's state put together."""
    seen = env.privileged()
    images = {f"{name}_image": env.observe()[f"observation.images.{name}"] for name in env.config.cameras}
    of_object = [value for name, value in seen.items() if not name.startswith("robot0_")]
    return {**{k: v for k, v in seen.items() if k.startswith("robot0_")}, "object": np.concatenate(of_object), **images}
