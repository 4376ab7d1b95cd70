"""Evaluation in robosuite: each stage has a simulator's process of its own, and begins at whole states.

Starts are states, not seeds under a digest as for Gymnasium envs: robosuite can be put into one exactly, so the exam
stays the same where a seed would draw something else, as it may with another NumPy or other samplers. What a start
must fit is the scene, and that is checked by its hash.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.evaluate.candidate import Candidate
from worldmodel.evaluate.frozen import Trial
from worldmodel.evaluate.stage import Course, Moment, Stage
from worldmodel.schema import image_key
from worldmodel.sims.robosuite.task import ACTION_NUMBERS, STATE_NUMBERS, lines, name_of, open_task

CAN = "robosuite:PickPlaceCan"
"""The task whose failures are sorted by what became of the can."""


@dataclass(frozen=True)
class RobosuiteStages:
    """Opens stages of one task. Picklable; every stage starts a simulator, which ends with the worker that did."""

    task: str
    cameras: tuple[str, ...]
    size: int

    def __call__(self) -> Stage:
        return RobosuiteStage(self)


class RobosuiteStage:
    """A `RobosuiteEnv` that draws once per decision, or at every step that is filmed."""

    def __init__(self, spec: RobosuiteStages) -> None:
        self.spec, self.env = spec, open_task(spec.task, spec.size, spec.cameras)
        self.course: Course | None = None

    def begin(self, trial: Trial) -> Moment:
        """Restore a start. ValueError where it is already solved, UserError where it is of another scene."""
        began = time.perf_counter()
        observation, _ = self.env.reset(options={"state": trial.state})
        if self.env.success:
            raise ValueError(f"start {trial.index} ({trial.sha256[:12]}) is already solved; freeze the starts again")
        self.course = Course(*self._places()) if self.spec.task == CAN else None
        return Moment(observation, 0, False, False, busy=time.perf_counter() - began)

    def advance(self, actions: np.ndarray, record: bool) -> Moment:
        """Execute actions, float32 (n, 10), until the episode is over or they run out."""
        began, frames, done = time.perf_counter(), [], False
        for action in actions:
            self.env.advance(action, draw=record)
            if self.course:
                self.course.update(*self._places())
            if record:
                frames.append(self._drawn())
            if done := self.env.success or self.env.over:
                break
        seen = None if done else self.env.observe()
        course = self.course.summary() if self.course and done else {}
        spent = time.perf_counter() - began
        return Moment(seen, self.env.steps, done, self.env.success, tuple(frames), course, spent)

    def film(self, trial: Trial, actions: np.ndarray, path: str) -> Moment:
        """Replay an episode's actions (T, 10) into an mp4 and a poster."""
        from worldmodel.report.video import write_replay

        self.begin(trial)
        first, moment = self._drawn(), self.advance(actions, record=True)
        write_replay(path, [first, *moment.frames], self.spec.cameras, float(self.env.about["hertz"]))
        return Moment(None, moment.steps, True, moment.success, course=moment.course)

    def fingerprint(self) -> dict[str, Any]:
        """The env's own fingerprint."""
        return self.env.fingerprint()

    def _drawn(self) -> dict[str, np.ndarray]:
        seen = self.env.observe()
        return {image_key(camera): seen[image_key(camera)] for camera in self.spec.cameras}

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the hand and the can are, metres."""
        found = self.env.privileged()
        return found["robot0_eef_pos"], found["Can_pos"]


def look_at(task: str, candidate: Candidate) -> tuple[list[str], dict[str, Any], float]:
    """What a candidate will meet: lines for people, fingerprint and control rate (Hz).

    Starts a simulator, which ends before this returns. UserError, one line, where the candidate does not fit the task.
    """
    check_fits(task, candidate)
    env = open_task(task, candidate.size, candidate.cameras)
    try:
        return lines(env), env.fingerprint(), float(env.about["hertz"])
    finally:
        env.close()


def check_fits(task: str, candidate: Candidate) -> None:
    """UserError, before any simulator starts, for a candidate that is not driven or shown what robosuite's are."""
    name_of(task)
    whose = f"task={task}: checkpoint {candidate.name}"
    if not candidate.cameras:
        raise UserError(f"{whose} sees no camera, expected agentview, robot0_eye_in_hand or both; train with pixels")
    if candidate.hears:
        raise UserError(f"{whose} hears, and robosuite makes no sound; train without audio")
    for kind, has, wanted in (
        ("gives {} numbers for an action", candidate.acts, ACTION_NUMBERS),
        ("reads a state of {} numbers", candidate.feels, STATE_NUMBERS),
    ):
        if has not in (0, wanted):
            raise UserError(
                f"{whose} {kind.format(has)}, expected {wanted}; train on what `worldmodel collect task={task}` records"
            )
