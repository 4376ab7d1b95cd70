"""Records of observations and actions that data, envs and policies share. Keys follow LeRobot's convention:
``observation.images.<camera>`` uint8 (H, W, 3), ``observation.state`` float32 (S,), ``action`` float32 (A,).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np

IMAGES = "observation.images."
STATE = "observation.state"
AUDIO = "observation.audio"
SEGMENTATION = "observation.segmentation."
ENVIRONMENT_STATE = "observation.environment_state"
ACTION = "action"
EXECUTED = "action.executed"
SIMULATOR_STATE = "simulator_state"
"""Complete state of the simulator, float64 (N,), from which a time step can be rendered again."""

CONTROL_HZ = 20
"""Control rate of our own tasks in hertz; an action holds for 1 / CONTROL_HZ seconds."""
AUDIO_HZ = 8000
"""Samples per second of ``observation.audio``: 400 of them, float32 in [-1, 1], for each control step."""

ARM = (("x", "y", "z", "gripper"), ("m", "m", "m", "-1 open to 1 closed"))
"""Names and units of our own tasks' actions: absolute targets in the world."""

LEROBOT = "lerobot:"
"""Names of data and policies that LeRobot reads begin with this."""

type Arrays = Mapping[str, np.ndarray]
"""Named arrays, one entry per key of the convention above."""


def is_name(name: Any) -> bool:
    """Whether text from a file may become a name of ours (an array, a camera), and so of a file: one rule for all."""
    text = isinstance(name, str) and name.isprintable() and not name.startswith(".")
    return text and 0 < len(name.encode()) <= 200 and not {"/", "\\"} & set(name)


def image_key(camera: str) -> str:
    """Key of one camera's frames, for example ``observation.images.wrist``."""
    return IMAGES + camera


def segmentation_key(camera: str) -> str:
    """Key of one camera's segmentation, uint8 (H, W): 0 background, 1 gripper, 2 object."""
    return SEGMENTATION + camera


def cameras_of(arrays: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the cameras present in ``arrays``, in their order."""
    return tuple(key.removeprefix(IMAGES) for key in arrays if key.startswith(IMAGES))


@dataclass(frozen=True)
class Episode:
    """One whole recording. Every array in ``arrays`` has the same leading length T (control steps).

    ``action[t]`` is the demonstrator's action for ``observation[t]`` (the label to imitate); ``action.executed[t]`` is
    the executed one, which differs where exploration noise perturbed it.
    """

    arrays: Arrays
    task: str
    seed: int
    success: bool
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {key: len(value) for key, value in self.arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"episode arrays must share one length, got {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True)
class Clip:
    """A batch of fixed-length windows around one observation each; arrays of NumPy or torch alike.

    images: observed frames, uint8 (B, C, H, W, 3), C cameras; float in [-1, 1] after augmentation.
    state: proprioception, float32 (B, S). task: index of the instruction, int64 (B,).
    action, executed: labelled and executed chunk, float32 (B, H, A), physical units.
    valid: bool (B, H), False past the episode's end and after a perturbation that the observation does not show.
    future: frames seen ``at`` control steps (int64 (B, F), from 1) after the observation, uint8 (B, F, C, H, W, 3);
    future_valid: bool (B, F), False past the episode's end. All three are None where only actions are wanted.
    more, more_future: observed and later arrays of further modalities, by key (see the modality's own file).
    features: a frozen encoder's features of the future frames' patches, float (B, F, C, N, E), or None.
    pixels, future_pixels: images and future as training changed them, in model units, float32 in [-1, 1], or None.
    windows: which windows of the data these are, int64 (B,), where that is known.
    """

    images: Any
    state: Any
    task: Any
    action: Any
    executed: Any
    valid: Any
    future: Any = None
    at: Any = None
    future_valid: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)
    more_future: Mapping[str, Any] = field(default_factory=dict)
    features: Any = None
    pixels: Any = None
    future_pixels: Any = None
    windows: Any = None

    def map(self, change: Callable[[Any], Any]) -> "Clip":
        """The same clip with every array changed, for example moved to a device."""

        def each(value: Any) -> Any:
            if value is None:
                return None
            return {k: change(v) for k, v in value.items()} if isinstance(value, Mapping) else change(value)

        return Clip(*(each(getattr(self, f.name)) for f in fields(self)))


@dataclass(frozen=True)
class Recorded:
    """An array beside frames, state and actions that a model needs of recordings, and of observations.

    key, row: its name, and its shape for one control step. past: control steps that are observed, the present one last.
    later: control steps after the observation that are learned, where the mode has the ``role``: with the ``actions``,
    or with the ``frames``. in_data, in_env: what to say, and to do, where recordings or an env's observations lack it.
    """

    key: str
    row: tuple[int, ...]
    past: int
    later: int
    role: str = "frames"
    in_data: str = ""
    in_env: str = ""


@runtime_checkable
class Policy(Protocol):
    """Maps observations to actions.

    ``act`` takes a batch of observations (every array has a leading batch axis B) and returns a chunk of actions,
    float32 (B, chunk_size, A), in the env's own units.
    """

    chunk_size: int

    def reset(self) -> None: ...

    def act(self, observations: Arrays) -> np.ndarray: ...
