"""Demonstrations from robosuite: ``collect task=robosuite:PickPlaceCan`` after ``env install robosuite``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worldmodel.collect.behaviour import EXPERT
from worldmodel.collect.demonstrate import Recipe, record
from worldmodel.config import UserError
from worldmodel.schema import Episode
from worldmodel.sims.remote.install import python_of
from worldmodel.sims.robosuite.client import CAMERAS
from worldmodel.sims.robosuite.expert import CanExpert
from worldmodel.sims.robosuite.task import PREFIX, open_task

EXPERTS = {"robosuite:PickPlaceCan": CanExpert}
OURS = ("scene", "wrist")


class RobosuiteStage:
    """A task's simulator and its expert. Actions are absolute targets (10 numbers), which policies learn best from."""

    def __init__(self, recipe: Recipe, task: str) -> None:
        self.recipe, self.task = recipe, task
        self.env = open_task(task, recipe.size, recipe.cameras)

    def demonstrate(self, seed: int) -> Episode:
        """The episode of ``seed``, successful or not."""
        expert = EXPERTS[self.task](self.env, seed, self.recipe.noise)
        return record(self.env, expert, self.task, seed, self.recipe.tail)

    def fingerprint(self) -> dict[str, Any]:
        """Versions, look and scene."""
        return self.env.fingerprint()


def is_robosuite(recipe: Recipe) -> bool:
    """Whether all tasks are robosuite's. UserError for a mixture, and where there is no expert or no simulator."""
    ours = [task.startswith(PREFIX) for task in recipe.tasks]
    if not any(ours):
        return False
    if bad := [task for task in recipe.tasks if task not in EXPERTS]:
        raise UserError(f"task={bad[0]}: no expert for it; known: {', '.join(EXPERTS)}, one simulator at a time")
    if recipe.behaviour != EXPERT or recipe.segmentation:
        key = "segmentation=true" if recipe.behaviour == EXPERT else f"behaviour={recipe.behaviour}"
        raise UserError(f"{key}: robosuite's tasks have only behaviour=expert and no segmentation; leave it out")
    python_of("robosuite")
    return True


def with_cameras(recipe: Recipe) -> Recipe:
    """The same recipe with robosuite's cameras where none were chosen."""
    return replace(recipe, cameras=CAMERAS) if recipe.cameras == OURS else recipe
