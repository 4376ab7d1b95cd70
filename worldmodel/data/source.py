"""Opens data by its name, a store's folder or ``lerobot:`` and a folder or OWNER/NAME, with frames that fit a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from worldmodel.damage import reading
from worldmodel.data.layout import INDEX_DTYPES, StoreError
from worldmodel.data.store import EpisodeStore
from worldmodel.data.views import ComputedView, View
from worldmodel.schema import ACTION, IMAGES, LEROBOT, STATE, image_key


def open_source(name: str, size: int = 0) -> EpisodeStore:
    """Open data for reading: ``name`` is a store's folder or ``lerobot:PATH_OR_REPO_ID``.

    size: side of the frames in pixels, to which others are cropped and resized; 0 leaves them alone. Raises StoreError
    or FileNotFoundError (one line) where there is no such data.
    """
    if name.startswith(LEROBOT):
        from worldmodel.data.formats.lerobot_store import LeRobotStore  # ten seconds, and an extra

        with reading(f"the data set {name}", StoreError):
            store: EpisodeStore = LeRobotStore(name.removeprefix(LEROBOT))
    else:
        store = EpisodeStore.open(name)
    return FittedStore(store, size) if size else store


def open_sources(names: str, size: int = 0) -> list[EpisodeStore]:
    """Several training stores, separated by commas; ValueError where they cannot be trained on together."""
    apart = split_names(names)
    stores = [open_source(name, size) for name in apart]
    for name, store in zip(apart, stores, strict=True):
        for key in (STATE, ACTION):
            if key not in store.keys:
                raise ValueError(f"{store.path} has no {key!r}, which a model needs; it has {', '.join(store.keys)}")
            if len(store.row(key)) != 1:
                raise ValueError(f"{store.path} has {key!r} of shape {store.row(key)}; a model needs a vector")
        first, what = stores[0], "dimensions of an action are targets for the state's own"
        if store.rate != first.rate:
            rates = f"was recorded at {store.rate:g} Hz, {first.path} at {first.rate:g} Hz"
            raise ValueError(f"{store.path} {rates}: train on data of one control rate")
        if store.relative != first.relative:
            counts = f"{store.relative} {what}, in {first.path} {first.relative}"
            raise ValueError(f"{store.path}: {counts}: train on data of one convention")
        if place := store.not_finite():
            advice = f"`worldmodel data health {name}` shows all such episodes; leave them out"
            raise ValueError(f"{name}: {place} is not finite, which ends a training run; {advice}")
    return stores


def split_names(names: str) -> list[str]:
    """Names of data separated by commas; a comma within the path of a folder that is there separates nothing."""
    found, words = list[str](), names.split(",")
    while words:
        ends = range(len(words), 0, -1)
        there = (end for end in ends if Path(",".join(words[:end]).removeprefix(LEROBOT)).is_dir())
        end = next(there, 1)
        found.append(",".join(words[:end]))
        words = words[end:]
    return found


def frame_side(store: EpisodeStore, cameras: Sequence[str], patch: int) -> int:
    """Side of the square frames that all ``cameras`` share; ValueError with advice where a model cannot take them."""
    rows = {camera: store.row(image_key(camera)) for camera in cameras}
    sides = {side for row in rows.values() for side in row[:2]}
    if len(sides) == 1 and not (side := sides.pop()) % patch:
        return side
    shown = ", ".join(f"{camera} {row[0]}x{row[1]}" for camera, row in rows.items())
    shortest = min(min(row[:2]) for row in rows.values())
    advice = min(96, max(shortest // patch, 1) * patch)
    raise ValueError(
        f"frames of {store.path} are {shown}: a model wants squares of one size, a multiple of patch={patch}; "
        f"add size={advice} to crop their middle and resize it"
    )


def tasks_of(stores: Sequence[EpisodeStore], configured: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """A model's instructions: the ``configured`` ones, or the data's where these are the default and do not fit."""
    there = tuple(dict.fromkeys(task for store in stores for task in store.tasks))
    is_default = tuple(configured) == tuple(default)
    return there if is_default and not set(there) <= set(default) else tuple(configured)


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
