"""The windows that are shown, as short films: those imagined worst, one of an episode at most, and some at random."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from worldmodel.report import video

TYPICAL = 2
"""How many windows are shown beside the worst, whatever came of them."""
EDGE, GAIN = 132, 2
"""Side in pixels of one picture: three fit a telephone; by how much differences are amplified."""


@dataclass(frozen=True)
class Shown:
    """One window: mean squared error, its number and episode, and uint8 frames.

    last (C, H, W, 3) as observed; real and imagined (K, C, H, W, 3), up to the episode's end.
    """

    error: float
    window: int
    episode: int
    last: np.ndarray
    real: np.ndarray
    imagined: np.ndarray


class Gallery:
    """Keeps the frames of the few windows worth showing while all of them pass by."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.worst: list[Shown] = []
        self.typical: list[Shown] = []

    def offer(
        self,
        windows: np.ndarray,
        episodes: np.ndarray,
        error: np.ndarray,
        valid: np.ndarray,
        frames: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        """Squared errors and validity (B, K), and frames: last, real, imagined. Windows mostly past the end are no
        candidates."""
        counts = valid.sum(1)
        means = (error * valid).sum(1) / np.maximum(counts, 1)
        for row in np.flatnonzero(2 * counts >= valid.shape[1]):
            if self.count and (len(self.typical) < TYPICAL or self._matters(float(means[row]), int(episodes[row]))):
                last, real, imagined = (part[int(row)].numpy().copy() for part in frames)
                many = int(counts[row])
                here = int(windows[row]), int(episodes[row])
                self._keep(Shown(float(means[row]), *here, last, real[:many], imagined[:many]))

    def _matters(self, error: float, episode: int) -> bool:
        rival = [shown for shown in self.worst if shown.episode == episode]
        if rival:
            return error > rival[0].error
        return len(self.worst) < self.count or error > self.worst[-1].error

    def _keep(self, shown: Shown) -> None:
        if len(self.typical) < TYPICAL:
            self.typical.append(shown)
        if self._matters(shown.error, shown.episode):
            others = [other for other in self.worst if other.episode != shown.episode]
            self.worst = sorted([*others, shown], key=lambda one: -one.error)[: self.count]


def film(shown: Shown, cameras: Sequence[str], seconds: Sequence[float]) -> dict[str, str]:
    """A looping video and its poster, the last picture, as ``data:`` addresses: {"source", "poster"}."""
    pictures = list(_pictures(shown, cameras, seconds))
    rate = max(1, round(1 / (seconds[0] if len(seconds) < 2 else seconds[1] - seconds[0])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        video.write_mp4(path, [*pictures, *pictures[-1:] * max(1, rate // 2)], rate, video.GENERATED)
        source = video.data_url("video/mp4", path.read_bytes())
    return {"source": source, "poster": video.inline(pictures[-1], video.GENERATED)}


def _pictures(shown: Shown, cameras: Sequence[str], seconds: Sequence[float]) -> Iterator[np.ndarray]:
    """The observation first; a row per camera of real, imagined and difference."""
    for k in range(-1, len(shown.real)):
        real, guess = (shown.last, shown.last) if k < 0 else (shown.real[k], shown.imagined[k])
        apart = np.clip(GAIN * np.abs(real.astype(int) - guess), 0, 255).astype(np.uint8)
        rows = [
            video.side_by_side([real[c], guess[c], apart[c]], [f"real, {camera}", "imagined", "difference"], EDGE)
            for c, camera in enumerate(cameras)
        ]
        text = "observed" if k < 0 else f"{seconds[k]:.2f} s later"
        yield video.caption(video.in_column(rows), text)
