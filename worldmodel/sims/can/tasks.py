"""Tasks: a scene, where things start, what success is, how long it may take; and what recordings of them show."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt8

from worldmodel.config import UserError, known
from worldmodel.data import EpisodeStore
from worldmodel.schema import CONTROL_HZ, SIMULATOR_STATE
from worldmodel.sims.base import Demonstrates

from .scene import CAN_HALF_HEIGHT, FLOOR, THINGS, Scene, load_scene

REST = FLOOR + CAN_HALF_HEIGHT  # Height of the can's centre when it stands in the tray, in metres
LIFT = 0.10  # How far above its rest height the can must be held for `lift_can`, in metres
SLOW = 0.05  # Speed below which a can counts as lying still, in metres per second
RED, OTHERS, SHARE = 120, 80, 0.001
"""The can's red: more than so much red, less than so much green and blue; and the share of a frame that counts as seen.

Nothing else in our scenes is red. Of 1,500 demonstrated frames all show it in one view or the other.
"""


@dataclass(frozen=True)
class Start:
    """Where an episode begins: can centre (x, y) and yaw; end effector (x, y, z). Metres and radians.

    Where the scene has them: the bin's centre (x, y), and its things as `Scene.furnish` takes them.
    """

    can: np.ndarray
    yaw: float
    eef: np.ndarray
    bin: np.ndarray | None = None
    things: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))


def draw_start(random: np.random.Generator) -> Start:
    """Can upright in the tray, 20 x 24 cm and clear of its walls; gripper open, 15 x 15 x 8 cm above the table."""
    return Start(
        can=np.array([0.50, -0.145]) + random.uniform([-0.10, -0.12], [0.10, 0.12]),
        yaw=float(random.uniform(-np.pi, np.pi)),
        eef=np.array([0.50, -0.02, 0.22]) + random.uniform([-0.075, -0.075, -0.04], [0.075, 0.075, 0.04]),
    )


def draw_start_anywhere(random: np.random.Generator) -> Start:
    """Bin, can, gripper and one to three strange things, all over `can_anywhere`'s tray.

    Bin in 16 x 26 cm; can upright in 24 x 35 cm, at least 2.5 cm from the bin's outer walls; gripper open, 22 x 30 x
    11 cm above the table; things of random colour, apart from can, bin and one another.
    """
    place = np.array([0.50, 0.04]) + random.uniform([-0.08, -0.13], [0.08, 0.13])
    can = place
    while np.abs(can - place).max() < 0.125:
        can = np.array([0.50, -0.115]) + random.uniform([-0.12, -0.175], [0.12, 0.175])
    return Start(
        can=can,
        yaw=float(random.uniform(-np.pi, np.pi)),
        eef=np.array([0.50, -0.03, 0.22]) + random.uniform([-0.11, -0.15, -0.055], [0.11, 0.15, 0.055]),
        bin=place,
        things=draw_things(random, can, place),
    )


def draw_things(random: np.random.Generator, can: np.ndarray, place: np.ndarray) -> np.ndarray:
    """One to three of the `THINGS`: rows x, y in metres and red, green, blue; NaN for those left out."""
    things = np.full((len(THINGS), 5), np.nan)
    for i in random.permutation(len(THINGS))[: int(random.integers(1, len(THINGS) + 1))]:
        spot = can
        # 9 cm from the can is clear of the open fingers, 11.5 cm from the bin's middle clear of its walls
        while (
            np.linalg.norm(spot - can) < 0.09
            or np.abs(spot - place).max() < 0.115
            or np.nanmin(np.append(np.linalg.norm(things[:, :2] - spot, axis=1), 1.0)) < 0.07
        ):
            spot = np.array([0.50, -0.04]) + random.uniform([-0.12, -0.25], [0.12, 0.25])
        things[i] = [*spot, *random.uniform(0, 1, 3)]
    return things


def lifted(scene: Scene) -> bool:
    """The can is at least `LIFT` above its rest height, and both pads hold it."""
    return float(scene.can_position[2]) >= REST + LIFT and scene.touching == 2


def placed(scene: Scene) -> bool:
    """The can is inside the bin's walls, its lowest point below the rim, slow, and touched by neither pad."""
    x, y, _ = scene.can_position
    slow = float(np.linalg.norm(scene.can_velocity)) < SLOW
    return scene.bin.holds(x, y) and scene.can_bottom < scene.bin.rim and slow and scene.touching == 0


@dataclass(frozen=True)
class Task:
    """One task. Success means that ``holds`` was true for ``hold_steps`` control steps in a row.

    scene: name of one of ours, or the path of an MJCF file with the same names of joints, pads, cameras and can.
    expert: who demonstrates, made with (env, seed, noise=...); None for ours.
    """

    name: str
    scene: str
    seconds: float
    hold_steps: int
    holds: Callable[[Scene], bool]
    start: Callable[[np.random.Generator], Start]
    summary: str
    """What the robot does, as the end of a sentence."""
    expert: Callable[..., Demonstrates] | None = None


_ANYWHERE = "finds can and bin, and brings them together"
_ALL = (
    Task("lift_can", "can", 10.0, 10, lifted, draw_start, "lifts the can"),
    Task("place_can", "can", 15.0, 5, placed, draw_start, "moves the can into the green bin"),
    Task("place_can_anywhere", "can_anywhere", 15.0, 5, placed, draw_start_anywhere, _ANYWHERE),
)
TASKS = {task.name: task for task in _ALL}


def get_task(name: str) -> Task:
    """The task of that name. ValueError where there is none."""
    return TASKS[known("task", name, TASKS)]


def check_restorable(store: EpisodeStore, name: str) -> None:
    """Raises UserError, one line beginning with ``name``, for a store whose steps our simulator cannot be put at."""
    if store.rate != CONTROL_HZ:
        raise UserError(f"{name}: recorded at {store.rate:g} Hz, the simulator runs at {CONTROL_HZ}; give data of that")
    if SIMULATOR_STATE not in store.keys:
        why = f"keeps no {SIMULATOR_STATE!r}, so MuJoCo cannot be put at its frames"
        raise UserError(f"{name}: {why}; `worldmodel collect` records it")
    made = dict(store.meta["provenance"].get("environment") or {})
    for task in store.tasks:
        if task not in TASKS:
            raise UserError(f"{name}: task {task!r} is none of our simulator's: {', '.join(TASKS)}")
        here, told = load_scene(TASKS[task].scene).sha256, made.get(task)
        theirs = told.get("scene_sha256", here) if isinstance(told, dict) else here
        if theirs != here:
            scenes = f"was recorded in scene {theirs[:12]}, this is {here[:12]}"
            raise UserError(f"{name}: {task} {scenes}; collect it again")


def shows_can(frames: UInt8[np.ndarray, "*b C H W 3"]) -> Bool[np.ndarray, "*b"]:
    """Whether any of C cameras shows the can."""
    red = (frames[..., 0] > RED) & (frames[..., 1:] < OTHERS).all(-1)
    return (red.mean((-1, -2)) >= SHARE).any(-1)
