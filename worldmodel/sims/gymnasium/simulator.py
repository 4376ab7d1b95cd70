"""Any Gymnasium env, and Meta-World's tasks, with the face that all simulators have: starts are seeds, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldmodel.schema import STATE as STATE_KEY
from worldmodel.sims.base import (
    EXPERT,
    RANDOM,
    SCRIPTED,
    SEED,
    Demonstrates,
    EnvInfo,
    InitialState,
    Simulator,
    SimulatorSpec,
)
from worldmodel.sims.gymnasium.env import open_env
from worldmodel.sims.gymnasium.experts import OURS, Demonstrator, RandomPolicy, scripted
from worldmodel.sims.gymnasium.name import parse

HALF = 32
"""Bytes of the SHA-256 of a start's numbers; that of its pictures follows."""


class GymSimulator(Simulator):
    """A `GymEnv`. Its starts are seeds, since such envs cannot be put into a state."""

    starts = SEED
    draws_at_once = True
    frozen_with = ()  # all of it

    @classmethod
    def check(cls, spec: SimulatorSpec) -> None:
        """A name that cannot be read needs no process to be refused."""
        parse(spec.task)
        super().check(spec)

    @classmethod
    def experts(cls, task: str) -> tuple[str, ...]:
        """RandomPolicy always; whether the env brings a scripted policy is known once it is open."""
        return (SCRIPTED, RANDOM)

    def __init__(self, spec: SimulatorSpec) -> None:
        self.env = open_env(spec.task, spec.size, spec.cameras or ())
        info, self._same_pictures = self.env.info, True
        self._seen: dict[str, np.ndarray] | None = None
        scripted_too = info.ships or parse(spec.task).id in OURS
        self.info = EnvInfo(
            info.task,
            info.cameras,
            info.size,
            info.rate,
            info.steps,
            action_dim=len(info.low),
            state_dim=len(self.env.numbers()[STATE_KEY]),
            success=info.success,
            action_range=(info.low, info.high),
            experts=(SCRIPTED, RANDOM) if scripted_too else (RANDOM,),
            lines=tuple(info.lines()),
        )

    def reset(self, start: InitialState) -> None:
        """The start of a seed. ValueError where it is not the one that was frozen."""
        self._seen, _ = self.env.reset(seed=start.seed)
        self.success, self.over = self.env.success, self.env.over
        if not len(start.state):
            return
        now = self.env.start_digest()
        if not np.array_equal(now[:HALF], start.state[:HALF]):
            raise ValueError(
                f"start {start.index} (seed {start.seed}) is another one here than when it was frozen: the env or its "
                "versions differ; freeze new starts"
            )
        self._same_pictures = bool(np.array_equal(now, start.state))

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        """One control step; ValueError for an action that is none."""
        self.env.advance(action)
        self.success, self.over = self.env.success, self.env.over
        self._seen = None

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        """Drawn now."""
        if not draw:
            return self.env.numbers()
        self._seen = self.env.observe() if self._seen is None else self._seen
        return dict(self._seen)

    def start_state(self) -> np.ndarray:
        """Two SHA-256, byte by byte, of the numbers and of the pictures that the episode begins with, float64 (64,)."""
        return self.env.start_digest()

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = EXPERT, name: str = SCRIPTED) -> Demonstrates:
        """Our scripted policy or the env's own, or chance, pushed now and then."""
        return Demonstrator(self.env, RandomPolicy if name == RANDOM else scripted(self.env.task), seed, noise)

    def stats(self) -> dict[str, Any]:
        """Rewards, and whether the first pictures were those that were frozen."""
        rewards = {"return": round(self.env.total, 4), "best_reward": round(self.env.best, 4)}
        return {**rewards, "same_pictures": self._same_pictures}
