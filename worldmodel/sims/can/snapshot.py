"""Everything that decides an env's future, as one vector: for fixed initial states and restored episodes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from .arm import ARM_TARGET_SIZE, ArmTarget


@dataclass(frozen=True)
class Snapshot:
    """Physics state of the simulator, the controller's target, steps the task's condition has held, steps taken."""

    physics: np.ndarray
    target: ArmTarget
    held: int
    steps: int

    def pack(self) -> np.ndarray:
        return np.concatenate([self.physics, self.target.pack(), [self.held, self.steps]])

    @staticmethod
    def unpack(state: np.ndarray, physics_size: int) -> Snapshot:
        """Inverse of `pack`.

        Raises:
            ValueError: wrong length, or values that are not finite.
        """
        state, size = np.asarray(state, dtype=np.float64), physics_size + ARM_TARGET_SIZE + 2
        if state.shape != (size,) or not np.isfinite(state).all():
            problem = f"has shape {state.shape}" if state.shape != (size,) else "holds values that are not finite"
            expected = f"finite float64 ({size},) from get_state of the same scene under the same MuJoCo"
            raise ValueError(f"state {problem}, expected {expected}; record the states again")
        target = ArmTarget.unpack(state[physics_size : physics_size + ARM_TARGET_SIZE])
        return Snapshot(state[:physics_size].copy(), target, int(state[-2]), int(state[-1]))


def state_hash(state: np.ndarray) -> str:
    """sha256 of a state vector, 64 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(state, dtype="<f8").tobytes()).hexdigest()
