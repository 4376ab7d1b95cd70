"""Which recorded windows are scored, and remarks on data and checkpoint."""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.clips import Clips
from worldmodel.imagine.config import ScoreConfig
from worldmodel.imagine.modes import seen_in_training
from worldmodel.model import ModelConfig
from worldmodel.schema import image_key, segmentation_key

MARKS = (0.5, 1.0, 2.0)
"""Seconds ahead at which figures are reported without a curve."""


@dataclass(frozen=True)
class ScoreWindows:
    """What is measured.

    chosen: the windows' numbers in ``clips``, int64 (W,), in random order. episode: that of each, int64 (W,).
    ahead: control steps after the observation at which frames are compared, int64 (K,). marks: places in ``ahead``
    nearest to `MARKS`. parts: whether the data say which pixels are gripper and object. modes: what was trained.
    """

    clips: Clips
    chosen: np.ndarray
    episode: np.ndarray
    ahead: np.ndarray
    marks: tuple[int, ...]
    parts: bool
    modes: tuple[str, ...]


def plan(clips: Clips, shape: ModelConfig, config: ScoreConfig, modes: tuple[str, ...]) -> ScoreWindows:
    """Draw the windows and fix the times ahead: up to ``config.seconds``, or as far as the longest episode goes."""
    chosen = np.random.default_rng(config.seed).permutation(len(clips))[: config.windows]
    longest = int((clips.end - clips.begin).max()) - 1
    reach = max(1, min(round(config.seconds * shape.control_hz), longest))
    every = min(config.every, reach)
    ahead = np.arange(every, reach + 1, every)
    wanted = [round(mark * shape.control_hz) for mark in MARKS if round(mark * shape.control_hz) <= reach]
    marks = tuple(sorted({int(np.abs(ahead - step).argmin()) for step in wanted or [reach]}))
    store = clips.stores[0]
    sizes = [store.row(key) for key in map(segmentation_key, shape.cameras) if key in store.keys]
    parts = bool(shape.cameras) and sizes == [(shape.size, shape.size)] * len(shape.cameras)
    episode = np.searchsorted(store.ends, clips.time[chosen], side="right")
    return ScoreWindows(clips, chosen, episode, ahead, marks, parts, modes)


def groups(plan: ScoreWindows) -> dict[str, np.ndarray]:
    """Names by which windows fall apart, (W,): "task" and, where recorded, "behaviour"."""
    tasks = np.array(plan.clips.spec.tasks)[plan.clips.task[plan.chosen]]
    infos = plan.clips.stores[0].meta["info"]
    found = {"task": tasks}
    if infos and all("behaviour" in info for info in infos):
        found["behaviour"] = np.array([infos[episode]["behaviour"] for episode in plan.episode])
    return found


def remarks(plan: ScoreWindows, shape: ModelConfig, config: ScoreConfig) -> list[str]:
    """What a reader must know about data and checkpoint, a sentence each."""
    store, notes = plan.clips.stores[0], []
    if told := seen_in_training(config.checkpoint, store, config.holdout):
        notes.append(told)
    under = getattr(store, "store", store)
    rows = {under.row(image_key(camera)) for camera in shape.cameras}
    if other := sorted(row for row in rows if row[:2] != (shape.size, shape.size)):
        shown = ", ".join(f"{row[0]}x{row[1]}" for row in other)
        notes.append(f"Frames of {shown} pixels were cropped to their middle and resized to {shape.size}.")
    if shape.cameras and plan.ahead[-1] > shape.chunk_size:
        notes.append(
            f"Beyond {shape.chunk_size} control steps predictions are chained: a chunk's last imagined frame is the "
            "next chunk's observation, the state comes from the recording. Without actions it stays that of the first "
            "observation, because the recorded one would reveal where the arm went: compare within the first chunk."
        )
    if shape.cameras and not plan.parts:
        notes.append(
            "Gripper and object alone are not measured: the data hold no segmentation at the model's frame size "
            "(record it with `worldmodel collect segmentation=true`)."
        )
    return notes
