"""One pass over a camera's frames, in blocks, keeping a few numbers of each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from worldmodel.data import EpisodeStore
from worldmodel.schema import image_key

BLOCK_BYTES = 16 * 2**20  # Frames are read in blocks of about this size, so that memory does not grow with the store
EDGE = 48  # Brightness and motion are measured on about this many rows and columns; sameness on every pixel
BURNT = 250  # Grey level from which a pixel counts as saturated


@dataclass(frozen=True)
class Track:
    """What is kept of a camera's frames, one number per step.

    brightness: mean grey level. contrast: standard deviation of grey levels. burnt: share of saturated pixels.
    change: mean absolute difference from the frame before (0 at the start of an episode). same: identical to the
    frame before (False at the start of an episode).
    """

    brightness: Float32[np.ndarray, " T"]
    contrast: Float32[np.ndarray, " T"]
    burnt: Float32[np.ndarray, " T"]
    change: Float32[np.ndarray, " T"]
    same: Bool[np.ndarray, " T"]


def track(store: EpisodeStore, camera: str, advance: Callable[[int], object] = lambda frames: None) -> Track:
    """Read all frames of ``camera`` once; ``advance`` is called with the number of frames just read."""
    view = store.array(image_key(camera))
    brightness, contrast, burnt, change = (np.zeros(store.steps, np.float32) for _ in range(4))
    found = Track(brightness, contrast, burnt, change, np.zeros(store.steps, bool))
    row_bytes = max(1, int(np.prod(view.shape[1:])) * view.dtype.itemsize)
    block = max(2, min(256, BLOCK_BYTES // row_bytes))
    for episode in range(store.episodes):
        first, end = store.span(episode)
        last: np.ndarray | None = None
        for start in range(first, end, block):
            frames = np.asarray(view[start : min(start + block, end)])
            _measure(frames, last, found, start)
            last = frames[-1]
            advance(len(frames))
    return found


def _measure(frames: np.ndarray, last: np.ndarray | None, found: Track, start: int) -> None:
    """Fill in the numbers of ``frames`` (n, H, W, 3), the first of which is step ``start`` and follows ``last``."""
    stop = start + len(frames)
    flat = _thinned(frames)
    found.brightness[start:stop], found.contrast[start:stop] = flat.mean(axis=1), flat.std(axis=1)
    found.burnt[start:stop] = (flat >= BURNT).mean(axis=1)
    if last is not None:
        flat = np.concatenate([_thinned(last[None]), flat])
    offset = start if last is not None else start + 1
    change = np.abs(np.diff(flat, axis=0)).mean(axis=1)
    found.change[offset:stop] = change
    for i in (change == 0).nonzero()[0]:  # the thinned pixels agree: look at all of them
        now = offset + int(i) - start
        before = frames[now - 1] if now > 0 else last
        found.same[offset + int(i)] = before is not None and np.array_equal(before, frames[now])


def _thinned(frames: np.ndarray) -> Float32[np.ndarray, "n pixels"]:
    rows, columns = (-(-side // EDGE) for side in frames.shape[1:3])
    return frames[:, ::rows, ::columns].astype(np.float32).reshape(len(frames), -1)
