"""One dream with the Gymnasium face of the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from worldmodel.imagine.setting import DreamConfig, Setting
from worldmodel.model import WorldModel
from worldmodel.model.stream import Stream
from worldmodel.schema import CONTROL_HZ, Arrays, image_key


class DreamEnv(gymnasium.Env):
    """A world model in the place of a simulator: the same spaces, every frame and state imagined.

    A dream begins at something seen: ``options={"observation": ...}`` (of a real env, or of a recording's step),
    ``options={"state": ...}`` (a simulator state: the real env shows it), one of ``starts``, or what the real env shows
    at the seed. It goes on until the task's time is up. Whether a task succeeded in a dream is not known, so
    ``terminated`` is always False and the reward 0. Seed, start and actions decide everything.

    ``model`` is changed to evaluation mode and to the number format that is fast here. ``options`` are the fields of
    `DreamConfig`. Raises ValueError, one line, for a model that does not stream or does not know the task.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}

    def __init__(
        self, model: WorldModel | str | Path, task: str | None = None, *, render_mode: str | None = None, **options: Any
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"unknown render mode {render_mode!r}, expected 'rgb_array' or None; use 'rgb_array'")
        self.setting = Setting(model, task, DreamConfig(**options))
        self.model, self.task, self.render_mode = self.setting.model, self.setting.task, render_mode
        self.stream = Stream(self.model, 1, self.setting.config.steps)
        self.action_space, self.observation_space = self.setting.action_space, self.setting.observation_space
        self.metadata = {**self.metadata, "render_fps": round(self.model.config.rate)}
        self._steps = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin a dream. Raises ValueError for an unknown option or an observation that does not fit the model."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**31)) if seed is None else seed
        self.stream.begin(*self.setting.tensors([self.setting.start(number, options)]), seeds=[number])
        self._steps = 0
        return self._shown(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Imagine what comes of an action, one control step later.

        Raises ValueError for a wrong shape or a value that is not finite (the dream has then not moved), RuntimeError
        before `reset`.
        """
        if self._steps < 0:
            raise RuntimeError("step called before reset; call env.reset(seed=...) first")
        self.stream.step(self.setting.actions(action, (self.model.config.action_dim,))[None])
        self._steps += 1
        return self._shown(), 0.0, False, self._steps >= self.setting.limit, self._info()

    def observe(self, observation: Arrays, ago: int = 0) -> None:
        """Put what was really seen, ``ago`` steps before now, in the place of what was imagined."""
        self.stream.observe(*self.setting.tensors([observation]), ago=ago)

    def render(self) -> np.ndarray:
        """All cameras side by side, uint8 (size, size x cameras, 3)."""
        if self._steps < 0:
            raise RuntimeError("render called before reset; call env.reset(seed=...) first")
        shown = self._shown()
        return np.concatenate([shown[image_key(name)] for name in self.model.config.cameras], axis=1)

    def close(self) -> None:
        """Frees what shows the starts; safe to call twice."""
        self.setting.close()

    def _shown(self) -> dict[str, np.ndarray]:
        return {key: value[0] for key, value in self.setting.arrays(self.stream.images, self.stream.state).items()}

    def _info(self) -> dict[str, Any]:
        return {"success": False, "time": self._steps / self.model.config.rate, "imagined": True}
