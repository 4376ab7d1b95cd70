"""A self-checking dummy: an env that counts, an expert and a policy that say the count, and a check of the record.

The env shows (episode number, step) in every array it gives, down to single pixels, and insists that the action it
gets names the step it is at. So any mix-up of steps, episodes, keys or chunks between collect, store, reading back
and rollout ends in an AssertionError or a failed ``check``.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.schema import ACTION, ENVIRONMENT_STATE, EXECUTED, STATE, Episode, image_key
from worldmodel.sims.base import SIMULATORS, EnvInfo, InitialState, Simulator, SimulatorSpec

SIMULATORS |= dict.fromkeys(("count", "other"), "counting:CountingSimulator")
SCENE, WRIST = image_key("scene"), image_key("wrist")


def length_of(seed: int) -> int:
    """Steps until success of an episode."""
    return 5 + seed % 7


def succeeds(seed: int) -> bool:
    """Every fifth seed fails, so that dropping is exercised."""
    return seed % 5 != 3


def action_at(seed: int, step: int) -> np.ndarray:
    return np.array([seed, step, seed + step, step % 2], np.float32)


def frame_at(seed: int, step: int, camera: int, size: int) -> np.ndarray:
    frame = np.empty((size, size, 3), np.uint8)
    frame[..., 0], frame[..., 1], frame[..., 2] = seed % 251, step % 251, camera
    frame[0, 0] = (seed // 251, step // 251, 7)
    return frame


class CountingEnv:
    """Counts steps; wants to be told the count."""

    def __init__(self, task: str = "count", size: int = 8) -> None:
        self.task, self.size, self.seed, self.count = task, size, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if options is not None:
            self.set_state(options["state"])
        else:
            self.seed, self.count = int(seed or 0), 0
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        np.testing.assert_array_equal(action, action_at(self.seed, self.count), "the env was told a wrong count")
        self.count += 1
        success = self.count >= length_of(self.seed) and succeeds(self.seed)
        return self.observe(), float(success), success, self.count >= 40, {"success": success}

    def observe(self) -> dict[str, np.ndarray]:
        return {
            SCENE: frame_at(self.seed, self.count, 0, self.size),
            WRIST: frame_at(self.seed, self.count, 1, self.size),
            STATE: np.array([self.seed, self.count, 0, 0], np.float32),
            ENVIRONMENT_STATE: np.array([self.count], np.float32),
        }

    def close(self) -> None: ...

    def get_state(self) -> np.ndarray:
        return np.array([self.seed, self.count], np.float64)

    def set_state(self, state: np.ndarray) -> None:
        self.seed, self.count = int(state[0]), int(state[1])


@dataclass
class CountingAct:
    label: np.ndarray
    executed: np.ndarray
    phase: int


class CountingExpert:
    """Knows the env's count."""

    def __init__(self, env: CountingEnv) -> None:
        self.env = env

    def reset(self) -> None: ...

    def act(self) -> CountingAct:
        action = action_at(self.env.seed, self.env.count)
        return CountingAct(action, action, self.env.count % 3)


@dataclass
class CountingPolicy:
    """Reads the count out of the pixels, checks it against the state and its own, and predicts the next ones."""

    chunk_size: int = 6
    n_action_steps: int = 3
    asked: list[int] = field(default_factory=list)

    def reset(self) -> None:
        self.asked.clear()

    def act(self, observations: Any) -> np.ndarray:
        assert observations[STATE].shape == (1, 4)
        seed, step = (int(value) for value in observations[STATE][0, :2])
        for camera, key in enumerate((SCENE, WRIST)):
            np.testing.assert_array_equal(observations[key][0], frame_at(seed, step, camera, 8))
        self.asked.append(step)
        return np.stack([action_at(seed, step + ahead) for ahead in range(self.chunk_size)])[None]


class CountingSimulator(Simulator):
    """Demonstrations by counting. `trouble` lets the worker of a seed die or hang once (it leaves a mark)."""

    mixes, behaviours = True, ("expert", "play")

    def __init__(self, spec: SimulatorSpec) -> None:
        self.env = CountingEnv(spec.task, spec.size)
        self.info = EnvInfo(spec.task, ("scene", "wrist"), spec.size, 20.0, 40, 4, 4, "counted")

    def reset(self, start: InitialState) -> None:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "", "workers must not see CUDA"
        self.trouble(start.seed)
        time.sleep(float(os.environ.get("COUNTING_SECONDS", "0")))
        self.env.reset(seed=start.seed)
        self.success = self.over = False

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        _, _, self.success, self.over, _ = self.env.step(action)

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        return self.env.observe()

    def get_state(self) -> np.ndarray:
        return self.env.get_state()

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = "", name: str = "") -> CountingExpert:
        return CountingExpert(self.env)

    def trouble(self, seed: int) -> None:
        for what in ("die", "hang", "raise", "always_die"):
            name, _, mark = os.environ.get(f"COUNTING_{what.upper()}", "").partition(":")
            if name != str(seed) or (Path(mark).exists() and what != "always_die"):
                continue
            Path(mark).touch()
            if what == "raise":
                raise RuntimeError("the simulator\nexploded")
            if what == "hang":
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)

    def fingerprint(self) -> dict[str, Any]:
        return {"counts": 1, "world": os.environ.get("COUNTING_WORLD", "a")}


def check(episode: Episode, tail: int) -> None:
    """Every number of a recorded episode is what the env showed and the expert said at that step."""
    assert len(episode) == length_of(episode.seed) + tail
    assert episode.success and succeeds(episode.seed)
    for step in range(len(episode)):
        for camera, key in enumerate((SCENE, WRIST)):
            frame = episode.arrays[key][step]
            np.testing.assert_array_equal(frame, frame_at(episode.seed, step, camera, frame.shape[0]))
        for key in (ACTION, EXECUTED):
            np.testing.assert_array_equal(episode.arrays[key][step], action_at(episode.seed, step))
        np.testing.assert_array_equal(episode.arrays[STATE][step], [episode.seed, step, 0, 0])
        np.testing.assert_array_equal(episode.arrays["simulator_state"][step], [episode.seed, step])
        assert episode.arrays["phase"][step] == step % 3
        assert episode.arrays[ENVIRONMENT_STATE][step] == step


def main(out: str, episodes: str) -> int:
    """Collect by counting, as a program of its own: something that a test can kill."""
    from worldmodel.collect import CollectConfig, collect

    config = CollectConfig(out=out, task="count", episodes=int(episodes), size=8, tail=3, workers="2", timeout=20)
    return collect(config)
