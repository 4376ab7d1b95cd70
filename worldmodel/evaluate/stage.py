"""What happens inside a simulator process: put a start on stage, run chunks of actions, film a replay."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from worldmodel.evaluate.frozen import Trial
from worldmodel.rollout import Hearing
from worldmodel.schema import CONTROL_HZ, ENVIRONMENT_STATE, STATE, Arrays, image_key


@dataclass(frozen=True)
class Moment:
    """Where an episode stands after a chunk.

    ``observation`` is None once the episode is over. ``frames``: one dict (camera key -> uint8 (H, W, 3)) per step
    executed, where asked for. ``course`` (see `Course`) comes with the last moment. ``busy`` is seconds of work.
    """

    observation: Arrays | None
    steps: int
    done: bool
    success: bool
    frames: tuple[Arrays, ...] = ()
    course: dict[str, Any] = field(default_factory=dict)
    busy: float = 0.0


class Stage(Protocol):
    """One simulator of one task."""

    def begin(self, trial: Trial) -> Moment: ...
    def advance(self, actions: np.ndarray, record: bool) -> Moment: ...
    def film(self, trial: Trial, actions: np.ndarray, path: str) -> Moment: ...
    def fingerprint(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class RobotStages:
    """Opens stages of our own tasks. Picklable, and imports MuJoCo only when called, inside the worker.

    hears: control steps of sound that an observation holds; 0 leaves the microphone off.
    looks: observations shown at once, those of the last control steps, stacked where there are more than one; an
    episode's first one stands for those that are not there yet.
    """

    task: str
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    perturb: str = "none"
    hears: int = 0
    looks: int = 1

    def __call__(self) -> Stage:
        return RobotStage(self)


class Course:
    """What became of the can, for sorting failures: metres, from the privileged state."""

    def __init__(self, eef: np.ndarray, can: np.ndarray) -> None:
        self.first = self.last = np.array(can, np.float64)
        self.closest, self.highest = float(np.linalg.norm(eef - can)), float(can[2])

    def update(self, eef: np.ndarray, can: np.ndarray) -> None:
        self.last = np.array(can, np.float64)
        self.closest = min(self.closest, float(np.linalg.norm(eef - can)))
        self.highest = max(self.highest, float(can[2]))

    def summary(self) -> dict[str, Any]:
        """``closest``: least distance of gripper and can; ``raised``: most height gained; ``can``: where it ended."""
        return {
            "closest": round(self.closest, 4),
            "raised": round(self.highest - float(self.first[2]), 4),
            "can": [round(float(value), 4) for value in self.last],
        }


class RobotStage:
    """A `RobotEnv` that draws only when somebody looks: once per decision, or at every step that is filmed."""

    def __init__(self, spec: RobotStages) -> None:
        from worldmodel import envs

        self.cameras = spec.cameras
        options = {"size": spec.size, "perturb": spec.perturb, "microphone": spec.hears > 0}
        self.env = envs.make(spec.task, cameras=self.cameras, render_images=False, **options)
        self.steps, self.hears, self.looks = 0, spec.hears, spec.looks
        self.hearing = Hearing(self.hears)
        self.seen: deque[dict[str, np.ndarray]] = deque(maxlen=spec.looks)

    def begin(self, trial: Trial) -> Moment:
        """Restore a start. Raises ValueError where it does not fit this scene or is already solved."""
        from worldmodel.evaluate.starts import solved

        began = time.perf_counter()
        # The seed draws the look of a perturbed scene; the state then replaces what it drew for the physics.
        observation, _ = self.env.reset(seed=trial.seed, options={"state": trial.state})
        if solved(self.env):
            raise ValueError(f"start {trial.index} ({trial.sha256[:12]}) is already solved; freeze the starts again")
        self.steps, self.hearing = 0, Hearing(self.hears)
        self.hearing.add(observation)
        self.course = Course(self.env.scene.eef, self.env.scene.can_position)
        self.seen.extend([self._look()] * self.looks)
        return Moment(self._shown(), 0, False, False, busy=time.perf_counter() - began)

    def advance(self, actions: np.ndarray, record: bool) -> Moment:
        """Execute actions, float32 (n, A), until the episode is over or they run out."""
        began = time.perf_counter()
        frames = []
        success = done = False
        for left, action in zip(range(len(actions) - 1, -1, -1), actions, strict=True):
            observation, _, success, truncated, _ = self.env.step(action)
            self.hearing.add(observation)
            self.steps += 1
            self.course.update(self.env.scene.eef, self.env.scene.can_position)
            if record:
                frames.append(self._draw())
            if done := success or truncated:
                break
            if left < self.looks:
                self.seen.append(self._look(frames[-1] if record else None))
        seen = None if done else self._shown()
        course = self.course.summary() if done else {}
        return Moment(seen, self.steps, done, success, tuple(frames), course, time.perf_counter() - began)

    def film(self, trial: Trial, actions: np.ndarray, path: str) -> Moment:
        """Replay an episode's actions (T, A) into an mp4 and a poster; with exact physics no frame needs storing."""
        from worldmodel.report.video import write_replay

        self.begin(trial)
        first = self.seen[-1]  # one look, however many the policy is shown at once
        moment = self.advance(actions, record=True)
        write_replay(path, [first, *moment.frames], self.cameras, CONTROL_HZ)
        return Moment(None, moment.steps, True, moment.success, course=moment.course)

    def fingerprint(self) -> dict[str, Any]:
        """The env's own fingerprint, with the backend that really drew."""
        return self.env.fingerprint()

    def _shown(self) -> dict[str, np.ndarray]:
        """What the policy is shown now."""
        if self.looks == 1:
            return self.seen[-1]
        return {key: np.stack([look[key] for look in self.seen]) for key in self.seen[-1]}

    def _draw(self) -> dict[str, np.ndarray]:
        return {image_key(camera): self.env.draw(camera) for camera in self.cameras}

    def _look(self, drawn: Arrays | None = None) -> dict[str, np.ndarray]:
        simulator = np.concatenate(list(self.env.privileged().values())).astype(np.float32)  # read by controls alone
        seen = {**(drawn or self._draw()), STATE: self.env.observe()[STATE], ENVIRONMENT_STATE: simulator}
        return dict(self.hearing.show(seen))
