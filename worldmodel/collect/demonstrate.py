"""One episode of the scripted expert or of a player: what it saw, what it wanted, what was sent, and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldmodel.collect.behaviour import EXPERT, STEPS, actor, turn
from worldmodel.rollout import Recorder
from worldmodel.schema import ACTION, EXECUTED, Episode

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
    behaviour: str = EXPERT
    segmentation: bool = False
    expert: str = "scripted"

    def task_of(self, seed: int) -> str:
        """The tasks take turns over seeds, so that a resumed collection agrees with an uninterrupted one."""
        return self.tasks[(seed - self.seed) % len(self.tasks)]

    def behaviour_of(self, seed: int) -> str:
        """Who acts in the episode of ``seed``: behaviours take turns over the seeds of each task."""
        return turn(self.behaviour, seed - self.seed, len(self.tasks))

    @property
    def keeps_all(self) -> bool:
        """Whether episodes that fail are kept too: all but the plain expert's are."""
        return self.behaviour != EXPERT

    def record(self) -> dict[str, Any]:
        """The recipe as JSON gives it back. What came later than a store's format is told only where it is used."""
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in found.items() if key not in LATER or value != LATER[key]}


LATER = {"behaviour": EXPERT, "segmentation": False, "expert": "scripted"}
"""Keys of a recipe that older ones do not have, and what those did."""


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
        import worldmodel.sims.can  # only workers may load a renderer

        self.recipe, self.task = recipe, task
        options = {"cameras": recipe.cameras, "size": recipe.size, "microphone": recipe.microphone}
        self.env = worldmodel.sims.can.make(task, privileged=True, segmentation=recipe.segmentation, **options)

    def demonstrate(self, seed: int) -> Episode:
        """The episode of ``seed``, successful or not."""
        behaviour = self.recipe.behaviour_of(seed)
        who = actor(behaviour, self.env, seed, self.recipe.noise)
        if behaviour in STEPS:
            episode = watch(self.env, who, self.task, seed, STEPS[behaviour])
        else:
            episode = record(self.env, who, self.task, seed, self.recipe.tail)
        info = {"behaviour": behaviour} if self.recipe.keeps_all else {}
        return replace(episode, info={**episode.info, **info})

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
        observation, success, truncated = _step(env, expert, observation, recorder)
        step += 1
        if success and first_success is None:
            first_success = step
    return recorder.episode(task, seed, first_success is not None, {"success_step": first_success})


def watch(env: Any, player: Any, task: str, seed: int, steps: int) -> Episode:
    """So many control steps of someone without a goal; ``success`` says whether the task's condition came about."""
    observation, _ = env.reset(seed=seed)
    player.reset()
    recorder, first_success = Recorder(), None
    for step in range(1, steps + 1):
        observation, success, _ = _step(env, player, observation, recorder)
        if success and first_success is None:
            first_success = step
    return recorder.episode(task, seed, first_success is not None, {"success_step": first_success})


def _step(env: Any, who: Any, observation: Any, recorder: Recorder) -> tuple[Any, bool, bool]:
    """One control step, recorded: the next observation, whether the task succeeded, whether its time is up."""
    state = {SIMULATOR_STATE: np.asarray(env.get_state(), np.float64)} if hasattr(env, "get_state") else {}
    act = who.act()
    values = {ACTION: act.label, EXECUTED: act.executed, PHASE: np.int8(act.phase), **state}
    recorder.add(observation, **values)
    observation, _, success, truncated, _ = env.step(act.executed)
    return observation, bool(success), bool(truncated)
