"""The closed loop: every simulator gives an observation, one policy call answers all, each executes its actions.

Evaluation, demonstrations, the demo and `rollout` are this loop with other policies, slots and hooks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from worldmodel.config import UserError
from worldmodel.processes import ATTEMPTS, Reply
from worldmodel.rollout.policy import Acts, noise_seed
from worldmodel.schema import CONTROL_HZ, Arrays
from worldmodel.sims.base import InitialState, StepResult
from worldmodel.sims.slot import Slot

SAMPLES = 64
"""Real observations kept from the rollouts, with their noise seeds, for timing ``act`` afterwards."""


class Slots(Protocol):
    """Simulators that are called and reply, each a `Slot`: in this process (`LocalSlots`) or in others (a `Pool`)."""

    slots: int

    def ask(self, slot: int, method: str, *arguments: Any) -> None: ...
    def answers(self) -> Iterator[Reply]: ...


class LocalSlots:
    """Slots in this process, one after another."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots, self._all, self._replies = len(slots), slots, deque[Reply]()

    def ask(self, slot: int, method: str, *arguments: Any) -> None:
        self._replies.append(Reply(slot, getattr(self._all[slot], method)(*arguments)))

    def answers(self) -> Iterator[Reply]:
        while self._replies:
            yield self._replies.popleft()


@dataclass(frozen=True)
class EpisodeResult:
    """One finished episode. ``actions``: what was executed, (steps, A). ``wall``: seconds from its first to its end."""

    start: InitialState
    success: bool
    steps: int
    decisions: int
    wall: float
    attempts: int
    actions: np.ndarray
    stats: Mapping[str, Any]

    def line(self, rate: float = CONTROL_HZ) -> dict[str, Any]:
        """The episode as one JSON record; ``rate`` in hertz."""
        return {
            "episode": self.start.index,
            "start": self.start.sha256,
            "seed": self.start.seed,
            "success": self.success,
            "steps": self.steps,
            "seconds": round(self.steps / rate, 3),
            "decisions": self.decisions,
            "wall_seconds": round(self.wall, 3),
            "attempts": self.attempts,
            **self.stats,
        }


@dataclass
class RunningEpisode:
    """An episode that is running in a slot."""

    start: InitialState
    began: float = field(default_factory=time.monotonic)
    actions: list[np.ndarray] = field(default_factory=list)
    decisions: int = 0
    committed: np.ndarray | None = None
    """Actions executed while the next chunk is computed, float32 (delay, A)."""


class BatchedRollout:
    """Runs episodes through ``slots`` under one policy, ``n_action_steps`` actions of each chunk at a time.

    noise: seed of the sampler's noise for a start and a decision; else `noise_seed` of seed 0.
    delay: control steps from an observation until its chunk is there, at most ``n_action_steps`` and what a chunk
    reaches beyond that. Until then the robot executes the chunk before; a policy whose chunks can continue these
    committed actions is given them, another's actions for those steps are lost.
    on_result: called with every `StepResult` and its start. record: whether these hold the frames of every step.
    """

    def __init__(
        self,
        policy: Acts,
        slots: Slots,
        n_action_steps: int,
        noise: Callable[[InitialState, int], int] | None = None,
        delay: int = 0,
        on_result: Callable[[InitialState, StepResult], None] | None = None,
        record: bool = False,
    ) -> None:
        self.policy, self.slots, self.n_action_steps = policy, slots, n_action_steps
        self.noise = noise or partial(noise_seed, 0)
        self.delay, self.continues = delay, 0 < delay <= policy.prefix
        self.on_result, self.record = on_result, record
        self.samples: list[tuple[Arrays, int]] = []
        self.steps = 0
        self.began: float | None = None
        """When the first chunk was requested: starting simulators up is no part of their speed."""
        self._running: dict[int, RunningEpisode] = {}
        self._queue: deque[InitialState] = deque()
        self._attempts: dict[int, int] = {}

    def run(self, starts: Sequence[InitialState], finished: Callable[[EpisodeResult], None]) -> None:
        """Run every episode; ``finished`` is called as each ends. UserError where a simulator is lost too often."""
        self._queue.extend(starts)
        while self._queue or self._running:
            self._fill()
            seen: dict[int, Arrays] = {}
            for reply in self.slots.answers():
                self._take(reply, seen, finished)
            if seen:
                self._act(seen)

    @property
    def seconds(self) -> float:
        return 0.0 if self.began is None else time.monotonic() - self.began

    def _fill(self) -> None:
        for slot in range(self.slots.slots):
            if slot not in self._running and self._queue:
                start = self._queue.popleft()
                self._running[slot] = RunningEpisode(start)
                self.slots.ask(slot, "begin", start)

    def _take(self, reply: Reply, seen: dict[int, Arrays], finished: Callable[[EpisodeResult], None]) -> None:
        running = self._running.get(reply.slot)
        if running is None:
            return  # an idle slot of a lost process
        if reply.lost:
            seen.pop(reply.slot, None)
            self._again(reply)
            return
        result: StepResult = reply.value
        if self.on_result is not None:
            self.on_result(running.start, result)
        if result.observation is not None:
            seen[reply.slot] = result.observation
            return
        del self._running[reply.slot]
        self.steps += result.steps
        actions = np.concatenate(running.actions)[: result.steps]
        attempts, wall = self._attempts.get(running.start.index, 0) + 1, time.monotonic() - running.began
        ended = (result.success, result.steps, running.decisions, wall, attempts)
        finished(EpisodeResult(running.start, *ended, actions, result.stats))

    def _again(self, reply: Reply) -> None:
        """The slot's process was lost: run the episode again from its start, a few times at most."""
        start = self._running.pop(reply.slot).start
        self._attempts[start.index] = self._attempts.get(start.index, 0) + 1
        if self._attempts[start.index] >= ATTEMPTS:
            advice = "finished episodes are kept, `worldmodel doctor` probes the renderer"
            raise UserError(f"episode {start.index}: its simulator {reply.lost}, {ATTEMPTS} times; {advice}")
        self._queue.appendleft(start)

    def _act(self, seen: dict[int, Arrays]) -> None:
        slots = sorted(seen)
        self.began = self.began or time.monotonic()
        running = [self._running[slot] for slot in slots]
        seeds = [self.noise(one.start, one.decisions) for one in running]
        committed = [one.committed for one in running] if self.continues else None
        chunks = self.policy.act([seen[slot] for slot in slots], seeds, committed)
        for slot, one, chunk in zip(slots, running, chunks, strict=True):
            actions = chunk[: self.n_action_steps]
            if one.committed is not None:
                actions = np.concatenate([one.committed, actions[self.delay :]])
            if self.delay:
                one.committed = chunk[self.n_action_steps : self.n_action_steps + self.delay]
            one.actions.append(actions)
            one.decisions += 1
            self.slots.ask(slot, "advance", actions, self.record)
        if len(self.samples) < SAMPLES:
            # One a round: from all over the episodes, not only their beginnings.
            row = len(self.samples) % len(slots)
            self.samples.append((seen[slots[row]], seeds[row]))
