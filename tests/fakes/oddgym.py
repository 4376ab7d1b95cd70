"""Odd Gymnasium envs, as people have them. ``oddgym:Plain-v0`` is registered without the module's name."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

PICTURE = spaces.Box(0, 255, (64, 64, 3), np.uint8)
NUMBERS = spaces.Box(-np.inf, np.inf, (2,), np.float64)


class Base(gymnasium.Env):
    """Shows a grey that rises by ten with each step; solved after six."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    actions: ClassVar[spaces.Space] = spaces.Box(-1, 1, (2,), np.float32)
    seen: ClassVar[spaces.Space] = spaces.Dict({"pixels": PICTURE, "agent_pos": NUMBERS})

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.action_space, self.observation_space = render_mode, self.actions, self.seen

    def grey(self, back: int = 0) -> int:
        return 20 + 10 * max(self.t - back, 0)

    def look(self) -> Any:
        return {"pixels": np.full((64, 64, 3), self.grey(), np.uint8), "agent_pos": np.array([self.x, self.t], float)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.x = 0, float(self.np_random.uniform())
        return self.look(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t, self.x = self.t + 1, self.x + 0.1
        return self.look(), 1.0, self.t >= 6, False, {"is_success": self.t >= 6}

    def render(self) -> np.ndarray:
        return np.full((64, 64, 3), self.grey(), np.uint8)


class Stack(Base):
    """The last four grey frames, the oldest first."""

    seen = spaces.Box(0, 255, (4, 64, 64), np.uint8)

    def look(self) -> Any:
        return np.stack([np.full((64, 64), self.grey(3 - k), np.uint8) for k in range(4)])


class StackBehind(Stack):
    seen = spaces.Box(0, 255, (64, 64, 4), np.uint8)

    def look(self) -> Any:
        return np.moveaxis(super().look(), 0, -1)


class ColourStack(Base):
    seen = spaces.Box(0, 255, (4, 64, 64, 3), np.uint8)

    def look(self) -> Any:
        return np.stack([np.full((64, 64, 3), self.grey(3 - k), np.uint8) for k in range(4)])


class Nine(Base):
    """Three frames of three colours, or nine grey ones: nobody can tell."""

    seen = spaces.Box(0, 255, (9, 64, 64), np.uint8)

    def look(self) -> Any:
        return np.zeros((9, 64, 64), np.uint8)


class FloatPicture(Base):
    seen = spaces.Dict({"pixels": spaces.Box(0, 1, (64, 64, 3), np.float32), "agent_pos": NUMBERS})

    def look(self) -> Any:
        return super().look() | {"pixels": np.full((64, 64, 3), self.grey() / 255, np.float32)}


class NoKeyword(Base):
    def __init__(self) -> None:
        super().__init__()


class Nan(Base):
    def look(self) -> Any:
        found = super().look()
        if self.t == 3:
            found["agent_pos"][0] = np.nan
        return found


class Whole(Base):
    """Takes whole numbers, and remembers what it was sent."""

    actions = spaces.Box(0, 10, (2,), np.int64)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.sent = action
        return super().step(action)


class Double(Base):
    """Ten times float32(0.1) lies outside of this range."""

    actions = spaces.Box(-0.1, 0.1, (2,), np.float64)
    push = np.zeros(2)

    def scripted(self) -> np.ndarray:
        return np.array([0.1, -0.1])

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, action.dtype)
        return super().step(action)


class LateClose(Base):
    def close(self) -> None:
        raise RuntimeError("display already gone")


class OldApi(Base):
    def step(self, action: np.ndarray) -> Any:
        seen, reward, terminated, truncated, info = super().step(action)
        return seen, reward, terminated or truncated, info


class ArrayInfo(Base):
    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *step, info = super().step(action)
        return (*step, {"success": np.array([info["is_success"]])})  # type: ignore[return-value]


class Never(Base):
    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.look(), 0.0, False, False, {"is_success": False}


def function() -> Base:
    return Base()


for kind in (*Base.__subclasses__(), StackBehind):
    gymnasium.register(f"oddgym/{kind.__name__}-v0", entry_point=kind, max_episode_steps=20)
gymnasium.register("oddgym/Function-v0", entry_point="oddgym:function", max_episode_steps=20)
gymnasium.register("Plain-v0", entry_point=Base, max_episode_steps=20)
