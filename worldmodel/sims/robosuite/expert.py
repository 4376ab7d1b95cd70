"""The scripted demonstrator for robosuite's PickPlaceCan: it looks at the simulator's state, as a policy must not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldmodel.data.formats.conventions import CLOSE, OPEN, OscPose, matrix_from_xyzw, six_from_matrix
from worldmodel.sims.base import ExpertStep

BIN = np.array([0.155, 0.345])
"""Where the can is let go, x and y in metres, world frame: its own quarter of the second bin is 0.1 to 0.295 by 0.28 to
0.525, but the arm does not reach its middle with the fingers pointing down."""
GRASP = 0.025  # Height of the fingers over the can's middle, metres: lower, and the can's top meets the palm
ABOVE, CARRY, RELEASE = 0.14, 1.06, 0.905
"""Metres: hover over the can's middle; heights in the world of the carried and of the released can."""
NEAR, HELD = 0.015, 0.07  # Metres: where a place counts as reached; how far a held can is from the fingers at most
CLOSING, OPENING = 8, 6  # Control steps for the fingers, which need ten for their whole stroke
GAIN = 2.0  # How much further than the goal each step aims: the controller stops short of what is near
PATIENCE, FAR = 40, 100
"""Control steps after which a phase ends wherever the hand has come to: the next one finds out whether it will do.
``FAR``: of the way over to the other bin, which a can from the near edge takes some 60 steps for.
"""

PHASES = ("hover", "descend", "close", "lift", "carry", "lower", "open", "retreat")
OSC = OscPose(frame="world")


class CanExpert:
    """The demonstrator of one env: a plan, and pushes of strength ``noise`` that it recovers from."""

    def __init__(self, env: Any, seed: int = 0, noise: float = 0.0) -> None:
        """``env`` is a `RobosuiteEnv`, or what tells as much: ``privileged()`` and ``config.actions``."""
        self.env, self.seed, self.noise = env, seed, noise
        self.reset()

    def reset(self) -> None:
        """A new episode; the pushes follow from the seed."""
        self.plan, self.pushes = CanPlan(), Pushes(self.noise, self.seed)

    def act(self) -> ExpertStep:
        seen = self.env.privileged()
        label = self.plan.act(seen)
        executed = self.pushes(label, self.plan.phase)
        both = np.stack([label, executed])
        if self.env.config.actions == "absolute":
            site = matrix_from_xyzw(seen["robot0_eef_quat_site"])
            both = OSC.targets(both, seen["robot0_eef_pos"], site, np.eye(3))
        wanted, sent = both.astype(np.float32)
        return ExpertStep(wanted, sent, PHASES.index(self.plan.phase))


class CanPlan:
    """Hover, descend, close, lift, carry, lower, open, retreat; from the start where the can was missed or lost.

    ``act(seen)`` takes `RobosuiteEnv.privileged` and gives robosuite's action, float64 (7,); one plan per episode.
    """

    def __init__(self) -> None:
        self.phase, self._steps = "hover", 0
        self._upright: np.ndarray | None = None

    def act(self, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        hand, can = seen["robot0_eef_pos"], seen["Can_pos"]
        site = matrix_from_xyzw(seen["robot0_eef_quat_site"])
        if self._upright is None:
            self._upright = _pointing_down(site)
        before, self.phase = self.phase, self._next(hand, can)
        self._steps = self._steps + 1 if self.phase == before else 0
        place, gripper = self._goal(can)
        target = np.concatenate([hand + GAIN * (place - hand), six_from_matrix(self._upright), [gripper]])
        return OSC.deltas(target, hand, site, np.eye(3))

    def _next(self, hand: np.ndarray, can: np.ndarray) -> str:
        """The phase after looking: each ends where its goal is reached, and a lost can begins anew."""
        place, _ = self._goal(can)
        near = bool(np.linalg.norm(hand - place) < NEAR)
        if self.phase in ("lift", "carry", "lower") and np.linalg.norm(hand - can) > HELD:
            return "hover"
        if self.phase in ("close", "open"):
            done = self._steps + 1 >= (CLOSING if self.phase == "close" else OPENING)
            return {"close": "lift", "open": "retreat"}[self.phase] if done else self.phase
        if self.phase == "hover" and np.linalg.norm((hand - place)[:2]) < NEAR:
            return "descend"
        if self.phase == "descend" and np.linalg.norm((hand - can)[:2]) > 3 * NEAR:
            return "hover"
        after = {"descend": "close", "lift": "carry", "carry": "lower", "lower": "open"}
        if self.phase == "lift":
            near = bool(hand[2] > CARRY - 0.04)
        if self.phase == "carry":
            near = bool(np.linalg.norm((hand - place)[:2]) < NEAR)
        late = self._steps > (FAR if self.phase == "carry" else PATIENCE)
        return after.get(self.phase, self.phase) if near or late else self.phase

    def _goal(self, can: np.ndarray) -> tuple[np.ndarray, float]:
        """Where the fingers should be in this phase (m), and the gripper's command."""
        over_bin = np.append(BIN, CARRY)
        return {
            "hover": (can + np.array([0, 0, ABOVE]), OPEN),
            "descend": (can + np.array([0, 0, GRASP]), OPEN),
            "close": (can + np.array([0, 0, GRASP]), CLOSE),
            "lift": (np.append(can[:2], CARRY), CLOSE),
            "carry": (over_bin, CLOSE),
            "lower": (np.append(BIN, RELEASE), CLOSE),
            "open": (np.append(BIN, RELEASE), OPEN),
            "retreat": (over_bin, OPEN),
        }[self.phase]


class Pushes:
    """Exploration by random pushes: rarely, some steps long, not while the fingers close; and a little white noise.

    ``strength`` 0 is none, 1 pushes as hard as the controller allows. The label stays what the expert wanted.
    """

    def __init__(self, strength: float, seed: int) -> None:
        self.strength, self._random = strength, np.random.default_rng([seed, 1])
        self._left = 0
        self._push: np.ndarray = np.zeros(3)

    def __call__(self, action: np.ndarray, phase: str) -> np.ndarray:
        """What is really sent in place of ``action`` (7,)."""
        if not self.strength:
            return action
        if self._left == 0 and self._random.random() < 0.04 and phase not in ("close", "open"):
            direction = self._random.normal(size=3)
            self._left = int(self._random.integers(3, 9))
            self._push = direction / np.linalg.norm(direction) * self._random.uniform(0.4, 1.0) * self.strength
        noise = self._random.normal(size=6) * 0.1 * self.strength
        noise[3:] *= 0.3
        if self._left and phase not in ("close", "open"):
            noise[:3] += self._push
        self._left = max(self._left - 1, 0)
        return np.append(np.clip(action[:6] + noise, -1, 1), action[6])


def _pointing_down(site: np.ndarray) -> np.ndarray:
    """The rotation nearest to ``site`` whose z axis points straight down, so that the fingers come from above."""
    x = site[:, 0] * np.array([1, 1, 0])
    x /= np.linalg.norm(x)
    down = np.array([0.0, 0.0, -1.0])
    return np.stack([x, np.cross(down, x), down], axis=1)
