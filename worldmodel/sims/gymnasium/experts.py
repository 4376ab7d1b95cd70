"""Who demonstrates in somebody else's env: a scripted policy of ours or the env's own, or chance; pushed on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from worldmodel.sims.base import ExpertStep
from worldmodel.sims.gymnasium.env import GymEnv
from worldmodel.sims.gymnasium.name import parse
from worldmodel.sims.gymnasium.pusht_expert import PushTExpert
from worldmodel.sims.gymnasium.reacher_expert import ReacherExpert


class ScriptedPolicy(Protocol):
    """Decides on an action by looking at the env, simulator included.

    push: how far a push at noise 1 shifts each dimension of the action, (A,).
    """

    push: Any

    def decide(self) -> tuple[np.ndarray, int]:
        """The action, and the phase (0 upwards) that it belongs to."""
        ...


type MakePolicy = Callable[[GymEnv, int], ScriptedPolicy]


class Demonstrator:
    """A decider that is pushed now and then: 4 % of steps begin a push of 3 to 8 steps. The label stays clean."""

    def __init__(
        self, env: GymEnv, make: Callable[[GymEnv, int], ScriptedPolicy], seed: int, noise: float = 0.0
    ) -> None:
        self.env, self.make, self.seed, self.noise = env, make, seed, noise

    def reset(self) -> None:
        """Begin an episode: everything random starts again from the seed."""
        self._random = np.random.default_rng([self.seed, 21])
        self._decider = self.make(self.env, self.seed)
        self._left, self._push = 0, np.zeros(len(self.env.low))

    def act(self) -> ExpertStep:
        """The action for the env's present state."""
        action, phase = self._decider.decide()
        label = self.env.clip(action)
        if self.noise and not self._left and self._random.random() < 0.04:
            self._left = int(self._random.integers(3, 9))
            self._push = self._random.uniform(-1, 1, len(label)) * np.asarray(self._decider.push) * self.noise
        executed = self.env.clip(label + self._push) if self._left else label
        self._left = max(self._left - 1, 0)
        return ExpertStep(label, executed, phase)


class RandomPolicy:
    """Every action drawn evenly from the env's range."""

    def __init__(self, env: GymEnv, seed: int) -> None:
        self.push = np.zeros(len(env.low))
        self.low, self.high = np.maximum(env.low, -1e3), np.minimum(env.high, 1e3)
        self._random = np.random.default_rng([seed, 22])

    def decide(self) -> tuple[np.ndarray, int]:
        """A draw."""
        return self._random.uniform(self.low, self.high), 0


class TheirOwn:
    """The scripted policy that an env ships: its method ``scripted()`` gives the action for its present state."""

    def __init__(self, env: GymEnv, seed: int) -> None:
        self.inside: Any = env.raw.unwrapped
        self.push = getattr(self.inside, "push", np.zeros(len(env.low)))

    def decide(self) -> tuple[np.ndarray, int]:
        """What it says now."""
        return np.asarray(self.inside.scripted()), 0


OURS: dict[str, MakePolicy] = {
    "gym_pusht/PushT-v0": PushTExpert,
    "Reacher-v5": ReacherExpert,
}
"""Scripted policies of ours by the env's id."""


def scripted(task: str) -> MakePolicy:
    """The scripted policy of a task: ours, else the one that the env ships."""
    return OURS.get(parse(task).id, TheirOwn)
