"""What became of the object that a task is about: one summary for every simulator that has such a task."""

from typing import Any

import numpy as np


class ObjectStats:
    """Of gripper and object, metres, from the simulator's own state; in reports the object is the can."""

    def __init__(self, gripper: np.ndarray, item: np.ndarray) -> None:
        self.first_height = self.highest = float(item[2])
        self.closest = float("inf")
        self.update(gripper, item)

    def update(self, gripper: np.ndarray, item: np.ndarray) -> None:
        self.last = np.array(item, np.float64)
        self.closest = min(self.closest, float(np.linalg.norm(gripper - item)))
        self.highest = max(self.highest, float(item[2]))

    def summary(self) -> dict[str, Any]:
        """``closest``: least distance of the two; ``raised``: most height gained; ``can``: where the object ended."""
        return {
            "closest": round(self.closest, 4),
            "raised": round(self.highest - self.first_height, 4),
            "can": [round(float(value), 4) for value in self.last],
        }
