"""How fast windows come out of a store, and out of the same episodes as LeRobot keeps them: as video, decoded."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from worldmodel.data import EpisodeStore, StoreError
from worldmodel.schema import ACTION, STATE, cameras_of, image_key

FRAMES, BATCH, WORKERS = 8, 16, 2
"""Frames of each camera in a window, windows in a batch, processes that load them."""


class StoreWindows(Dataset[dict[str, torch.Tensor]]):
    """Every window of a store: frames of all cameras, and state and action at its first step."""

    def __init__(self, path: Path) -> None:
        store = EpisodeStore.open(path)
        self.path, self.cameras = path, tuple(map(image_key, cameras_of(dict.fromkeys(store.keys))))
        self.last = np.repeat(store.ends - 1, np.diff(store.ends, prepend=0))
        self._store: EpisodeStore | None = None

    def __len__(self) -> int:
        return len(self.last)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        if self._store is None:  # each process maps the files itself
            self._store = EpisodeStore.open(self.path)
        steps = np.minimum(np.arange(step, step + FRAMES), self.last[step])
        rows = {key: self._store.array(key).take(steps) for key in self.cameras}
        rows |= {key: self._store.array(key).take(step) for key in (STATE, ACTION)}
        return {key: torch.from_numpy(value) for key, value in rows.items()}


def load_speed(path: Path, scratch: Path, seconds: float) -> dict[str, Any]:
    """Windows per second of two loader processes, in one run on the same episodes.

    LeRobot reads its own default video, its frames as bytes and nothing else but state and action; ours reads the
    store. Where LeRobot is not installed, "lerobot" is None and "why" says so.
    """
    ours, store = StoreWindows(path), EpisodeStore.open(path)
    size = store.row(ours.cameras[0])[0]
    found: dict[str, Any] = {"frames": FRAMES, "cameras": len(ours.cameras), "size": size, "episodes": len(store)}
    found |= {"batch": BATCH, "workers": WORKERS, "ours": _windows_per_second(ours, WORKERS, seconds)}
    found["ours_without_workers"] = _windows_per_second(ours, 0, seconds)
    try:
        theirs = _as_lerobot(store, ours.cameras, scratch / "lerobot")
    except StoreError as error:
        return found | {"lerobot": None, "why": str(error)}
    found["lerobot"] = _windows_per_second(theirs, WORKERS, seconds)
    return found | {"ratio": round(found["ours"] / found["lerobot"], 1)}


def _as_lerobot(store: EpisodeStore, cameras: tuple[str, ...], folder: Path) -> Any:
    """The same episodes as LeRobot's own data set of windows."""
    from worldmodel.data.formats.lerobot_convert import from_store

    if not folder.exists():
        rest = tuple(key for key in store.keys if key not in (*cameras, STATE, ACTION))
        from_store(str(store.path), folder, "video", rest, encoder={})
    return _video_windows(folder, cameras)


def _video_windows(root: Path, cameras: Sequence[str]) -> Any:
    """LeRobot's own loader of a data set: each item holds `FRAMES` frames of each camera from its step on."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    fps = json.loads((root / "meta" / "info.json").read_text())["fps"]
    ahead = {key: [step / fps for step in range(FRAMES)] for key in cameras}
    return LeRobotDataset(f"local/{root.name}", root=root, delta_timestamps=ahead, return_uint8=True)


def _windows_per_second(windows: Any, workers: int, seconds: float) -> float:
    """Random windows, timed once every process has delivered its first two batches."""
    sampler = RandomSampler(windows, True, 1_000_000, torch.Generator().manual_seed(0))
    context = "spawn" if workers else None  # decoders do not survive a fork
    loader = DataLoader(windows, BATCH, sampler=sampler, num_workers=workers, multiprocessing_context=context)
    batches = iter(loader)
    for _ in range(2 * max(workers, 1)):
        next(batches)
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or count < 4:
        next(batches)
        count += 1
    return round(count * BATCH / spent, 1)
