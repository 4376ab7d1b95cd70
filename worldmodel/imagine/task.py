"""A model's task for imagined envs: spaces, starts, time limit, arrays to tensors and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from worldmodel import checkpoint, envs
from worldmodel.backbone import fast_dtype
from worldmodel.config import known
from worldmodel.model import WorldModel
from worldmodel.schema import CONTROL_HZ, STATE, Arrays, image_key
from worldmodel.tokens.task import index_of

SECONDS = 15.0
"""Time limit of a task that no env of ours has."""


@dataclass(frozen=True)
class WorldModelEnvConfig:
    """How an env imagines. steps: sampling steps per frame. device: cpu or cuda.

    starts: observations that episodes begin at, as from a real env or one step of a store's arrays; None: the real
    env's. seconds: until truncation; None: the task's own.
    """

    steps: int = 2
    starts: Sequence[Arrays] | None = None
    seconds: float | None = None
    device: str = "cpu"


class ImaginedTask:
    """A model's task. For tasks of ours, spaces, limit and starts are those of the real env.

    Raises ValueError for a task that the model does not know, CheckpointError (a ValueError) for no such checkpoint.
    """

    def __init__(self, model: WorldModel | str | Path, task: str | None, config: WorldModelEnvConfig) -> None:
        found = model if isinstance(model, WorldModel) else checkpoint.load(model)
        self.model = found.eval().to(config.device).compute_in(fast_dtype(config.device))
        shape, self.config = self.model.config, config
        name = shape.tasks[0] if task is None else task
        index_of(name, shape.tasks)
        self.real: envs.RobotEnv | None = None
        if name in envs.TASKS and set(shape.cameras) <= set(envs.EnvConfig.cameras):
            self.real = envs.make(name, cameras=shape.cameras, size=shape.size)
            self._check_fit(name)
        self.task: Any = self.real.task if self.real else name
        seconds = config.seconds or (self.real.task.seconds if self.real else SECONDS)
        self.limit = round(seconds * shape.control_hz)
        self.action_space, self.observation_space = self._spaces()

    def _check_fit(self, name: str) -> None:
        """Raises ValueError where the model does or reads something else than the arm of the task that it names."""
        assert self.real is not None
        shape, spaces = self.model.config, self._spaces()
        numbers = [sum(space.shape or ()) for space in (spaces[0], spaces[1][STATE])]
        for what, has, needs in (
            ("control rate [Hz]", shape.control_hz, CONTROL_HZ),
            ("numbers of an action", shape.action_dim, numbers[0]),
            ("numbers of state", shape.state_dim, numbers[1]),
        ):
            if has != needs:
                self.real.close()
                raise ValueError(f"{what}: the model has {has:g}, the env of {name!r} {needs:g}; use another task name")

    def _spaces(self) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Dict]:
        """The real env's, or for tasks without one whatever is finite."""
        if self.real is not None:
            action, observation = self.real.action_space, self.real.observation_space
            assert isinstance(action, gymnasium.spaces.Box) and isinstance(observation, gymnasium.spaces.Dict)
            return action, observation
        shape, box = self.model.config, gymnasium.spaces.Box
        frame = (shape.size, shape.size, 3)
        spaces: dict[str, gymnasium.Space] = {image_key(name): box(0, 255, frame, np.uint8) for name in shape.cameras}
        spaces[STATE] = box(-np.inf, np.inf, (shape.state_dim,), np.float32)
        return box(-np.inf, np.inf, (shape.action_dim,), np.float32), gymnasium.spaces.Dict(spaces)

    def start(self, seed: int, options: dict[str, Any] | None) -> Arrays:
        """The observation that an episode begins at: the one given, or one that follows from the seed alone.

        options: ``observation``, or ``state`` of the real env's simulator. Raises ValueError where there is no start.
        """
        options = options or {}
        for name in options:
            known("reset option", name, ("observation", "state"))
        if "observation" in options:
            observation: Arrays = options["observation"]
            return observation
        if self.config.starts is not None and "state" not in options:
            starts = self.config.starts
            return starts[int(np.random.default_rng(seed).integers(len(starts)))]
        if self.real is None:
            name = getattr(self.task, "name", self.task)
            raise ValueError(f"task {name!r} has no env to begin in: give starts= or options={{'observation': ...}}")
        return self.real.reset(seed=seed, options=options)[0]

    def tensors(self, observations: Sequence[Arrays]) -> tuple[Tensor, Tensor]:
        """B observations as frames uint8 (B, C, H, W, 3) and states float32 (B, S)."""
        keys = [*map(image_key, self.model.config.cameras), STATE]
        for key in keys:
            if missing := [list(seen) for seen in observations if key not in seen]:
                raise ValueError(f"an imagined episode begins at {key!r}; the observation has: {', '.join(missing[0])}")
        frames = np.stack([np.stack([np.asarray(seen[key]) for key in keys[:-1]]) for seen in observations])
        state = np.stack([np.asarray(seen[STATE], np.float32) for seen in observations])
        return torch.as_tensor(frames), torch.as_tensor(state)

    def arrays(self, images: Tensor, state: Tensor) -> dict[str, np.ndarray]:
        """Frames and states as observations (leading axis B) within the observation space."""
        box = self.observation_space[STATE]
        assert isinstance(box, gymnasium.spaces.Box)
        names, frames = self.model.config.cameras, images.cpu().numpy()
        shown = {image_key(name): frames[:, number].copy() for number, name in enumerate(names)}
        return shown | {STATE: np.clip(state.float().cpu().numpy(), box.low, box.high)}

    def actions(self, actions: Any, shape: tuple[int, ...]) -> Tensor:
        """Actions clipped to the action space, as in real envs. ValueError for another shape or what is not finite."""
        array = np.asarray(actions, np.float32)
        if array.shape != shape:
            raise ValueError(f"action has shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"action {array.tolist()} is not finite")
        return torch.as_tensor(np.clip(array, self.action_space.low, self.action_space.high))

    def close(self) -> None:
        if self.real is not None:
            self.real.close()
