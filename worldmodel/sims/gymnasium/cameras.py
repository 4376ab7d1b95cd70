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
MOST = 16  # Frames that are stacked at most

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
    """Whether a part holds pixels: (H, W), (H, W, C), (C, H, W), or several of these stacked along a first axis.

    uint8, or, with one or three channels, floats in 0 to 1 or 0 to 255.
    """
    shape = space.shape or ()
    if not isinstance(space, spaces.Box) or not 2 <= len(shape) <= 4:
        return False
    sides = sorted(shape)[-2:]  # what is left are channels and stacked frames
    fits = sides[0] >= LEAST and all(size <= MOST for size in sorted(shape)[:-2])
    if space.dtype == np.uint8:
        return fits
    floats = np.issubdtype(space.dtype, np.floating) and len(shape) == 3 and {1, 3} & {shape[0], shape[-1]}
    return bool(fits and floats and _scale(space))


def is_numbers(space: gymnasium.Space) -> bool:
    return isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete)


def upright(picture: Any) -> np.ndarray:
    """A picture as uint8 (H, W, 3), whatever its channels; of stacked frames the newest."""
    frame, _ = newest(np.asarray(picture))
    return np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame[..., :3]


def newest(picture: np.ndarray) -> tuple[np.ndarray, int]:
    """The last of a picture's stacked frames, (H, W, 1 or 3 or 4), and how many there are.

    Four channels in front are grey frames; four behind are colours with their alpha, unless that is not 255 all over.
    UserError for channels that may be grey frames as well as frames of three colours.
    """
    if picture.ndim == 4:
        return newest(picture[-1])[0], len(picture)
    if picture.ndim == 2:
        return picture[..., None], 1
    in_front = picture.shape[-1] not in (1, 3, 4) and picture.shape[0] < picture.shape[-1]
    frame = np.moveaxis(picture, 0, -1) if in_front else picture
    count = frame.shape[-1]
    if count > 3 and count % 3 == 0:
        what = f"{count} grey frames, or {count // 3} of three colours"
        raise UserError(f"a picture of shape {picture.shape} may be {what}; give frames an axis of their own")
    if count in (1, 3) or (count == 4 and not in_front and (frame[..., 3] == 255).all()):
        return frame, 1
    return frame[..., -1:], count


def _scale(space: Any) -> float:
    """What a picture's numbers are multiplied with to be 0 to 255; 0 where they have no such range."""
    high = float(np.max(space.high))
    return 255 / high if high in (1, 255) and (space.low == 0).all() and (space.high == high).all() else 0.0


class Cameras:
    """The cameras of one env: parts of its observation, named cameras of its MuJoCo model, and `render`.

    ``offered``: every camera's name, its own ones first. `described`: where the chosen ``cameras`` come from.
    """

    def __init__(self, env: gymnasium.Env, size: int, cameras: tuple[str, ...], task: str) -> None:
        """``cameras``: names chosen; where empty those in the observation, or `render`. UserError without any."""
        self.env, self.size = env, size
        self._inside: Any = env.unwrapped
        pictures = {_name(path): (path, space) for path, space in leaves(env.observation_space) if is_picture(space)}
        self._parts = {name: path for name, (path, _) in pictures.items()}
        self._scales = {name: _scale(space) for name, (_, space) in pictures.items() if space.dtype != np.uint8}
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
            picture = at(observation, self._parts[camera])
            if scale := self._scales.get(camera):
                picture = np.rint(np.clip(np.asarray(picture) * scale, 0, 255)).astype(np.uint8)
            return upright(picture)
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
        for name, path in self._parts.items():
            if name in sizes and (count := newest(np.asarray(at(observation, path)))[1]) > 1:
                where[name] += f", the last of {count} stacked frames"
        return tuple(f"{name}: {where[name]}, {width}x{height}" for name, (height, width, _) in sizes.items())


def _name(path: Path) -> str:
    return ".".join(str(key) for key in path).replace("/", "_") or IMAGE
