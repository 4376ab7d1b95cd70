"""Tasks: a scene, where things start, what success is, and how long it may take. A task has no step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from .scene import BIN, CAN_HALF_HEIGHT, FLOOR, TRAY, Scene

REST = FLOOR + CAN_HALF_HEIGHT
"""Height of the can's centre when it stands in the tray, in metres."""
LIFT = 0.10
"""How far above its rest height the can must be held for `lift_can`, in metres."""
SLOW = 0.05
"""Speed below which a can counts as lying still, in metres per second."""


@dataclass(frozen=True)
class Start:
    """Where an episode begins: can centre (x, y) and yaw; end effector (x, y, z). Metres and radians."""

    can: np.ndarray
    yaw: float
    eef: np.ndarray


def draw_start(random: np.random.Generator) -> Start:
    """Can upright in the tray, 20 x 24 cm and clear of its walls; gripper open, 15 x 15 x 8 cm above the table."""
    return Start(
        can=np.array([TRAY.x, TRAY.y]) + random.uniform([-0.10, -0.12], [0.10, 0.12]),
        yaw=float(random.uniform(-np.pi, np.pi)),
        eef=np.array([0.50, -0.02, 0.22]) + random.uniform([-0.075, -0.075, -0.04], [0.075, 0.075, 0.04]),
    )


def lifted(scene: Scene) -> bool:
    """The can is at least `LIFT` above its rest height, and both pads hold it."""
    return float(scene.can_position[2]) >= REST + LIFT and scene.touching == 2


def placed(scene: Scene) -> bool:
    """The can is inside the bin's walls, its lowest point below the rim, slow, and touched by neither pad."""
    x, y, _ = scene.can_position
    slow = float(np.linalg.norm(scene.can_velocity)) < SLOW
    return BIN.holds(x, y) and scene.can_bottom < BIN.rim and slow and scene.touching == 0


@dataclass(frozen=True)
class Task:
    """One task. Success means that ``holds`` was true for ``hold_steps`` control steps in a row."""

    name: str
    scene: str
    seconds: float
    hold_steps: int
    holds: Callable[[Scene], bool]
    start: Callable[[np.random.Generator], Start]


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("lift_can", scene="can", seconds=10.0, hold_steps=10, holds=lifted, start=draw_start),
        Task("place_can", scene="can", seconds=15.0, hold_steps=5, holds=placed, start=draw_start),
    )
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: no such task; the message names the closest one.
    """
    if name not in TASKS:
        close = get_close_matches(str(name), TASKS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see envs/ for one card per task"
        raise ValueError(f"unknown task {name!r}, expected one of {', '.join(TASKS)}; {hint}")
    return TASKS[name]
