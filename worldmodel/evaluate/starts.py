"""The verb ``starts``: freeze start states, drawn from a task's own start distribution, into one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worldmodel.config import UserError, option
from worldmodel.evaluate.frozen import Starts, StartsError
from worldmodel.evaluate.gym_stage import freeze_seeds
from worldmodel.sims.gymnasium.name import is_foreign
from worldmodel.sims.robosuite.task import is_robosuite, open_task

if TYPE_CHECKING:
    from worldmodel.sims.can import RobotEnv

FIRST_SEED = 2**40
"""Start seeds lie above this, the seeds of ``collect`` below: no demonstration begins where an exam does."""
SEEDS_PER_SET = 2**20
"""Room for one set's seeds, so that sets frozen from two values of ``seed`` share none."""


@dataclass(frozen=True)
class StartsConfig:
    """How many starts of which task, drawn from which seed, and where to."""

    out: str = option("file to write, for example outputs/starts.npz")
    task: str = option(
        "lift_can, place_can, place_can_anywhere, robosuite:PickPlaceCan, or gym:ID (seeds, and a hash of each first "
        "look)",
        "place_can",
    )
    episodes: int = option("how many starts to freeze", 200)
    seed: int = option("which set of starts; two seeds share no start", 7)
    overwrite: bool = option("replace a file that is there", False)

    def __post_init__(self) -> None:
        if not 1 <= self.episodes <= SEEDS_PER_SET // 2:
            raise ValueError(f"episodes={self.episodes}: expected 1 to {SEEDS_PER_SET // 2}")
        if not 0 <= self.seed < SEEDS_PER_SET:
            raise ValueError(f"seed={self.seed}: expected 0 to {SEEDS_PER_SET - 1}")


def starts(config: StartsConfig) -> int:
    """Freeze ``config.episodes`` starts into ``config.out``; those already solved are refused and drawn anew."""
    path = Path(config.out)
    if path.is_dir():
        raise UserError(f"out={config.out}: is a folder, expected a file; try out={path / 'starts.npz'}")
    if path.exists() and not config.overwrite:
        raise UserError(
            f"out={config.out}: exists, and frozen starts stay as they are; choose another or overwrite=true"
        )
    draw = _opened(config.task)
    columns = (TextColumn("freezing starts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=config.episodes)
        frozen = draw(config.episodes, config.seed, lambda done: progress.update(bar, completed=done))
    frozen.save(path)
    print(f"{path}: {len(frozen)} starts of {frozen.task}, {frozen.states.shape[1]} numbers each")
    print(f"{frozen.refused} already solved and refused; seeds {frozen.seeds[0]} to {frozen.seeds[-1]}")
    print(f"sha256 {frozen.sha256}")
    return 0


def _opened(task: str) -> Callable[[int, int, Callable[[int], object]], Starts]:
    """What freezes starts of a task. ValueError or UserError where there is no such task."""
    if is_foreign(task):
        return partial(freeze_seeds, task)
    if is_robosuite(task):
        return partial(freeze_robosuite, task)
    from worldmodel import envs  # here, because importing MuJoCo takes half a second

    return partial(freeze, envs.make(task, render_images=False))


def freeze(env: RobotEnv, episodes: int, seed: int, report: Callable[[int], object] = lambda done: None) -> Starts:
    """Draw ``episodes`` unsolved starts of the env's task with the seeds of set ``seed``."""
    made = env.fingerprint()
    kept = {key: made[key] for key in ("mujoco", "scene_sha256")}
    states, seeds, refused = _unsolved(env, env.task.name, lambda: solved(env), (episodes, seed), report)
    return Starts(env.task.name, states, seeds, kept, refused)


def freeze_robosuite(
    task: str, episodes: int, seed: int, report: Callable[[int], object] = lambda done: None
) -> Starts:
    """The same in robosuite, without drawing anything. UserError where it is not installed."""
    env = open_task(task, 8, ())
    try:
        made = env.fingerprint()
        kept = {key: made[key] for key in ("robosuite", "mujoco", "scene_sha256")}
        states, seeds, refused = _unsolved(env, task, lambda: env.success, (episodes, seed), report)
    finally:
        env.close()
    return Starts(task, states, seeds, kept, refused)


def _unsolved(
    env: Any, task: str, solved: Callable[[], bool], which: tuple[int, int], report: Callable[[int], object]
) -> tuple[np.ndarray, tuple[int, ...], int]:
    """So many states, float64 (n, S), of set ``which[1]``, their seeds, and how many draws were refused as solved."""
    episodes, seed = which
    states: list[np.ndarray] = []
    seeds: list[int] = []
    refused = 0
    while len(states) < episodes:
        drawn = FIRST_SEED + seed * SEEDS_PER_SET + len(states) + refused
        env.reset(seed=drawn)
        if solved():
            refused += 1
            if refused > 100 + len(states):
                raise StartsError(f"{refused} of {refused + len(states)} starts of {task} are already solved")
            continue
        states.append(np.array(env.get_state(), np.float64))
        seeds.append(drawn)
        report(len(states))
    return np.stack(states), tuple(seeds), refused


def solved(env: RobotEnv) -> bool:
    """Whether the task's condition holds already, be it for a moment only: success wants it held for some steps."""
    return bool(env.success or env.task.holds(env.scene))
