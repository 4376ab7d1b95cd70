"""Many episodes at once: all simulators run a chunk, then one policy call serves them all, and again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.evaluate.actor import Actor, noise_seed
from worldmodel.evaluate.frozen import Trial
from worldmodel.evaluate.simulators import ATTEMPTS, Answer, Simulators
from worldmodel.schema import CONTROL_HZ, Arrays

SAMPLES = 64
"""Real observations kept from the rollouts, with their noise seeds, for timing ``act`` afterwards."""


@dataclass(frozen=True)
class Result:
    """One finished episode. ``actions``: what was executed, float32 (steps, A). ``wall``: seconds it was on stage."""

    trial: Trial
    success: bool
    steps: int
    decisions: int
    wall: float
    attempts: int
    actions: np.ndarray
    course: dict[str, Any]
    rate: float = CONTROL_HZ

    def line(self) -> dict[str, Any]:
        """The episode as one JSON record."""
        return {
            "episode": self.trial.index,
            "start": self.trial.sha256,
            "seed": self.trial.seed,
            "success": self.success,
            "steps": self.steps,
            "seconds": round(self.steps / self.rate, 3),
            "decisions": self.decisions,
            "wall_seconds": round(self.wall, 3),
            "attempts": self.attempts,
            **self.course,
        }


@dataclass
class Play:
    """An episode that is running in a slot."""

    trial: Trial
    began: float = field(default_factory=time.monotonic)
    actions: list[np.ndarray] = field(default_factory=list)
    decisions: int = 0
    committed: np.ndarray | None = None
    """Actions to be carried out after the next look while its chunk is computed, float32 (delay, A)."""


class Lockstep:
    """Runs trials through ``simulators`` under one actor, ``execute`` actions of each chunk at a time.

    delay: control steps from a look until its chunk is there (see `check_delay`). Until then the robot carries out
    what the chunk before had foreseen: these actions are committed, and given to a policy whose chunks can continue as
    many; any other policy does not know of them, and its chunk's actions for those steps are lost. Before an episode's
    first chunk there is nothing to carry out: the robot waits, and no delay is injected.
    """

    def __init__(
        self,
        actor: Actor,
        simulators: Simulators,
        execute: int,
        seed: int = 0,
        delay: int = 0,
        rate: float = CONTROL_HZ,
    ) -> None:
        self.actor, self.simulators, self.execute, self.seed = actor, simulators, execute, seed
        self.rate = rate
        self.delay, self.continues = delay, 0 < delay <= actor.prefix
        self.samples: list[tuple[Arrays, int]] = []
        self.steps = 0
        self.began: float | None = None
        """When the first chunk was asked for: starting simulators up is no part of their speed."""
        self._plays: dict[int, Play] = {}
        self._queue: deque[Trial] = deque()
        self._attempts: dict[int, int] = {}

    def run(self, trials: list[Trial], finished: Callable[[Result], None]) -> None:
        """Play every trial to its end; ``finished`` hears of each as it ends, in no particular order."""
        self._queue.extend(trials)
        while self._queue or self._plays:
            self._fill()
            seen: dict[int, Arrays] = {}
            for answer in self.simulators.answers():
                self._take(answer, seen, finished)
            if seen:
                self._act(seen)

    @property
    def seconds(self) -> float:
        """Seconds since the first chunk was asked for."""
        return 0.0 if self.began is None else time.monotonic() - self.began

    def _fill(self) -> None:
        for slot in range(self.simulators.slots):
            if slot not in self._plays and self._queue:
                trial = self._queue.popleft()
                self._plays[slot] = Play(trial)
                self.simulators.ask(slot, "begin", trial)

    def _take(self, answer: Answer, seen: dict[int, Arrays], finished: Callable[[Result], None]) -> None:
        play, moment = self._plays.get(answer.slot), answer.moment
        if play is None:
            return  # an idle slot of a lost process
        if moment is None:
            seen.pop(answer.slot, None)
            self._again(answer)
        elif moment.observation is not None:
            seen[answer.slot] = moment.observation
        else:
            del self._plays[answer.slot]
            self.steps += moment.steps
            actions = np.concatenate(play.actions)[: moment.steps]
            attempts = self._attempts.get(play.trial.index, 0) + 1
            wall, ended = time.monotonic() - play.began, (moment.success, moment.steps)
            finished(Result(play.trial, *ended, play.decisions, wall, attempts, actions, moment.course, self.rate))

    def _again(self, answer: Answer) -> None:
        """The slot's process was lost: play the episode again from its start, a few times at most."""
        trial = self._plays.pop(answer.slot).trial
        self._attempts[trial.index] = self._attempts.get(trial.index, 0) + 1
        if self._attempts[trial.index] >= ATTEMPTS:
            raise UserError(
                f"episode {trial.index}: its simulator {answer.lost}, {ATTEMPTS} times; finished episodes are kept, "
                f"`worldmodel doctor` probes the renderer"
            )
        self._queue.appendleft(trial)

    def _act(self, seen: dict[int, Arrays]) -> None:
        slots = sorted(seen)
        self.began = self.began or time.monotonic()
        plays = [self._plays[slot] for slot in slots]
        seeds = [noise_seed(self.seed, play.trial, play.decisions) for play in plays]
        committed = [play.committed for play in plays] if self.continues else None
        chunks = self.actor.act([seen[slot] for slot in slots], seeds, committed)
        for slot, play, chunk in zip(slots, plays, chunks, strict=True):
            actions = chunk[: self.execute]
            if play.committed is not None:
                actions = np.concatenate([play.committed, actions[self.delay :]])
            if self.delay:
                play.committed = chunk[self.execute : self.execute + self.delay]
            play.actions.append(actions)
            play.decisions += 1
            self.simulators.ask(slot, "advance", actions, False)
        if len(self.samples) < SAMPLES:
            # One a round: from all over the episodes, not only their beginnings.
            row = len(self.samples) % len(slots)
            self.samples.append((seen[slots[row]], seeds[row]))


def check_delay(delay: int, execute: int, horizon: int) -> None:
    """UserError where a robot that looks every ``execute`` steps cannot bridge ``delay`` steps with its last chunk.

    The last chunk must reach until the new one is there, and it must itself be there when the robot looks again: what
    is committed at a look would otherwise depend on a chunk that is still being computed.
    """
    most = min(execute, horizon - execute)
    if not 0 <= delay <= most:
        raise UserError(
            f"delay={delay}: expected 0 to {most} control steps, at most execute={execute} and the "
            f"{horizon - execute} steps that a chunk of {horizon} reaches beyond them"
        )
