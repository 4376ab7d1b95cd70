"""What ``task=robosuite:NAME`` stands for: one of robosuite's tasks, driven as ``collect`` records it."""

from __future__ import annotations

from worldmodel.config import UserError, closest
from worldmodel.sims.remote.where import python_of
from worldmodel.sims.robosuite.client import TASKS, RobosuiteConfig, RobosuiteEnv

PREFIX = "robosuite:"
ACTION_NUMBERS, STATE_NUMBERS = 10, 9
"""Widths of absolute actions (position, 6-D rotation, gripper) and of ``observation.state``."""
SECONDS = 600.0
"""How long a call may take: the first one imports and compiles, and all simulators of an evaluation do so at once."""


def name_of(task: str) -> str:
    """robosuite's own name of a task; UserError where there is none such, or no simulator is installed."""
    name = task.removeprefix(PREFIX)
    if name not in TASKS:
        raise UserError(f"task={task}: no such robosuite task; {closest(task, [PREFIX + known for known in TASKS])}")
    python_of("robosuite")
    return name


def open_task(task: str, size: int, cameras: tuple[str, ...]) -> RobosuiteEnv:
    """The simulator of a task, taking absolute targets (10 numbers). UserError: see `name_of`; no such camera."""
    return RobosuiteEnv(RobosuiteConfig(name_of(task), size, cameras, "absolute", seconds=SECONDS))


def lines(env: RobosuiteEnv) -> list[str]:
    """For people, before anything runs: what the env turned out to be."""
    config, about = env.config, env.about
    hertz, others = about["hertz"], [name for name in about["cameras"] if name not in config.cameras]
    versions = about["versions"]
    return [
        f"{PREFIX}{config.task} (robosuite {versions['robosuite']}, MuJoCo {versions['mujoco']})",
        f"  rate     {hertz:g} Hz, at most {config.horizon} steps, {config.horizon / hertz:.1f} s (as robomimic's)",
        f"  cameras  {', '.join(config.cameras)}, {config.size}x{config.size} (also offered: {', '.join(others)})",
        f"  state    {STATE_NUMBERS} numbers: hand x y z, quaternion x y z w, two fingers",
        f"  action   {ACTION_NUMBERS} numbers: target x y z (m), 6-D rotation, gripper; the world's frame",
        "  success  robosuite's own",
    ]
