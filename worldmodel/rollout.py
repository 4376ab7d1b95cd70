"""Policy x env -> Episode: ask for a chunk of actions, execute some of it, look again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldmodel.schema import ACTION, AUDIO, AUDIO_HZ, CONTROL_HZ, Arrays, Episode, Policy


@runtime_checkable
class World(Protocol):
    """What a rollout needs of an env: the Gymnasium face of one task."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]: ...
    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]: ...


class Hearing:
    """What a policy with ears is shown: the sound of the last ``steps`` control steps, silence before the first one."""

    def __init__(self, steps: int) -> None:
        self.heard = np.zeros((steps, AUDIO_HZ // CONTROL_HZ), np.float32)

    def add(self, observation: Arrays) -> None:
        """Listen to one more control step. Raises ValueError where the observation has no sound."""
        if len(self.heard) and AUDIO not in observation:
            raise ValueError(f"the policy needs {AUDIO!r}; make the env with microphone=True")
        if len(self.heard):
            self.heard = np.concatenate([self.heard[1:], observation[AUDIO][None]])

    def show(self, observation: Arrays) -> Arrays:
        """The observation, with all that is still remembered instead of the last control step alone."""
        return {**observation, AUDIO: self.heard} if len(self.heard) else observation


class Recorder:
    """Collects one step after another into an Episode; every step must bring the same keys."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray]] = []

    def add(self, observation: Arrays, **values: Any) -> None:
        """Remember a copy of what was seen, with ``values`` (action, phase, ...) beside it."""
        self.steps.append({key: np.array(value) for key, value in {**observation, **values}.items()})

    def episode(self, task: str, seed: int, success: bool, info: Mapping[str, Any] | None = None) -> Episode:
        """The recording, every array stacked along time."""
        arrays = {key: np.stack([step[key] for step in self.steps]) for key in self.steps[0]}
        return Episode(arrays, task, seed, success, dict(info or {}))


def rollout(
    policy: Policy,
    env: World,
    start: int | np.ndarray,
    max_steps: int | None = None,
    execute: int | None = None,
    on_step: Callable[[int, Arrays, np.ndarray], None] | None = None,
) -> Episode:
    """Run one episode closed loop until success, the env's time limit or ``max_steps``.

    Args:
        policy: acts on a batch of one; gives chunks (1, horizon, A) in the env's units.
        env: a Gymnasium env; an attribute ``task`` names the episode's task.
        start: a seed, or a full simulator state (float64 vector) to start from.
        max_steps: control steps at most; None leaves it to the env's own time limit.
        execute: actions executed of each chunk before looking again, 1 to horizon; None takes ``policy.execute``
            where the policy has one, else the whole chunk.
        on_step: called with (step, observation, action) before each step.

    Returns:
        Episode with the observation and action of every step; ``info`` has "chunks" and "act_ms" (one per chunk).
    """
    every: int = getattr(policy, "execute", policy.horizon) if execute is None else execute
    if not 1 <= every <= policy.horizon:
        raise ValueError(f"execute={every}: expected 1 to {policy.horizon}, the length of the policy's chunk")
    if isinstance(start, np.ndarray):
        observation, _ = env.reset(options={"state": start})
    else:
        observation, _ = env.reset(seed=int(start))
    policy.reset()
    hearing = Hearing(getattr(policy, "hears", 0))
    recorder, act_ms, chunk = Recorder(), list[float](), np.empty((0, 0), np.float32)
    success = truncated = False
    step = 0
    while not (success or truncated or step == max_steps):
        hearing.add(observation)
        if step % every == 0:
            began = time.perf_counter()
            chunk = policy.act({key: np.asarray(value)[None] for key, value in hearing.show(observation).items()})[0]
            act_ms.append(1000 * (time.perf_counter() - began))
        action = chunk[step % every]
        if on_step is not None:
            on_step(step, observation, action)
        recorder.add(observation, **{ACTION: action})
        observation, _, success, truncated, _ = env.step(action)
        step += 1
    seed = -1 if isinstance(start, np.ndarray) else int(start)
    info = {"chunks": len(act_ms), "act_ms": act_ms}
    task = getattr(env, "task", "")
    return recorder.episode(str(getattr(task, "name", task)), seed, bool(success), info)
