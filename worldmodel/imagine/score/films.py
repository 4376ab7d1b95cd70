"""Short films of single windows, for the page: recorded, imagined, and their difference, camera by camera."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from worldmodel.imagine.score.gallery import Shown
from worldmodel.report import video

EDGE = 132
"""Side in pixels of one picture: three fit a telephone."""
LOUDER = 2
"""By how much differences are amplified, so that they are seen."""


def film(shown: Shown, cameras: Sequence[str], seconds: Sequence[float]) -> dict[str, str]:
    """A looping video and its poster, the last picture, as ``data:`` addresses: {"source", "poster"}."""
    pictures = list(frames(shown, cameras, seconds))
    rate = max(1, round(1 / (seconds[0] if len(seconds) < 2 else seconds[1] - seconds[0])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        video.write_mp4(path, [*pictures, *pictures[-1:] * max(1, rate // 2)], rate, video.GENERATED)
        source = video.data_url("video/mp4", path.read_bytes())
    return {"source": source, "poster": video.inline(pictures[-1], video.GENERATED)}


def frames(shown: Shown, cameras: Sequence[str], seconds: Sequence[float]) -> Iterator[np.ndarray]:
    """The film's pictures, the observation first: a row per camera of real, imagined and difference."""
    for k in range(-1, len(shown.real)):
        real, guess = (shown.last, shown.last) if k < 0 else (shown.real[k], shown.imagined[k])
        apart = np.clip(LOUDER * np.abs(real.astype(int) - guess), 0, 255).astype(np.uint8)
        rows = [
            video.side_by_side([real[c], guess[c], apart[c]], [f"real, {camera}", "imagined", "difference"], EDGE)
            for c, camera in enumerate(cameras)
        ]
        text = "observed" if k < 0 else f"{seconds[k]:.2f} s later"
        yield video.caption(video.in_column(rows), text)
