"""robosuite's tasks with the face that all simulators have: ``robosuite:NAME`` after ``env install robosuite``.

Starts are states: robosuite can be put into one exactly, so an evaluation stays the same where a seed would draw
something else, as it may with another NumPy or other samplers. Actions are absolute targets, which policies learn best.
"""

from typing import Any

import numpy as np

from worldmodel.config import UserError, closest
from worldmodel.sims.base import EXPERT, SCRIPTED, Demonstrates, EnvInfo, InitialState, Simulator, SimulatorSpec
from worldmodel.sims.object_stats import ObjectStats
from worldmodel.sims.remote.process import python_of
from worldmodel.sims.robosuite.client import CAMERAS, TASKS, RobosuiteConfig, RobosuiteEnv
from worldmodel.sims.robosuite.expert import CanExpert

PREFIX = "robosuite:"
ACTION_NUMBERS, STATE_NUMBERS = 10, 9
"""Widths of absolute actions (position, 6-D rotation, gripper) and of ``observation.state``."""
SECONDS = 600.0
"""How long a call may take: the first one imports and compiles, and all simulators of an evaluation do so at once."""
EXPERTS = {"robosuite:PickPlaceCan": CanExpert}


class RobosuiteSimulator(Simulator):
    """A `RobosuiteEnv` in a process of its own, which ends with this one."""

    frozen_with = ("robosuite", "mujoco", "scene_sha256")

    @classmethod
    def check(cls, spec: SimulatorSpec) -> None:
        """UserError for an unknown task, and where robosuite is not installed."""
        name_of(spec.task)
        super().check(spec)

    @classmethod
    def experts(cls, task: str) -> tuple[str, ...]:
        return (SCRIPTED,) if task in EXPERTS else ()

    def __init__(self, spec: SimulatorSpec) -> None:
        cameras = CAMERAS if spec.cameras is None else spec.cameras
        self.task, self.env = spec.task, open_task(spec.task, spec.size, cameras)
        self._seen: dict[str, np.ndarray] | None = None
        shown = (spec.task, cameras, spec.size, float(self.env.about["hertz"]), self.env.config.horizon)
        sizes, experts = (ACTION_NUMBERS, STATE_NUMBERS), self.experts(spec.task)
        self.info = EnvInfo(*shown, *sizes, "robosuite's own", None, experts, lines=tuple(lines(self.env)))

    def reset(self, start: InitialState) -> None:
        """At a state, or where the seed draws it. UserError for a state of another scene."""
        where: dict[str, Any] = {"options": {"state": start.state}} if len(start.state) else {"seed": start.seed}
        self._seen, _ = self.env.reset(**where)
        self.success, self.over = self.env.success, self.env.over
        self._stats = ObjectStats(*self._places()) if self.task in EXPERTS else None

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        self.env.advance(action, draw=draw)
        self.success, self.over = self.env.success, self.env.over
        self._seen = None
        if self._stats is not None:
            self._stats.update(*self._places())

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        self._seen = self.env.observe() if self._seen is None else self._seen
        return dict(self._seen)

    def get_state(self) -> np.ndarray:
        return self.env.get_state()

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = EXPERT, name: str = SCRIPTED) -> Demonstrates:
        return EXPERTS[self.task](self.env, seed, noise)

    def stats(self) -> dict[str, Any]:
        return self._stats.summary() if self._stats is not None else {}

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        found = self.env.privileged()
        return found["robot0_eef_pos"], found["Can_pos"]


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
