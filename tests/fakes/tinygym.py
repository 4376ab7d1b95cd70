"""A Gymnasium package of our own: an env that counts, shows (seed, step) in its pixels and insists on being told both.

``tinygym/Count-v0`` shows itself in three ways (``obs=dict|image|render``) and ships a scripted policy; any mix-up of
steps, episodes or units between collect, store, clips and evaluate ends in an AssertionError.
"""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from worldmodel.schema import Policy

TASK = "gym:tinygym/Count-v0"
RATE, LOW, HIGH = 25, np.array([-1.0, -5.0, 0.0], np.float32), np.array([1e9, 1e4, 400.0], np.float32)


def length_of(seed: int) -> int:
    """Steps until success."""
    return 5 + seed % 7


def succeeds(seed: int) -> bool:
    """Every fifth seed runs into the time limit."""
    return seed % 5 != 3


def action_at(seed: int, step: int) -> np.ndarray:
    return np.array([seed, step, (seed + step) % 251], np.float32)


def frame_at(seed: int, step: int, height: int, width: int) -> np.ndarray:
    frame = np.empty((height, width, 3), np.uint8)
    frame[...] = (seed % 251, step % 251, 7)
    return frame


class Count(gymnasium.Env):
    """Counts its steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": RATE}

    def __init__(self, obs: str = "dict", careless: bool = False, render_mode: str | None = None) -> None:
        self.render_mode = render_mode if obs == "render" else None
        self.kind, self.careless, self.drawn = obs, careless, 0
        picture, numbers = spaces.Box(0, 255, (20, 30, 3), np.uint8), spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.observation_space = {
            "dict": spaces.Dict({"eyes": spaces.Dict({"left": picture}), "count": numbers, "mode": spaces.Discrete(3)}),
            "image": picture,
            "render": numbers,
        }[obs]
        self.action_space = spaces.Box(LOW, HIGH)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.insists = bool(seed)  # the adapter's own look at the env, seed 0, is no episode
        self.drawn += self.careless
        self.seed, self.count = (int(seed or 0) + self.drawn + int(os.environ.get("TINYGYM_WORLD", "0"))) % 1000, 0
        return self._see(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action.dtype == np.float32 and self.action_space.contains(action)
        if self.insists:
            np.testing.assert_array_equal(action, action_at(self.seed, self.count), "the env was told a wrong count")
        self.count += 1
        success = self.count >= length_of(self.seed) and succeeds(self.seed)
        return self._see(), 1.0, success, False, {"is_success": success, "height": float(self.count), "note": "text"}

    def render(self) -> np.ndarray:
        return frame_at(self.seed, self.count, 20, 30)

    def scripted(self) -> np.ndarray:
        return action_at(self.seed, self.count)

    def _see(self) -> Any:
        numbers = np.array([self.seed, self.count], np.float64)
        if self.kind == "dict":
            return {"eyes": {"left": self.render()}, "count": numbers, "mode": self.count % 3}
        return self.render() if self.kind == "image" else numbers


class Blind(Count):
    """Shows nothing."""

    metadata = {"render_modes": []}

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__("render")


class Counter(Policy):
    """Reads seed and step off the pixels, checks them against the numbers, and says the next actions."""

    chunk_size, n_action_steps = 6, 4

    def reset(self) -> None: ...

    def act(self, observations: Any) -> np.ndarray:
        chunks = []
        for frame, state in zip(
            observations["observation.images.eyes.left"], observations["observation.state"], strict=True
        ):
            seed, step, mode = (round(float(value)) for value in state)
            assert mode == step % 3
            np.testing.assert_array_equal(frame, frame_at(seed, step, *frame.shape[:2]))
            chunks.append([action_at(seed, step + ahead) for ahead in range(self.chunk_size)])
        return np.array(chunks, np.float32)


gymnasium.register("tinygym/Count-v0", entry_point=Count, max_episode_steps=40)
gymnasium.register("tinygym/Blind-v0", entry_point=Blind, max_episode_steps=40)
