"""Evaluation in somebody else's Gymnasium env: it cannot be put into a state, so its starts are seeds, and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.evaluate.frozen import SEED, Starts, StartsError, Trial
from worldmodel.evaluate.stage import Moment, Stage
from worldmodel.sims.gymnasium.env import GymEnv, open_env

FIRST_SEED = 2**31
"""Seeds of starts lie from here on (many envs take 32 bits, no more), those of ``collect`` below."""
SETS = 2**11 - 1
"""How many sets of starts fit: ``seed`` of `worldmodel starts` stays below."""
HALF = 32
"""Bytes of the SHA-256 of a start's numbers; that of its pictures follows."""


@dataclass(frozen=True)
class GymStages:
    """Opens stages of one env. Picklable, and imports the env only when called, inside the worker."""

    task: str
    cameras: tuple[str, ...]
    size: int

    def __call__(self) -> Stage:
        return GymStage(self)


class GymStage:
    """A `GymEnv` that is looked at once per decision, or at every step that is filmed."""

    def __init__(self, spec: GymStages) -> None:
        self.env, self.frozen_size = open_env(spec.task, spec.size, spec.cameras), 0

    def begin(self, trial: Trial) -> Moment:
        """The start of a seed. ValueError where it is already solved, or not the one that was frozen."""
        began = time.perf_counter()
        observation, _ = self.env.reset(seed=trial.seed)
        now = self.env.start_digest()
        if not np.array_equal(now[:HALF], trial.state[:HALF]):
            raise ValueError(
                f"start {trial.index} (seed {trial.seed}) is another one here than when it was frozen: the env or its "
                "versions differ; freeze new starts"
            )
        if self.env.success:
            raise ValueError(f"start {trial.index} ({trial.sha256[:12]}) is already solved; freeze the starts again")
        self._course = {"same_pictures": bool(np.array_equal(now, trial.state))}
        return Moment(observation, 0, False, False, busy=time.perf_counter() - began)

    def advance(self, actions: np.ndarray, record: bool) -> Moment:
        """Execute actions, float32 (n, A), until the episode is over or they run out."""
        began, frames, done = time.perf_counter(), [], False
        for action in actions:
            self.env.advance(action)
            if record:
                frames.append(self._draw())
            if done := self.env.success or self.env.over:
                break
        seen = None if done else self.env.observe()
        rewards = {"return": round(self.env.total, 4), "best_reward": round(self.env.best, 4)}
        course = {**rewards, **self._course} if done else {}
        steps, spent = self.env.steps, time.perf_counter() - began
        return Moment(seen, steps, done, self.env.success, tuple(frames), course, spent)

    def film(self, trial: Trial, actions: np.ndarray, path: str) -> Moment:
        """Replay an episode's actions (T, A) into an mp4 and a poster."""
        from worldmodel.report.video import write_replay

        self.begin(trial)
        first, moment = self._draw(), self.advance(actions, record=True)
        write_replay(path, [first, *moment.frames], self.env.eyes.cameras, self.env.rate)
        return Moment(None, moment.steps, True, moment.success, course=moment.course)

    def fingerprint(self) -> dict[str, Any]:
        """The env's own fingerprint."""
        return self.env.fingerprint()

    def _draw(self) -> dict[str, np.ndarray]:
        return {key: value for key, value in self.env.observe().items() if value.ndim == 3}


def freeze_seeds(task: str, episodes: int, seed: int, report: Callable[[int], object] = lambda done: None) -> Starts:
    """``episodes`` unsolved starts of set ``seed``: seeds, and the hash of what each of them first shows."""
    if seed >= SETS:
        raise UserError(f"seed={seed}: expected 0 to {SETS - 1} for {task}, whose seeds have 32 bits")
    env = open_env(task)
    states: list[np.ndarray] = []
    seeds: list[int] = []
    refused = 0
    while len(states) < episodes:
        drawn = FIRST_SEED + seed * 2**20 + len(states) + refused
        env.reset(seed=drawn)
        if env.success:
            refused += 1
            if refused > 100 + len(states):
                raise StartsError(f"{refused} of {refused + len(states)} starts of {task} are already solved")
            continue
        states.append(_checked(env, drawn))
        seeds.append(drawn)
        report(len(states))
    made = env.fingerprint()
    env.close()
    return Starts(task, np.stack(states), tuple(seeds), made, refused, SEED)


def _checked(env: GymEnv, seed: int) -> np.ndarray:
    """The digest of a start that comes out the same twice; StartsError where the seed does not decide it."""
    first = env.start_digest()
    env.reset(seed=seed)
    if not np.array_equal(first[:HALF], env.start_digest()[:HALF]):
        raise StartsError(f"{env.task}: reset(seed={seed}) gives another start each time, so it cannot be frozen")
    return first
