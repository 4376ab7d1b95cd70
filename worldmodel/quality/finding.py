"""What is checked, frames read once, and what one check of it found: a line for people, a record for machines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from rich import progress
from rich.console import Console

from worldmodel.data import EpisodeStore
from worldmodel.schema import image_key

BLOCK_BYTES = 16 * 2**20  # Frames are read in blocks of about this size, so that memory does not grow with the store
EDGE = 48  # Brightness and motion are measured on about this many rows and columns; sameness on every pixel
BURNT = 250  # Grey level from which a pixel counts as saturated
OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"
"""Nothing found; a person should look; do not train on it as it is; could not be checked (``seen`` says why)."""
SHOWN = 8  # Episodes named in a line; the record holds all of them


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


def track(store: EpisodeStore, camera: str) -> Track:
    """Read all frames of ``camera`` once, with a progress bar on standard error."""
    view = store.array(image_key(camera))
    brightness, contrast, burnt, change = (np.zeros(store.steps, np.float32) for _ in range(4))
    found = Track(brightness, contrast, burnt, change, np.zeros(store.steps, bool))
    row_bytes = max(1, int(np.prod(view.shape[1:])) * view.dtype.itemsize)
    block = max(2, min(256, BLOCK_BYTES // row_bytes))
    episodes, console = range(store.episodes), Console(stderr=True)
    for episode in progress.track(episodes, f"{camera}: episodes", console=console, transient=True):
        first, end = store.span(episode)
        last: np.ndarray | None = None
        for start in range(first, end, block):
            frames = np.asarray(view[start : min(start + block, end)])
            _measure(frames, last, found, start)
            last = frames[-1]
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


@dataclass(frozen=True)
class Subject:
    """A store under check, what was kept of its cameras' frames, and lowest and highest action where they are known."""

    store: EpisodeStore
    tracks: Mapping[str, Track]
    limits: tuple[Sequence[float], Sequence[float]] | None = None
    _rows: dict[str, np.ndarray] = field(default_factory=dict)

    def rows(self, key: str) -> Float64[np.ndarray, "T n"]:
        """An array over all steps, flattened to one row of numbers per step."""
        if key not in self._rows:
            self._rows[key] = np.asarray(self.store.array(key)[:], np.float64).reshape(self.store.steps, -1)
        return self._rows[key]

    @cached_property
    def inside(self) -> Bool[np.ndarray, " gaps"]:
        """Which pairs of consecutive steps belong to one episode."""
        within = np.ones(self.store.steps - 1, bool)
        within[self.store.ends[:-1] - 1] = False
        return within

    def keys(self, *wanted: str) -> list[str]:
        return [key for key in wanted if key in self.store.keys]

    def episodes(self, steps: np.ndarray) -> tuple[int, ...]:
        """The episodes with a True among ``steps`` (one per step, or per gap), in order."""
        return tuple(np.unique(np.searchsorted(self.store.ends, np.flatnonzero(steps), side="right")).tolist())


@dataclass(frozen=True)
class Finding:
    """One check: its ``verdict``, what was ``seen``, which ``episodes`` it concerns and what to do (``advice``)."""

    verdict: str
    seen: str
    episodes: tuple[int, ...] = ()
    advice: str = ""
    check: str = ""

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"episodes": list(self.episodes)}

    def named(self) -> str:
        """The first few episodes, and how many more there are."""
        more = f" and {len(self.episodes) - SHOWN} more" if len(self.episodes) > SHOWN else ""
        return ", ".join(map(str, self.episodes[:SHOWN])) + more


def worst(findings: Iterable[Finding]) -> str:
    """The verdict on all of them: fail before warn before ok."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (FAIL, WARN) if verdict in verdicts), OK)


def percent(part: float | np.number, whole: float | np.number) -> str:
    """``3.2 %``, with enough digits that something never looks like nothing."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f} %" if share >= 0.1 or not part else "under 0.1 %"
