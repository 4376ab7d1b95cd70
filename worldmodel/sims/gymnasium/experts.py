"""Who demonstrates in somebody else's env: a scripted policy of ours or the env's own, or chance; pushed on request."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from worldmodel.schema import ENVIRONMENT_STATE, STATE
from worldmodel.sims.base import ExpertStep, Simulator
from worldmodel.sims.gymnasium.pusht_expert import PushTExpert

LINKS = 0.1, 0.11  # Length of the two links in metres, the fingertip included
STIFF, DAMP = 1.0, 0.12  # Torque per radian and per radian a second, in the env's unit


class ScriptedPolicy(Protocol):
    """Decides by looking at the simulator. ``push``: how far a push at noise 1 shifts an action, (A,)."""

    push: Any

    def decide(self) -> tuple[np.ndarray, int]:
        """The action, and the phase (0 upwards) that it belongs to."""
        ...


type MakePolicy = Callable[[Simulator, int], ScriptedPolicy]


class Demonstrator:
    """A policy that is pushed now and then: 4 % of steps begin a push of 3 to 8 steps. The label stays clean."""

    def __init__(self, simulator: Simulator, make: MakePolicy, seed: int, noise: float = 0.0) -> None:
        self.simulator, self.make, self.seed, self.noise = simulator, make, seed, noise

    def reset(self) -> None:
        self._random = np.random.default_rng([self.seed, 21])
        self._policy = self.make(self.simulator, self.seed)
        self._left, self._push = 0, np.zeros(self.simulator.info.action_dim)

    def act(self) -> ExpertStep:
        action, phase = self._policy.decide()
        label = self.simulator.allowed(action)
        if self.noise and not self._left and self._random.random() < 0.04:
            self._left = int(self._random.integers(3, 9))
            self._push = self._random.uniform(-1, 1, len(label)) * np.asarray(self._policy.push) * self.noise
        executed = label
        if self._left:
            executed = self.simulator.allowed(label + self._push)
        self._left = max(self._left - 1, 0)
        return ExpertStep(label, executed, phase)


class RandomPolicy:
    """Every action drawn evenly from the env's range."""

    def __init__(self, simulator: Simulator, seed: int) -> None:
        low, high = range_of(simulator)
        self.low, self.high, self.push = np.maximum(low, -1e3), np.minimum(high, 1e3), np.zeros(len(low))
        self._random = np.random.default_rng([seed, 22])

    def decide(self) -> tuple[np.ndarray, int]:
        return self._random.uniform(self.low, self.high), 0


class TheirOwn:
    """The scripted policy that an env ships: its method ``scripted()`` gives the action for its present state."""

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self.env = simulator.env.unwrapped
        self.push = getattr(self.env, "push", np.zeros(simulator.info.action_dim))

    def decide(self) -> tuple[np.ndarray, int]:
        return np.asarray(self.env.scripted()), 0


class ReacherExpert:
    """Bends the way that needs less turning. Reads the env's own observation; decides from it alone."""

    push = np.array([0.5, 0.5])

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self._simulator = simulator

    def decide(self) -> tuple[np.ndarray, int]:
        numbers = self._simulator.observe(draw=False)
        seen = numbers.get(ENVIRONMENT_STATE, numbers[STATE]).astype(np.float64)
        angles, speeds, target = np.arctan2(seen[2:4], seen[0:2]), seen[6:8], seen[4:6]
        ways = [(goal - angles + np.pi) % (2 * np.pi) - np.pi for goal in bends(target)]
        turn = min(ways, key=lambda way: float(np.abs(way).sum()))
        return np.clip(STIFF * turn - DAMP * speeds, -1, 1), 0


def bends(target: np.ndarray) -> list[np.ndarray]:
    """Both pairs of joint angles (radians) whose fingertip is at ``target`` (x, y in metres), or as near as it gets."""
    first, second = LINKS
    cosine = (float(target @ target) - first**2 - second**2) / (2 * first * second)
    elbow = float(np.arccos(np.clip(cosine, -1, 1)))
    found = []
    for bend in (elbow, -elbow):
        shoulder = np.arctan2(target[1], target[0]) - np.arctan2(second * np.sin(bend), first + second * np.cos(bend))
        found.append(np.array([shoulder, bend]))
    return found


OURS: dict[str, MakePolicy] = {"gym_pusht/PushT-v0": PushTExpert, "Reacher-v5": ReacherExpert}
"""Scripted policies of ours by the env's id."""


def scripted(name: str) -> MakePolicy:
    """The scripted policy of the env with an id: ours, else the one that the env ships."""
    return OURS.get(name, TheirOwn)


def range_of(simulator: Simulator) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest action, float32 (A,) each."""
    low, high = np.asarray(simulator.info.action_range, np.float32)
    return low, high
