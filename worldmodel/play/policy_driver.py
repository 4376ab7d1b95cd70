"""The checkpoint's policy at the wheel, which gives a new chunk when the last one is used up."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldmodel.play.imagination import Imagination
from worldmodel.play.messages import OBSERVED
from worldmodel.schema import Arrays


class PolicyDriver:
    """Whether the policy drives, what it is shown, and the rest of its chunk."""

    def __init__(self, imagination: Imagination) -> None:
        self.imagination, self.on, self.observes = imagination, False, OBSERVED[0]
        self._chunk: list[np.ndarray] = []

    def set(self, on: bool, observes: str) -> None:
        """Let it drive or not, from the next look on."""
        if observes != self.observes or on != self.on:
            self._chunk = []
        self.on, self.observes = on, observes

    def act(self, observation: Arrays) -> np.ndarray:
        """The next action, float32 (4,). On the model's thread."""
        policy: Any = self.imagination.policy
        if not self._chunk:
            chunk = policy.act({key: np.asarray(value)[None] for key, value in observation.items()})[0]
            self._chunk = list(chunk[: policy.n_action_steps])
        return self._chunk.pop(0)
