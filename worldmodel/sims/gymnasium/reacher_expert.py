"""A controller for Gymnasium's Reacher: the joint angles that put the fingertip on the target, then springs."""

from __future__ import annotations

import numpy as np

from worldmodel.schema import ENVIRONMENT_STATE, STATE
from worldmodel.sims.base import Simulator

LINKS = 0.1, 0.11  # Length of the two links in metres, the fingertip included
STIFF, DAMP = 1.0, 0.12  # Torque per radian and per radian a second, in the env's unit


class ReacherExpert:
    """Bends the way that needs less turning. Reads the env's own observation; decides from it alone."""

    push = np.array([0.5, 0.5])

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self._simulator = simulator

    def decide(self) -> tuple[np.ndarray, int]:
        numbers = self._simulator.observe(draw=False)
        seen = numbers.get(ENVIRONMENT_STATE, numbers[STATE]).astype(np.float64)
        angles, speeds, target = np.arctan2(seen[2:4], seen[0:2]), seen[6:8], seen[4:6]
        ways = [_wrapped(goal - angles) for goal in bends(target)]
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


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
