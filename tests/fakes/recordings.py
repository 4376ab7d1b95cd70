"""Small data sets that LeRobot's own API writes, for tests of whatever reads them."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel.processes import fair

TASKS = ("push the T to the goal", "open the drawer")
LENGTHS = (11, 7, 9)


def need_lerobot() -> None:
    """Skip the module where the extra is not installed."""
    try:
        importlib.metadata.version("lerobot")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("LeRobot is not installed (extra `lerobot`)", allow_module_level=True)


def write_lerobot(root: Path, kind: str, fps: int, extra: bool = False) -> list[dict[str, np.ndarray]]:
    """Three episodes of two cameras (one of them named in the old way, 64 x 96) and two tasks; returns what went in.

    kind: image or video. extra: also numbers of other shapes and types, text, and an episode with two tasks.
    """
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    picture = {"dtype": kind, "shape": (64, 96, 3), "names": ["height", "width", "channels"]}
    features: dict[str, Any] = {
        "observation.image": picture,
        "observation.images.wrist": picture,
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "angle"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
    }
    if extra:
        features |= {
            "next.success": {"dtype": "bool", "shape": (1,), "names": None},
            "phase": {"dtype": "int8", "shape": (1,), "names": None},
            "pose": {"dtype": "float64", "shape": (2, 3), "names": None},
            "note": {"dtype": "string", "shape": (1,), "names": None},
        }
    dataset = LeRobotDataset.create(f"local/{root.name}", fps, features, root=root, use_videos=kind == "video")
    rng, episodes = np.random.default_rng(3), []
    for episode, length in enumerate(LENGTHS):
        arrays = _arrays(rng, length)
        if extra:
            arrays |= {
                "next.success": np.arange(length)[:, None] == (length - 1 if episode != 1 else -1),
                "phase": rng.integers(-100, 100, (length, 1), np.int8),
                "pose": rng.normal(size=(length, 2, 3)) / 3,
            }
        for step in range(length):
            frame: dict[str, Any] = {key: values[step] for key, values in arrays.items()}
            frame |= {"note": f"step {step}"} if extra else {}
            task = TASKS[(episode + (extra and episode == 2 and step > 4)) % 2]
            dataset.add_frame(frame | {"task": task})
        with fair():
            dataset.save_episode(parallel_encoding=False)
        episodes.append(arrays)
    dataset.finalize()
    return episodes


def _arrays(rng: np.random.Generator, length: int) -> dict[str, np.ndarray]:
    """Smooth frames (a codec's favourite), a state that wanders, and actions that are targets for its first two."""
    state = np.cumsum(rng.normal(size=(length, 3)), axis=0).astype(np.float32)
    row, column = np.mgrid[0:64, 0:96].astype(np.float32)
    frames = [[2 * row + 3 * t, 2 * column, 255 - row - 2 * t] for t in range(length)]
    scene = np.stack(np.broadcast_arrays(*[np.stack(frame, -1) for frame in frames])).clip(0, 255).astype(np.uint8)
    action = state[:, :2] + rng.normal(size=(length, 2)).astype(np.float32) / 20
    return {
        "observation.image": scene,
        "observation.images.wrist": scene[:, ::-1].copy(),
        "observation.state": state,
        "action": action.astype(np.float32),
    }
