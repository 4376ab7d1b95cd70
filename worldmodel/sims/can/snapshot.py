"""Everything that decides an env's future, as one vector: for fixed initial states and restored episodes."""

from dataclasses import dataclass

import numpy as np

from .arm import ArmTarget


@dataclass(frozen=True)
class Snapshot:
    """Physics state of the simulator, the controller's target, steps the task's condition has held, steps taken."""

    physics: np.ndarray
    target: ArmTarget
    held: int
    steps: int

    def pack(self) -> np.ndarray:
        target = self.target
        counts = [target.width, self.held, self.steps]
        return np.concatenate([self.physics, target.joints, target.position, counts])

    @staticmethod
    def unpack(state: np.ndarray, physics_size: int) -> "Snapshot":
        """Inverse of `pack`. ValueError for a wrong length, or values that are not finite."""
        state, size = np.asarray(state, dtype=np.float64), physics_size + 13
        if state.shape != (size,) or not np.isfinite(state).all():
            problem = f"has shape {state.shape}" if state.shape != (size,) else "holds values that are not finite"
            expected = f"finite float64 ({size},) from get_state of the same scene under the same MuJoCo"
            raise ValueError(f"state {problem}, expected {expected}; record the states again")
        width, held, steps = state[-3:].tolist()
        target = ArmTarget(state[-13:-6].copy(), state[-6:-3].copy(), width)
        return Snapshot(state[:-13].copy(), target, int(held), int(steps))
