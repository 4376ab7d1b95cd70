"""Where somebody else's env shows pixels, and where it gives numbers."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from worldmodel.config import UserError, closest
from worldmodel.data.source import fit

RENDER, IMAGE = "render", "image"
"""Names of the camera that `render` is, and of the one that an observation without names is."""
LEAST = 8  # Pixels that a picture has at least along each side

type Path = tuple[Any, ...]


def leaves(space: gymnasium.Space, path: Path = ()) -> Iterator[tuple[Path, gymnasium.Space]]:
    """The parts of an observation space with the way to each of them."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, part in parts:
            yield from leaves(part, (*path, key))
    else:
        yield path, space


def at(observation: Any, path: Path) -> Any:
    for key in path:
        observation = observation[key]
    return observation


def is_picture(space: gymnasium.Space) -> bool:
    """Whether a part holds pixels: uint8, (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels."""
    shape = space.shape or ()
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(shape) not in (2, 3):
        return False
    sides = shape if len(shape) == 2 else shape[:2] if shape[-1] in (1, 3, 4) else shape[1:]
    return min(sides) >= LEAST and (len(shape) == 2 or shape[-1] in (1, 3, 4) or shape[0] in (1, 3, 4))


def is_numbers(space: gymnasium.Space) -> bool:
    return isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete)


def upright(picture: Any) -> np.ndarray:
    """A picture as uint8 (H, W, 3), whatever its channels."""
    frame = np.asarray(picture)
    frame = frame[..., None] if frame.ndim == 2 else frame
    if frame.shape[-1] not in (1, 3, 4):
        frame = np.moveaxis(frame, 0, -1)
    return np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame[..., :3]


class Cameras:
    """The cameras of one env: parts of its observation, named cameras of its MuJoCo model, and `render`.

    ``offered``: every camera's name, its own ones first. `described`: where the chosen ``cameras`` come from.
    """

    def __init__(self, env: gymnasium.Env, size: int, cameras: tuple[str, ...], task: str) -> None:
        """``cameras``: names chosen; where empty those in the observation, or `render`. UserError without any."""
        self.env, self.size = env, size
        self._inside: Any = env.unwrapped
        self._parts = {_name(path): path for path, space in leaves(env.observation_space) if is_picture(space)}
        model, self._ids = getattr(env.unwrapped, "model", None), {}
        if hasattr(env.unwrapped, "mujoco_renderer") and model is not None:
            self._ids = {model.camera(i).name: i for i in range(model.ncam) if model.camera(i).name}
        named = (*self._ids, *getattr(env.unwrapped, "cameras", ()))
        self.offered = (*self._parts, *named, *((RENDER,) if env.render_mode == "rgb_array" else ()))
        if not self.offered:
            raise UserError(f"task={task}: shows no pixels, neither in its observation nor by render(mode rgb_array)")
        if unknown := [name for name in cameras if name not in self.offered]:
            raise UserError(f"cameras={unknown[0]}: {task} has no such camera; {closest(unknown[0], self.offered)}")
        self.cameras = cameras or tuple(self._parts) or getattr(env.unwrapped, "usual", (RENDER,))

    def see(self, observation: Any) -> dict[str, np.ndarray]:
        """What the chosen cameras show now, uint8 (size, size, 3) each: the square in the middle, resized."""
        return {name: fit(self.raw(name, observation)[None], self.size)[0] for name in self.cameras}

    def raw(self, camera: str, observation: Any) -> np.ndarray:
        """One camera's picture as the env gives it, uint8 (H, W, 3)."""
        if camera in self._parts:
            return upright(at(observation, self._parts[camera]))
        if camera in self._ids:
            renderer = self._inside.mujoco_renderer
            usual, renderer.camera_id = renderer.camera_id, self._ids[camera]
            try:
                return upright(renderer.render("rgb_array"))
            finally:
                renderer.camera_id = usual
        if camera != RENDER:
            return upright(self._inside.draw(camera))
        picture = self.env.render()
        return upright(picture[-1] if isinstance(picture, list) else picture)

    def described(self, observation: Any) -> tuple[str, ...]:
        """Every chosen camera with the size of what it gives."""
        sizes = {name: self.raw(name, observation).shape for name in self.cameras}
        where = dict.fromkeys(sizes, "the simulator's camera") | {RENDER: "render()"}
        where |= dict.fromkeys(self._parts, "observation")
        return tuple(f"{name}: {where[name]}, {width}x{height}" for name, (height, width, _) in sizes.items())


def _name(path: Path) -> str:
    return ".".join(str(key) for key in path).replace("/", "_") or IMAGE
