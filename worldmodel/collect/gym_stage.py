"""Demonstrations from any Gymnasium env: ``collect task=gym:ID expert=...``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.collect.demonstrate import Recipe, record
from worldmodel.collect.robosuite_stage import OURS
from worldmodel.config import UserError
from worldmodel.data import StoreWriter
from worldmodel.data.formats.conventions import relative_dimensions
from worldmodel.schema import ACTION, STATE, Episode
from worldmodel.sims.gymnasium.discover import discover
from worldmodel.sims.gymnasium.env import Face, GymEnv, open_env
from worldmodel.sims.gymnasium.experts import RANDOM, SCRIPTED, Chance, Decider, Demonstrator, check_scripted, scripted
from worldmodel.sims.gymnasium.name import is_foreign


class GymStage:
    """A task's env and whoever demonstrates in it."""

    def __init__(self, recipe: Recipe, task: str) -> None:
        self.recipe, self.task = recipe, task
        self.env = open_env(task, recipe.size, recipe.cameras)
        self.make = decider(recipe.expert, task)

    def demonstrate(self, seed: int) -> Episode:
        """The episode of ``seed``, successful or not."""
        expert = Demonstrator(self.env, self.make, seed, self.recipe.noise)
        return record(self.env, expert, self.task, seed, self.recipe.tail)

    def fingerprint(self) -> dict[str, Any]:
        """What the env says of itself and of what drew it."""
        return self.env.fingerprint()


class Learned:
    """A checkpoint as a demonstrator: chunk by chunk, as it is evaluated."""

    def __init__(self, policy: Any, env: GymEnv, seed: int) -> None:
        self.policy, self.env, self.push = policy, env, np.zeros(len(env.low))
        self._random, self._chunk = np.random.default_rng([seed, 23]), list[np.ndarray]()

    def decide(self) -> tuple[np.ndarray, int]:
        """The next action of the chunk; a new one where it is used up."""
        if not self._chunk:
            observation = {key: value[None] for key, value in self.env.observe().items()}
            seeds = self._random.integers(2**62, size=1)
            self._chunk = list(self.policy.act(observation, seeds=seeds)[0][: self.policy.execute])
        return self._chunk.pop(0), 0


def decider(expert: str, task: str) -> Callable[[GymEnv, int], Decider]:
    """Who demonstrates: ``scripted``, ``random``, or the folder of a checkpoint."""
    if expert == RANDOM:
        return Chance
    if expert == SCRIPTED:
        return scripted(task)
    from worldmodel import checkpoint  # two seconds, and only where it is wanted
    from worldmodel.policies import ModelPolicy

    policy = ModelPolicy(checkpoint.load(expert), task=task)
    return lambda env, seed: Learned(policy, env, seed)


def check_learned(expert: str, task: str) -> None:
    """UserError where there is no such checkpoint, or none that knows the task."""
    from worldmodel import checkpoint

    if not Path(expert).is_dir():
        raise UserError(f"expert={expert}: expected scripted, random or the folder of a checkpoint")
    if task not in (known := checkpoint.load(expert).config.tasks):
        raise UserError(f"expert={expert}: was trained for {', '.join(known)}, not for {task}")


def is_gym(recipe: Recipe) -> bool:
    """Whether the task is somebody else's Gymnasium env. UserError for several at once."""
    if not any(map(is_foreign, recipe.tasks)):
        return False
    if len(recipe.tasks) > 1:
        raise UserError(
            f"task={','.join(recipe.tasks)}: one env at a time; collect several stores and train on all of them"
        )
    return True


def discovered(recipe: Recipe) -> tuple[Recipe, Face]:
    """The recipe with the env's own cameras where none were chosen, and what the env turned out to be.

    Raises UserError before anything is written: no such env, camera or expert.
    """
    task = recipe.tasks[0]
    if recipe.expert not in (SCRIPTED, RANDOM):
        check_learned(recipe.expert, task)
    face, _ = discover(task, recipe.size, () if recipe.cameras == OURS else recipe.cameras)
    if recipe.expert == SCRIPTED:
        check_scripted(face)
    return replace(recipe, cameras=face.cameras), face


def note(writer: StoreWriter, face: Face) -> None:
    """What others must know of the data: its control rate and the range of its actions."""
    writer.note(rate=face.rate, action_range={"low": list(face.low), "high": list(face.high)})


def note_relative(writer: StoreWriter) -> None:
    """How many leading dimensions of the recorded actions are targets for the same dimensions of the state."""
    writer.note(relative=relative_dimensions(writer.read(ACTION), writer.read(STATE)))
