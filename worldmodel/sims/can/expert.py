"""A scripted expert: it reads the simulator's state, decides from geometry alone, and may be pushed off its path.

Every decision depends on what the cameras and the robot state show (offsets, heights, opening), never on a timer, so
that a policy that observes only these can imitate it, and so that a missed, dropped or pushed can is tried again.
"""

from enum import IntEnum

import numpy as np

from worldmodel.sims.base import ExpertStep

from .robot import RobotEnv
from .scene import CAN_RADIUS, FLOOR, MAX_WIDTH, WORKSPACE_HIGH, WORKSPACE_LOW
from .tasks import REST, lifted

STEP = 0.019  # Longest reach of a target beyond the end effector, metres per control step: about 0.3 m/s
GENTLE = 0.014  # The same while fingertips are near the can or the can is near the floor
GRASP_ABOVE = 0.022  # Height of the grasp above the centre of an upright can, in metres
HOVER = REST + GRASP_ABOVE + 0.085
"""End-effector height before descending, in metres: fingertips clear the can's top by 5 cm."""
CLEAR = REST + GRASP_ABOVE + 0.055  # Below this height a sideways move could hit the can
CARRY = REST + GRASP_ABOVE + 0.15  # End-effector height for carrying: the can is then 15 cm above its rest height
PUSH = 0.025  # Largest offset that a push at noise 1 adds to the target, in metres
OPEN, CLOSE = -1.0, 1.0


Phase = IntEnum("Phase", "APPROACH DESCEND CLOSE LIFT CARRY LOWER RELEASE RETREAT HOLD", start=0)
"""What the expert is doing."""

type Plan = tuple[IntEnum, np.ndarray, float, float]
"""What is done, the end effector's goal (3,) in metres, the gripper command, and the reach per step in metres."""


