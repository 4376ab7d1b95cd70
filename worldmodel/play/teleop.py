"""Teleoperation: velocities in, absolute targets out, and a body's reaction to them where none is imagined."""

import numpy as np

from worldmodel.schema import CONTROL_HZ, STATE, Arrays
from worldmodel.sims.can.arm import MAX_GRIP_STEP
from worldmodel.sims.can.scene import MAX_WIDTH, WORKSPACE_HIGH, WORKSPACE_LOW

SPEED = 0.25
"""Metres a second at full deflection: below the 0.6 at which the arm's own limit begins."""
DEAD = 0.5
"""Seconds without a message after which a moving gripper is stopped: the message of a key's release may be lost."""
FOLLOWS, OPENS = 0.78, 0.70
"""Shares of the way to its target that gripper and fingers cover in one control step: least squares over 6,000 steps
of keyboard-like driving, with 1.5 mm and 0.13 mm of root mean square error a step."""
HELD = 0.08
"""Opening in metres below which a gripper counts as commanded to close: a can keeps the fingers at 0.066."""


class Teleop:
    """Target of the gripper in the env's own terms: x, y, z in metres and the gripper's command."""

    def __init__(self) -> None:
        self.target: np.ndarray = np.zeros(3)
        self.move: np.ndarray = np.zeros(3)
        self.grip, self.heard = -1.0, 0.0
        self._tapped: np.ndarray | None = None

    def place(self, observation: Arrays) -> None:
        state = np.asarray(observation[STATE], np.float64)
        self.target, self.move, self._tapped = state[:3].copy(), np.zeros(3), None
        self.grip = 1.0 if state[3] < HELD else -1.0

    def drive(self, move: tuple[float, float, float], grip: bool, now: float) -> None:
        """Take the operator's velocity, each from -1 to 1, at time ``now`` in seconds."""
        self.move, self.grip, self.heard = np.array(move), 1.0 if grip else -1.0, now
        if any(move):
            self._tapped = self.move  # moves one step at least, however short the tap

    def action(self, now: float) -> np.ndarray:
        """The next action, float32 (4,): the target moved on, within the workspace."""
        if now - self.heard > DEAD:
            self.move = np.zeros(3)
        move = self._tapped if self._tapped is not None else self.move
        self._tapped = None
        length = float(np.linalg.norm(move))
        step = move / max(1.0, length) * SPEED / CONTROL_HZ
        self.target = np.clip(self.target + step, WORKSPACE_LOW, WORKSPACE_HIGH)
        return np.append(self.target, self.grip).astype(np.float32)

    def follow(self, action: np.ndarray) -> None:
        self.target, self.grip = np.asarray(action[:3], np.float64).copy(), float(np.sign(action[3])) or 1.0


class LaggedBody:
    """Proprioception where only frames are imagined: it follows the command with a first-order lag, without contact."""

    def __init__(self, state: np.ndarray) -> None:
        self.state = np.asarray(state, np.float32).copy()
        self.width = float(self.state[3])

    def step(self, action: np.ndarray) -> np.ndarray:
        """The state one control step after an action (4,): float32 (4,), metres."""
        opening = MAX_WIDTH * (1 - float(np.clip(action[3], -1, 1))) / 2
        self.width += float(np.clip(opening - self.width, -MAX_GRIP_STEP, MAX_GRIP_STEP))
        wanted = np.append(np.clip(action[:3], WORKSPACE_LOW, WORKSPACE_HIGH), self.width)
        share = np.array([FOLLOWS, FOLLOWS, FOLLOWS, OPENS])
        self.state = (self.state + share * (wanted - self.state)).astype(np.float32)
        return self.state
