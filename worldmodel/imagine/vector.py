"""Many dreams at once: one forward pass for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldmodel.imagine.setting import DreamConfig, Setting
from worldmodel.model import WorldModel
from worldmodel.model.stream import Stream
from worldmodel.schema import CONTROL_HZ, Arrays


class DreamVectorEnv(VectorEnv):
    """``num_envs`` dreams of one model, each as `DreamEnv` would have it; a dream does not depend on its neighbours.

    A dream whose time is up begins anew at the next step, whose action it ignores (Gymnasium's next-step autoreset).
    """

    metadata = {"render_modes": [], "render_fps": CONTROL_HZ, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self, model: WorldModel | str | Path, task: str | None = None, *, num_envs: int = 2, **options: Any
    ) -> None:
        self.setting = Setting(model, task, DreamConfig(**options))
        self.model, self.task, self.num_envs = self.setting.model, self.setting.task, num_envs
        self.stream = Stream(self.model, num_envs, self.setting.config.steps)
        self.single_action_space = self.setting.action_space
        self.single_observation_space = self.setting.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._steps = np.full(num_envs, -1)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin all dreams, or those in ``options["reset_mask"]`` (bool (num_envs,)).

        seed: one per dream, or a number that they count up from. ``options["observation"]`` has a leading axis of
        ``num_envs``. Raises ValueError as `DreamEnv.reset` does.
        """
        first = seed if isinstance(seed, int) else None
        super().reset(seed=first)
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        rest = dict(options or {})
        mask = np.asarray(rest.pop("reset_mask", np.ones(self.num_envs, bool)))
        if len(seeds) != self.num_envs or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"got {len(seeds)} seeds and reset_mask={mask.tolist()}, expected one each for {self.num_envs} dreams"
            )
        self._begin(np.flatnonzero(mask).tolist(), seeds, rest)
        return self.setting.arrays(self.stream.images, self.stream.state), self._info()

    def step(self, actions: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine one control step of every dream; errors as in `DreamEnv.step`."""
        if (self._steps < 0).any():
            raise RuntimeError("step called before reset; call envs.reset(seed=...) first")
        wanted = self.setting.actions(actions, (self.num_envs, self.model.config.action_dim))
        over = np.flatnonzero(self._steps >= self.setting.limit).tolist()
        self.stream.step(wanted)
        self._steps += 1
        if over:
            self._begin(over, [None] * self.num_envs, {})
        nothing = np.zeros(self.num_envs, bool)
        truncated = self._steps >= self.setting.limit
        shown = self.setting.arrays(self.stream.images, self.stream.state)
        return shown, np.zeros(self.num_envs), nothing, truncated, self._info()

    def close_extras(self, **kwargs: Any) -> None:
        """Frees what shows the starts."""
        self.setting.close()

    def _begin(self, rows: list[int], seeds: Sequence[int | None], options: dict[str, Any]) -> None:
        """Begin some dreams anew; the observation of each is its row of a batched one, where there is one."""
        given = options.pop("observation", None)
        starts: list[Arrays] = []
        numbers = [int(self.np_random.integers(2**31)) if (s := seeds[row]) is None else int(s) for row in rows]
        for row, number in zip(rows, numbers, strict=True):
            mine = {} if given is None else {"observation": {key: value[row] for key, value in given.items()}}
            starts.append(self.setting.start(number, options | mine))
        self.stream.begin(*self.setting.tensors(starts), rows=rows, seeds=numbers)
        self._steps[rows] = 0

    def _info(self) -> dict[str, Any]:
        nothing = np.zeros(self.num_envs, bool)
        return {"success": nothing, "time": self._steps / self.model.config.rate, "imagined": ~nothing}
