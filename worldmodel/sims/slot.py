"""Episodes of one simulator: begin, carry out actions, end; and what a policy is shown meanwhile."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from worldmodel.schema import IMAGES, Arrays
from worldmodel.sims.base import InitialState, Simulator, StepResult


@dataclass(frozen=True)
class Ending:
    """When an episode ends: ``tail`` control steps after the first success, when the env says so, or after ``steps``.

    free: only ``steps`` ends it, never where it is None; any start will do, solved or not, and one that does not fit is
    refused without an error.
    """

    tail: int = 0
    steps: int | None = None
    free: bool = False


class History:
    """What a policy is shown of the past, kept as an episode goes on.

    keys: how many past control steps of an observation key are wanted, oldest first, zeros before the episode began; an
    array gains a leading axis for them. n_obs_steps: observations shown at once where more than one, all keys stacked;
    the first one stands for those before it.
    """

    def __init__(self, keys: Mapping[str, int], n_obs_steps: int = 1) -> None:
        self.keys = {key: count for key, count in keys.items() if count}
        self._past: dict[str, np.ndarray] = {}
        self._seen: deque[Arrays] = deque(maxlen=n_obs_steps)

    def add(self, observation: Arrays) -> None:
        """One more control step. ValueError where the observation lacks a key."""
        for key, count in self.keys.items():
            if key not in observation:
                raise ValueError(f"the policy needs {key!r}, which the env does not show; make the env with it")
            now = np.asarray(observation[key])[None]
            past = self._past.get(key, np.zeros((count, *now.shape[1:]), now.dtype))
            self._past[key] = np.concatenate([past[1:], now])

    def look(self, observation: Arrays) -> None:
        """The policy looks at the control step that was added last."""
        seen = {**observation, **self._past}
        self._seen.extend([seen] * (1 if self._seen else self._seen.maxlen or 1))

    def shown(self) -> dict[str, np.ndarray]:
        if self._seen.maxlen == 1:
            return dict(self._seen[-1])
        return {key: np.stack([seen[key] for seen in self._seen]) for key in self._seen[-1]}


type OnStep = Callable[[int, Arrays, np.ndarray], None]
"""Called before each control step with its number, the observation and the action."""


class Slot:
    """One simulator and the episode in it. Draws only when somebody looks: the policy, ``on_step``, or a film."""

    def __init__(
        self,
        simulator: Simulator,
        history: Mapping[str, int] | None = None,
        n_obs_steps: int = 1,
        ending: Ending | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        self.simulator, self.keys, self.n_obs_steps = simulator, history or {}, n_obs_steps
        self.ending, self.on_step = ending or Ending(), on_step
        self.steps, self.begun = 0, False
        self.first_success: int | None = None

    def begin(self, start: InitialState) -> StepResult:
        """Put the simulator at a start. ValueError where a frozen one does not fit or is solved already."""
        free = self.ending.free
        before = self.simulator.get_state() if free and self.begun else None
        try:
            self.simulator.reset(start)
        except ValueError as error:
            if not free:
                raise
            if before is not None:
                self.simulator.reset(InitialState(-1, -1, before))
            return StepResult(None, self.steps, False, False, refused=" ".join(str(error).split()))
        if start.sha256 and self.simulator.solved and not free:
            raise ValueError(f"start {start.index} ({start.sha256[:12]}) is already solved; freeze the starts again")
        self.steps, self.first_success, self.begun = 0, None, True
        self.history = History(self.keys, self.n_obs_steps)
        self._look()
        return StepResult(self.history.shown(), 0, False, self.simulator.success)

    def advance(self, actions: Float[np.ndarray, "n A"], record: bool = False) -> StepResult:
        """Carry out actions until the episode is over or they run out. ``record``: with the frames of every step."""
        simulator, frames, done = self.simulator, list[Arrays](), False
        for left, action in zip(range(len(actions) - 1, -1, -1), actions, strict=True):
            if self.on_step is not None:
                self.on_step(self.steps, self.observation, action)
            each = record or self.on_step is not None
            simulator.step(action, each)
            self.steps += 1
            if simulator.success and self.first_success is None:
                self.first_success = self.steps
            done = self._over()
            if record or (not done and (each or left < self.n_obs_steps)):
                self._look()
            elif self.history.keys:
                self.history.add(simulator.observe(draw=False))
            if record:
                frames.append({key: value for key, value in self.observation.items() if key.startswith(IMAGES)})
            if done:
                break
        seen, stats = (None, simulator.stats()) if done else (self.history.shown(), {})
        return StepResult(seen, self.steps, done, simulator.success, tuple(frames), stats)

    def film(self, start: InitialState, actions: Float[np.ndarray, "n A"], path: str) -> StepResult:
        """Replay an episode's actions into an mp4 and a poster; with exact physics no frame needs storing."""
        from worldmodel.report.video import write_replay  # here, because few processes film

        self.begin(start)
        first = self.observation
        result = self.advance(actions, record=True)
        write_replay(path, [first, *result.frames], self.simulator.info.cameras, self.simulator.info.rate)
        return StepResult(None, result.steps, True, result.success, stats=result.stats)

    def fingerprint(self) -> dict[str, Any]:
        return self.simulator.fingerprint()

    def _look(self) -> None:
        self.observation = self.simulator.observe()
        self.history.add(self.observation)
        self.history.look(self.observation)

    def _over(self) -> bool:
        if self.ending.steps is not None and self.steps >= self.ending.steps:
            return True
        if self.ending.free:
            return False
        solved = self.first_success is not None and self.steps >= self.first_success + self.ending.tail
        return solved or self.simulator.over
