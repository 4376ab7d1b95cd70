"""Recordings as a PyTorch data set of clips: an observation, the actions that follow it, and frames further on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.source import open_sources, tasks_of
from worldmodel.schema import ACTION, IMAGES, STATE, cameras_of, image_key


def open_data(
    path: str | Path,
    chunk_size: int = 16,
    future: Sequence[int] = (),
    size: int = 0,
    holdout: float = 0.0,
    split: str = "train",
) -> "ClipDataset":
    """The clips of recordings, one for each recorded step.

    Args:
        path: a store's folder, ``lerobot:FOLDER_OR_REPO_ID``, or several separated by commas.
        chunk_size: how many control steps of actions a clip holds.
        future: so many control steps after the observation lie the frames of the future.
        size: side of the frames, cropped to the middle and resized; 0 as recorded.
        holdout: share of each store's episodes, the last ones, that ``split="held out"`` holds and "train" leaves out.

    Raises StoreError, FileNotFoundError or ValueError, one line, where there is no such data or it does not fit.
    """
    stores = open_sources(str(path), size)
    spec = ClipSpec(cameras_of(dict.fromkeys(stores[0].keys)), chunk_size, tasks_of(stores, (), ()))
    return ClipDataset(Clips(stores, spec, holdout, split), tuple(future))


class ClipDataset(Dataset[dict[str, Tensor]]):
    """Clips as dictionaries of tensors; see `open_data`. ``tasks``: names by number. ``clips``: the same, in batches.

    ``observation.images.<camera>`` uint8 (H, W, 3); ``observation.state`` float32 (S,); ``action`` float32 (chunk, A)
    in physical units; ``action.valid`` bool (chunk,), False beyond the episode's end and after a disturbance;
    ``task`` int64 (). With a future: ``future.images.<camera>`` uint8 (F, H, W, 3) and ``future.valid`` bool (F,).
    """

    def __init__(self, clips: Clips, future: tuple[int, ...] = ()) -> None:
        self.clips, self.future, self.tasks = clips, future, clips.spec.tasks

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Clip ``index``, from 0; IndexError beyond the last."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        windows = np.array([index % len(self)])
        clip = self.clips.gather(windows, np.array([self.future]) if self.future else None)
        found: dict[str, Any] = {STATE: clip.state, ACTION: clip.action, "action.valid": clip.valid, "task": clip.task}
        for number, camera in enumerate(self.clips.spec.cameras):
            found[image_key(camera)] = clip.images[:, number]
            if clip.future is not None:
                found[image_key(camera).replace(IMAGES, "future.images.")] = clip.future[:, :, number]
        if clip.future_valid is not None:
            found["future.valid"] = clip.future_valid
        return {key: torch.as_tensor(value[0]) for key, value in found.items()}
