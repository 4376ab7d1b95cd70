"""One episode of the scripted expert: what it saw, what it wanted, what was sent, and the ending after success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldmodel.experience import ACTION, EXECUTED, Episode
from worldmodel.rollout import Recorder

PHASE = "phase"
SIMULATOR_STATE = "simulator_state"
"""Complete state of the simulator, float64 (N,): lets the same moment be rendered again, larger or differently lit."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an episode's content besides its seed; equal recipes give equal bytes."""

    tasks: tuple[str, ...]
    seed: int
    episodes: int
    noise: float
    cameras: tuple[str, ...]
    size: int
    tail: int
    microphone: bool = False
    expert: str = "scripted"

    def task_of(self, seed: int) -> str:
        """The tasks take turns over seeds, so that a resumed collection agrees with an uninterrupted one."""
        return self.tasks[(seed - self.seed) % len(self.tasks)]


@runtime_checkable
class Stage(Protocol):
    """Where demonstrations come from: opens one task at a time. Picklable, because workers are spawned."""

    def __call__(self, recipe: Recipe, task: str) -> Demonstrator: ...


@runtime_checkable
class Demonstrator(Protocol):
    """An env with its expert."""

    def demonstrate(self, seed: int) -> Episode: ...
    def fingerprint(self) -> dict[str, Any]: ...


class ExpertStage:
    """The real thing: a task's simulator and its scripted expert, rendered at the recipe's size."""

    def __init__(self, recipe: Recipe, task: str) -> None:
        import worldmodel.envs  # only workers may load a renderer

        self.recipe, self.task = recipe, task
        options = {"cameras": recipe.cameras, "size": recipe.size, "microphone": recipe.microphone}
        self.env = worldmodel.envs.make(task, privileged=True, **options)

    def demonstrate(self, seed: int) -> Episode:
        """The episode of ``seed``, successful or not."""
        from worldmodel.envs.expert import Expert

        return record(self.env, Expert(self.env, seed, noise=self.recipe.noise), self.task, seed, self.recipe.tail)

    def fingerprint(self) -> dict[str, Any]:
        """What the images and the physics depend on: versions, GL backend, asset hash."""
        return self.env.fingerprint()


def record(env: Any, expert: Any, task: str, seed: int, tail: int) -> Episode:
    """Run ``expert`` in ``env`` from ``seed`` until ``tail`` steps after the first success, or the time limit.

    Every step holds the observation, the clean action wanted ("action"), the action sent ("action.executed"), the
    expert's phase (int8) and the complete simulator state (float64) where the env can tell it.
    """
    observation, _ = env.reset(seed=seed)
    expert.reset()
    recorder, first_success, step, truncated = Recorder(), None, 0, False
    while not truncated and (first_success is None or step < first_success + tail):
        state = {SIMULATOR_STATE: np.asarray(env.get_state(), np.float64)} if hasattr(env, "get_state") else {}
        act = expert.act()
        values = {ACTION: act.label, EXECUTED: act.executed, PHASE: np.int8(act.phase), **state}
        recorder.add(observation, **values)
        observation, _, success, truncated, _ = env.step(act.executed)
        step += 1
        if success and first_success is None:
            first_success = step
    return recorder.episode(task, seed, first_success is not None, {"success_step": first_success})
