"""Policy x env -> Episode: request a chunk of actions, execute some of it, replan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldmodel.rollout.loop import BatchedRollout, EpisodeResult, LocalSlots
from worldmodel.rollout.policy import BatchedPolicy, history_of
from worldmodel.schema import ACTION, Arrays, Episode, Policy
from worldmodel.sims.base import InitialState, Simulator
from worldmodel.sims.slot import Ending, OnStep, Slot


@runtime_checkable
class World(Protocol):
    """What `rollout` needs of an env: the Gymnasium face of one task."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]: ...
    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]: ...


class EpisodeRecorder:
    """Collects one step after another into an Episode; every step must bring the same keys."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray]] = []

    def add(self, observation: Arrays, **values: Any) -> None:
        """Remember a copy of what was seen, with ``values`` (action, phase, ...) beside it."""
        self.steps.append({key: np.array(value) for key, value in {**observation, **values}.items()})

    def episode(self, task: str, seed: int, success: bool, info: Mapping[str, Any] | None = None) -> Episode:
        arrays = {key: np.stack([step[key] for step in self.steps]) for key in self.steps[0]}
        return Episode(arrays, task, seed, success, dict(info or {}))


class _Env(Simulator):
    """A bare Gymnasium env in a slot."""

    def __init__(self, env: World) -> None:
        self.env = env

    def reset(self, start: InitialState) -> None:
        if len(start.state):
            self._seen, _ = self.env.reset(options={"state": start.state})
        else:
            self._seen, _ = self.env.reset(seed=start.seed)
        self.success = self.over = False

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        self._seen, _, self.success, self.over, _ = self.env.step(action)

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        return dict(self._seen)


def rollout(
    policy: Policy,
    env: World,
    start: int | np.ndarray,
    max_steps: int | None = None,
    n_action_steps: int | None = None,
    on_step: OnStep | None = None,
) -> Episode:
    """Run one episode closed loop until success, the env's time limit or ``max_steps``.

    Args:
        policy: acts on a batch of one. An attribute ``history``: past control steps needed, by observation key.
        env: a Gymnasium env; an attribute ``task`` names the episode's task.
        start: a seed, or a full simulator state (float64 vector).
        max_steps: control steps at most; None leaves it to the env.
        n_action_steps: actions executed of each chunk, 1 to chunk_size; None: the policy's own number, else all.
        on_step: called with (step, observation, action) before each step.

    Returns:
        Episode with the observation and action of every step; ``info`` has "chunks" and "act_ms" (one per chunk).
    """
    every: int = getattr(policy, "n_action_steps", policy.chunk_size) if n_action_steps is None else n_action_steps
    if not 1 <= every <= policy.chunk_size:
        raise ValueError(f"n_action_steps={every}: expected 1 to {policy.chunk_size}, the length of the policy's chunk")
    recording, results = EpisodeRecorder(), list[EpisodeResult]()

    def record(step: int, observation: Arrays, action: np.ndarray) -> None:
        if on_step is not None:
            on_step(step, observation, action)
        recording.add(observation, **{ACTION: action})

    begin = InitialState(0, -1, start) if isinstance(start, np.ndarray) else InitialState(0, int(start))
    slot = Slot(_Env(env), history_of(policy), ending=Ending(steps=max_steps), on_step=record)
    batched = BatchedPolicy(policy, 1, seeded=False)
    BatchedRollout(batched, LocalSlots([slot]), every).run([begin], results.append)
    info = {"chunks": results[0].decisions, "act_ms": batched.milliseconds}
    task = getattr(env, "task", "")
    return recording.episode(str(getattr(task, "name", task)), begin.seed, bool(results[0].success), info)
