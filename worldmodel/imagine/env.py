"""The env made of a world model: the Gymnasium face of the real thing, one rollout or many in one forward pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldmodel.imagine.task import ImaginedTask, WorldModelEnvConfig
from worldmodel.model import WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.schema import CONTROL_HZ, Arrays, image_key


class WorldModelEnv(gymnasium.Env):
    """A world model in the place of a simulator: the same spaces, every frame and state imagined.

    An episode begins at something seen: ``options={"observation": ...}`` (of a real env, or of a recording's step),
    ``options={"state": ...}`` (a simulator state: the real env shows it), one of ``starts``, or what the real env shows
    at the seed. It goes on until the task's time is up. Whether a task succeeded is not known here, so ``terminated``
    is always False and the reward 0. Seed, start and actions decide everything.

    ``model`` is changed to evaluation mode and to the number format that is fast here. ``options`` are the fields of
    `WorldModelEnvConfig`. Raises ValueError, one line, for a model that does not stream or does not know the task.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}

    def __init__(
        self, model: WorldModel | str | Path, task: str | None = None, *, render_mode: str | None = None, **options: Any
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"unknown render mode {render_mode!r}, expected 'rgb_array' or None; use 'rgb_array'")
        self.imagined = ImaginedTask(model, task, WorldModelEnvConfig(**options))
        self.model, self.task, self.render_mode = self.imagined.model, self.imagined.task, render_mode
        self.rollout = ImaginedRollout(self.model, 1, self.imagined.config.steps)
        self.action_space, self.observation_space = self.imagined.action_space, self.imagined.observation_space
        self.metadata = {**self.metadata, "render_fps": round(self.model.config.control_hz)}
        self._steps = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin anew. Raises ValueError for an unknown option or an observation that does not fit the model."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**31)) if seed is None else seed
        self.rollout.begin(*self.imagined.tensors([self.imagined.start(number, options)]), seeds=[number])
        self._steps = 0
        return self._shown(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Imagine what comes of an action, one control step later.

        Raises ValueError for a wrong shape or a value that is not finite (nothing has then moved), RuntimeError before
        `reset`.
        """
        self._check_begun("step")
        self.rollout.step(self.imagined.actions(action, (self.model.config.action_dim,))[None])
        self._steps += 1
        return self._shown(), 0.0, False, self._steps >= self.imagined.limit, self._info()

    def observe(self, observation: Arrays, ago: int = 0) -> None:
        """Put what was really seen, ``ago`` steps before now, in the place of what was imagined."""
        self.rollout.observe(*self.imagined.tensors([observation]), ago=ago)

    def render(self) -> np.ndarray:
        """All cameras side by side, uint8 (size, size x cameras, 3)."""
        self._check_begun("render")
        shown = self._shown()
        return np.concatenate([shown[image_key(name)] for name in self.model.config.cameras], axis=1)

    def close(self) -> None:
        """Closes the real env; safe to call twice."""
        self.imagined.close()

    def _check_begun(self, name: str) -> None:
        if self._steps < 0:
            raise RuntimeError(f"{name} called before reset; call env.reset(seed=...) first")

    def _shown(self) -> dict[str, np.ndarray]:
        return {key: value[0] for key, value in self.imagined.arrays(self.rollout.images, self.rollout.state).items()}

    def _info(self) -> dict[str, Any]:
        return {"success": False, "time": self._steps / self.model.config.control_hz, "imagined": True}


class WorldModelVectorEnv(VectorEnv):
    """``num_envs`` rollouts of one model, each as `WorldModelEnv` would have it: none depends on its neighbours.

    One whose time is up begins anew at the next step, whose action it ignores (Gymnasium's next-step autoreset).
    """

    metadata = {"render_modes": [], "render_fps": CONTROL_HZ, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self, model: WorldModel | str | Path, task: str | None = None, *, num_envs: int = 2, **options: Any
    ) -> None:
        self.imagined = ImaginedTask(model, task, WorldModelEnvConfig(**options))
        self.model, self.task, self.num_envs = self.imagined.model, self.imagined.task, num_envs
        self.rollout = ImaginedRollout(self.model, num_envs, self.imagined.config.steps)
        self.single_action_space = self.imagined.action_space
        self.single_observation_space = self.imagined.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._steps = np.full(num_envs, -1)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin all anew, or those in ``options["reset_mask"]`` (bool (num_envs,)).

        seed: one each, or a number that they count up from. ``options["observation"]`` has a leading axis of
        ``num_envs``. Raises ValueError as `WorldModelEnv.reset` does.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        rest = dict(options or {})
        mask = np.asarray(rest.pop("reset_mask", np.ones(self.num_envs, bool)))
        if len(seeds) != self.num_envs or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"got {len(seeds)} seeds and reset_mask={mask.tolist()}, expected one each for {self.num_envs} envs"
            )
        self._begin(np.flatnonzero(mask).tolist(), seeds, rest)
        return self.imagined.arrays(self.rollout.images, self.rollout.state), self._info()

    def step(self, actions: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine one control step of each; errors as in `WorldModelEnv.step`."""
        if (self._steps < 0).any():
            raise RuntimeError("step called before reset; call envs.reset(seed=...) first")
        wanted = self.imagined.actions(actions, (self.num_envs, self.model.config.action_dim))
        over = np.flatnonzero(self._steps >= self.imagined.limit).tolist()
        self.rollout.step(wanted)
        self._steps += 1
        if over:
            self._begin(over, [None] * self.num_envs, {})
        shown = self.imagined.arrays(self.rollout.images, self.rollout.state)
        nothing, truncated = np.zeros(self.num_envs, bool), self._steps >= self.imagined.limit
        return shown, np.zeros(self.num_envs), nothing, truncated, self._info()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the real env."""
        self.imagined.close()

    def _begin(self, rows: list[int], seeds: Sequence[int | None], options: dict[str, Any]) -> None:
        """Begin some anew; the observation of each is its row of a batched one, where there is one."""
        given = options.pop("observation", None)
        starts: list[Arrays] = []
        numbers = [int(self.np_random.integers(2**31)) if (s := seeds[row]) is None else int(s) for row in rows]
        for row, number in zip(rows, numbers, strict=True):
            mine = {} if given is None else {"observation": {key: value[row] for key, value in given.items()}}
            starts.append(self.imagined.start(number, options | mine))
        self.rollout.begin(*self.imagined.tensors(starts), rows=rows, seeds=numbers)
        self._steps[rows] = 0

    def _info(self) -> dict[str, Any]:
        nothing = np.zeros(self.num_envs, bool)
        return {"success": nothing, "time": self._steps / self.model.config.control_hz, "imagined": ~nothing}
