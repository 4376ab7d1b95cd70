"""What runs in the simulator's own process: an arm that goes on after success and past its time, and takes one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldmodel.evaluate.frozen import Trial
from worldmodel.evaluate.stage import Moment, RobotStage, RobotStages, Stage

REFUSED = "refused"
"""Key in a moment's ``course`` under which a start is refused, with the reason; the simulator has then not changed."""


@dataclass(frozen=True)
class PlayStages(RobotStages):
    """Opens stages to play on. Picklable; MuJoCo is imported in the worker."""

    def __call__(self) -> Stage:
        return PlayStage(self)


class PlayStage(RobotStage):
    """A `RobotEnv` without an exam around it."""

    begun = False

    def begin(self, trial: Trial) -> Moment:
        """Put it at a state, or where its seed does if the trial has none. What does not fit changes nothing."""
        before = self.env.get_state() if self.begun else None
        try:
            self.env.reset(seed=trial.seed, options={"state": trial.state} if len(trial.state) else None)
        except ValueError as error:
            if before is not None:
                self.env.set_state(before)
            return Moment(None, self.steps, False, False, course={REFUSED: " ".join(str(error).split())})
        self.begun, self.steps = True, 0
        return Moment(self._look(), 0, False, self.env.success)

    def advance(self, actions: np.ndarray, record: bool = False) -> Moment:
        """Carry out actions, float32 (n, 4), whatever has happened before."""
        for action in actions:
            self.env.step(action)
            self.steps += 1
        return Moment(self._look(), self.steps, False, self.env.success)
