"""Driving as a person does with keys: a direction is held, let go, turned round; the fingers open and close."""

import numpy as np

from worldmodel.sims.base import ExpertStep

from .expert import CLOSE, GRASP_ABOVE, OPEN
from .scene import WORKSPACE_HIGH, WORKSPACE_LOW
from .scripted_play import Activity, Play

KEY_STEP = 0.25 / 20
"""Metres per control step while a key is held: the speed of the keys in ``worldmodel play``."""


class KeyDriving(Play):
    """Keys held for 2 to 30 steps each. Half of the time they lead towards the can, or to where it could be grasped.

    The target runs ahead of the arm as far as the keys have moved it. What is wanted is what is done.
    """

    steps = 200

    def reset(self) -> None:
        """Starts its random numbers, and so its keys, again from the seed."""
        super().reset()
        self._random = np.random.default_rng([self._seed, 22])
        self._target = np.array(self._env.scene.eef)
        self._keys: np.ndarray = np.zeros(3)
        self._goal: np.ndarray | None = None
        self._held, self._grip = 0, OPEN

    def act(self) -> ExpertStep:
        """The action for the env's current state."""
        if self._held == 0:
            self._press()
        self._held -= 1
        if self._goal is not None:
            self._steer(self._goal)
        length = float(np.linalg.norm(self._keys))
        self._target = np.clip(self._target + self._keys / max(1.0, length) * KEY_STEP, WORKSPACE_LOW, WORKSPACE_HIGH)
        action = np.append(self._target, self._grip).astype(np.float32)
        return ExpertStep(action, action.copy(), int(Activity.WANDER))

    def _press(self) -> None:
        """What the hand does next, and for how long."""
        kind, random = self._random.random(), self._random
        self._held, self._goal = int(random.integers(2, 31)), None
        if kind < 0.12:
            self._keys = np.zeros(3)
        elif kind < 0.24:
            self._keys = -self._keys
        elif kind < 0.42:
            self._keys, self._held = np.zeros(3), int(random.integers(4, 12))
            self._grip = OPEN if self._grip == CLOSE else CLOSE
        elif kind < 0.6:
            self._keys = random.choice([-1.0, 0.0, 0.0, 1.0], 3)
        else:
            can = np.array(self._env.scene.can_position)
            beside = random.normal(size=3) * np.array([0.02, 0.02, 0.01])
            self._goal = can + beside + np.array([0, 0, GRASP_ABOVE if random.random() < 0.6 else 0.1])

    def _steer(self, goal: np.ndarray) -> None:
        """Hold the keys of those axes along which the goal is more than a step away, far ones first."""
        off = goal - self._target
        wanted = np.abs(off) > KEY_STEP
        if wanted[:2].any() and off[2] < 0 and np.abs(off[:2]).max() > 0.03:
            wanted[2] = False  # over it first, then down
        self._keys = np.sign(off) * wanted
