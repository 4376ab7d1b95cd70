"""Rows computed on access: frames decoded from a video, or cropped and resized to fit a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from rich.progress import track

from worldmodel.data.layout import INDEX_DTYPES
from worldmodel.data.store import EpisodeStore
from worldmodel.data.views import View
from worldmodel.schema import IMAGES

PIECE = 256  # Rows computed at a time, so that only these are in memory at their full size


class ComputedView(View):
    """A View of ``shape`` whose rows come from ``make(sorted unique indices)``; ``label`` names long work."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype, make: Callable[[np.ndarray], np.ndarray], label: str
    ) -> None:
        super().__init__(shape, dtype)
        self.make, self.label = make, label

    def rows(self, indices: np.ndarray) -> np.ndarray:
        unique, inverse = np.unique(indices, return_inverse=True)
        made = np.empty((len(unique), *self.shape[1:]), self.dtype)
        starts = range(0, len(unique), PIECE)
        for start in track(starts, self.label, disable=len(starts) < 8, transient=True):
            made[start : start + PIECE] = self.make(unique[start : start + PIECE])
        return made[inverse]


class FittedStore(EpisodeStore):
    """Another store, its frames cropped to the square in their middle and resized to ``size`` pixels."""

    def __init__(self, store: EpisodeStore, size: int) -> None:
        arrays = {
            key: {**entry, "row": [size, size, 3]} if key.startswith(IMAGES) else entry
            for key, entry in store.meta["arrays"].items()
        }
        index = {name: getattr(store, name) for name in INDEX_DTYPES}
        super().__init__(store.path, {**store.meta, "arrays": arrays}, index)
        self.store, self.size = store, size

    def array(self, key: str) -> View:
        view = self.store.array(key)
        if not key.startswith(IMAGES) or view.shape[1:] == (self.size, self.size, 3):
            return view
        shape = (len(view), self.size, self.size, 3)
        return ComputedView(shape, view.dtype, lambda rows: fit(view.take(rows), self.size), f"reading {key}")


def fit(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames uint8 (n, H, W, 3) cropped to the square in their middle and resized: (n, size, size, 3).

    The one way in which frames are made to fit a model, whether it learns or acts.
    """
    height, width = frames.shape[1:3]
    if height == width == size:
        return frames
    edge = min(height, width)
    left, top = (width - edge) // 2, (height - edge) // 2
    middle = np.ascontiguousarray(frames[:, top : top + edge, left : left + edge])
    small = [Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR) for frame in middle]
    return np.stack([np.asarray(image) for image in small])