class Expert:
    """Drives one env. ``noise`` scales random pushes (0: none, 1: up to about 2.5 cm per step for 3 to 8 steps)."""

    def __init__(self, env: RobotEnv, seed: int, noise: float = 0.0) -> None:
        self._env, self._seed, self._noise = env, seed, noise
        self._lifts = env.task.holds is lifted
        self.reset()

    def reset(self) -> None:
        """Forgets the pushes and starts their random numbers again from the seed."""
        self._random = np.random.default_rng([self._seed, 20])
        self._push, self._push_left = np.zeros(3), 0

    def act(self) -> ExpertStep:
        phase, goal, grip, speed = self._plan()
        eef = self._env.scene.eef
        offset = goal - eef
        target = eef + offset * min(1.0, speed / max(float(np.linalg.norm(offset)), 1e-9))
        target = np.clip(target, WORKSPACE_LOW, WORKSPACE_HIGH)
        label = np.append(target, grip).astype(np.float32)
        return ExpertStep(label, self._pushed(label, phase), int(phase))

    def _pushed(self, label: np.ndarray, phase: IntEnum) -> np.ndarray:
        """The label with the active push added, starting a new push now and then. Never while the fingers close."""
        if phase in (Phase.CLOSE, Phase.RELEASE):
            self._push_left = 0
            return label
        self._begin_push(0.04, 1.0)
        if self._push_left == 0:
            return label
        self._push_left -= 1
        # With the fingertips around a standing can a full push would mostly tip it over
        scale = 0.5 if self._env.scene.eef[2] < CLEAR else 1.0
        target = np.clip(label[:3] + scale * self._push, WORKSPACE_LOW, WORKSPACE_HIGH)
        return np.append(target, label[3]).astype(np.float32)

    def _begin_push(self, share: float, strength: float) -> bool:
        """Begin a push where none is active, in a ``share`` of the steps at noise 0.5 and above; whether one began."""
        if self._push_left or self._random.random() >= share * min(1.0, self._noise * 2):
            return False
        direction = self._random.normal(size=3)
        amplitude = strength * self._noise * self._random.uniform(0.4, 1.0) * PUSH
        self._push = amplitude * direction / np.linalg.norm(direction)
        self._push_left = int(self._random.integers(3, 9))
        return True

    def _plan(self) -> Plan:
        """Phase, goal for the end effector, gripper command, and reach per step."""
        scene = self._env.scene
        eef, can, width, bin_ = scene.eef, scene.can_position, scene.width, scene.bin
        if not self._lifts and bin_.holds(can[0], can[1]) and scene.can_bottom < bin_.rim:
            return self._let_go(eef, can, width)
        if self._gripped(eef, can, width):
            return self._deliver(eef, can)
        return self._reach(eef, can, width)

    def _gripped(self, eef: np.ndarray, can: np.ndarray, width: float) -> bool:
        """The can is between the pads and the pads have met it."""
        near = np.hypot(*(eef - can)[:2]) < 0.022 and abs(eef[2] - can[2]) < 0.06
        return bool(near and width < self._girth() + 0.0015 and width > 2 * CAN_RADIUS - 0.006)

    def _girth(self) -> float:
        """Width of the can along the closing direction (world y) in metres; more than a diameter when it lies askew."""
        axis = self._env.scene.can_axis
        return 2 * CAN_RADIUS / max(float(np.hypot(axis[0], axis[2])), 0.3)

    def _reach(self, eef: np.ndarray, can: np.ndarray, width: float) -> Plan:
        upright = abs(float(self._env.scene.can_axis[2])) > 0.8
        grasp = can + np.array([0.0, 0.0, GRASP_ABOVE if upright else 0.004])
        miss_x, miss_y = np.abs(grasp - eef)[:2]
        miss = float(np.hypot(miss_x, miss_y))
        if miss > 0.012 and eef[2] < CLEAR - 0.02 and miss_x < 0.03 and miss_y < 0.02:
            # The can still stands between the open fingers: centre on it where they are, rising would tip it over
            return Phase.DESCEND, np.array([grasp[0], grasp[1], eef[2]]), OPEN, GENTLE
        if miss < 0.012 and abs(eef[2] - grasp[2]) < 0.010:
            return Phase.CLOSE, grasp, CLOSE, STEP
        if miss < 0.012 and width > self._girth() + 0.008:
            return Phase.DESCEND, grasp, OPEN, GENTLE
        hover = np.array([grasp[0], grasp[1], HOVER])
        if eef[2] < CLEAR and miss > 0.012:
            hover[:2] = eef[:2]
        return Phase.APPROACH, hover, OPEN, STEP

    def _deliver(self, eef: np.ndarray, can: np.ndarray) -> Plan:
        """Straight up, sideways, down into the bin; where the task is to lift, straight up and still."""
        raised = can[2] - REST
        if self._lifts:
            phase = Phase.HOLD if raised > 0.14 else Phase.LIFT
            return phase, np.array([eef[0], eef[1], CARRY]), CLOSE, STEP
        bin_ = self._env.scene.bin
        away = float(np.hypot(can[0] - bin_.x, can[1] - bin_.y))
        over = np.array([eef[0] + bin_.x - can[0], eef[1] + bin_.y - can[1], CARRY])
        if away < 0.02:
            return Phase.LOWER, np.array([over[0], over[1], FLOOR]), CLOSE, STEP
        if raised > 0.125:
            return Phase.CARRY, over, CLOSE, STEP
        return Phase.LIFT, np.array([eef[0], eef[1], CARRY]), CLOSE, STEP

    def _let_go(self, eef: np.ndarray, can: np.ndarray, width: float) -> Plan:
        held = self._gripped(eef, can, width)
        bottom = self._env.scene.can_bottom
        if held and bottom > FLOOR + 0.012:
            return Phase.LOWER, eef - [0, 0, bottom - FLOOR - 0.004], CLOSE, GENTLE
        if np.hypot(*(eef - can)[:2]) < 0.03 and eef[2] < HOVER and width < MAX_WIDTH - 0.012:
            return Phase.RELEASE, eef, OPEN, STEP
        return Phase.RETREAT, np.array([eef[0], eef[1], CARRY]), OPEN, STEP
