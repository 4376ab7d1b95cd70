"""Can the simulator be put at a recording's steps again?"""

from __future__ import annotations

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.schema import CONTROL_HZ, SIMULATOR_STATE

from .scene import load_scene
from .tasks import TASKS


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
