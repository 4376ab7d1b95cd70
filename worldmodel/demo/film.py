"""One episode as pictures: what the cameras saw above what the model had imagined for the same time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from worldmodel.imagine.image_metrics import psnr
from worldmodel.report import video
from worldmodel.report.video import caption, compare, enlarge, in_column, text_bar
from worldmodel.schema import CONTROL_HZ, Arrays, image_key

STRIP_EDGE, STRIP_LABEL, STRIP_COLUMNS = 96, 72, 14
"""Side in pixels of a picture in the film strip, width of its labels, and how many columns it has at most."""


@dataclass(frozen=True)
class FilmFrame:
    """One time step: real frames, and those imagined ``ahead`` control steps before (None at the start)."""

    real: Arrays
    imagined: Arrays | None = None
    ahead: int = 0


class Surprise:
    """Squared errors of imagined frames, and of the last frame seen, by how far ahead they were imagined."""

    def __init__(self) -> None:
        self.errors: dict[int, list[tuple[float, float]]] = defaultdict(list)

    def add(self, ahead: int, real: Arrays, imagined: Arrays, last: Arrays) -> None:
        """Count one time step; ``last`` is what was seen when it was imagined."""
        self.errors[ahead].append((_squared(imagined, real), _squared(last, real)))

    def merge(self, other: Surprise) -> None:
        for ahead, errors in other.errors.items():
            self.errors[ahead] += errors

    def decibels(self) -> dict[int, tuple[float, float]]:
        """PSNR of imagined frames and of copying the last frame, at most 99 dB, of errors averaged over time steps."""
        return {ahead: _psnr(errors) for ahead, errors in sorted(self.errors.items())}

    def overall(self) -> tuple[float, float]:
        """The same over all distances together; nan for none."""
        return _psnr(list(chain.from_iterable(self.errors.values()))) if self.errors else (math.nan, math.nan)


@dataclass
class Film:
    """A recording in the making."""

    cameras: tuple[str, ...]
    shots: list[FilmFrame] = field(default_factory=list)
    surprise: Surprise = field(default_factory=Surprise)

    def begin(self, observation: Arrays) -> None:
        self.shots.append(FilmFrame(self._frames(observation)))

    def chunk(self, frames: Sequence[Arrays], imagined: Mapping[str, np.ndarray]) -> None:
        """The frames seen while a chunk ran, and those imagined for it: uint8 (steps, H, W, 3) by camera key."""
        last = self.shots[-1].real
        for ahead, seen in enumerate(frames, start=1):
            guess = {key: imagined[key][ahead - 1] for key in map(image_key, self.cameras)}
            self.surprise.add(ahead, seen, guess, last)
            self.shots.append(FilmFrame(self._frames(seen), guess, ahead))

    def picture(self, index: int) -> np.ndarray:
        """One time step, real above imagined, uint8 (H, W, 3)."""
        shot = self.shots[index]
        guess = shot.imagined or {key: frame // 3 for key, frame in shot.real.items()}  # none yet: dimmed
        keys = list(map(image_key, self.cameras))
        rows = {"real": [shot.real[key] for key in keys], "imagined": [guess[key] for key in keys]}
        ahead = f"imagined {1000 * shot.ahead // CONTROL_HZ} ms ahead" if shot.imagined else "first observation"
        return caption(compare(rows, self.cameras), f"{index / CONTROL_HZ:5.2f} s   {ahead}")

    def write(self, path: Path, comment: str = video.GENERATED) -> None:
        """Video, poster and film strip: ``path`` with .mp4, .jpg and .png, with ``comment`` in their metadata."""
        video.write_image(path.with_suffix(".png"), self.strip(), comment)
        video.write_image(path.with_suffix(".jpg"), self.picture(2 * len(self.shots) // 3), comment)
        video.write_mp4(path.with_suffix(".mp4"), map(self.picture, range(len(self.shots))), CONTROL_HZ, comment)

    def strip(self) -> np.ndarray:
        """Real above imagined for each camera, a column for the last time step of each chunk: the farthest imagined."""
        ends = [i for i in range(1, len(self.shots)) if i + 1 == len(self.shots) or self.shots[i + 1].ahead == 1]
        if len(ends) > STRIP_COLUMNS:
            ends = [ends[i] for i in np.linspace(0, len(ends) - 1, STRIP_COLUMNS).round().astype(int)]
        return video.in_row([self._labels(), *(self._column(i) for i in ends)])

    def _column(self, index: int) -> np.ndarray:
        shot, pictures = self.shots[index], []
        for key in map(image_key, self.cameras):
            pictures += [enlarge(shot.real[key], STRIP_EDGE), enlarge((shot.imagined or shot.real)[key], STRIP_EDGE)]
        return np.concatenate([text_bar(STRIP_EDGE, f"{index / CONTROL_HZ:.1f} s"), in_column(pictures)])

    def _labels(self) -> np.ndarray:
        blanks = []
        for _ in self.cameras:
            for name in ("real", "imagined"):
                bar = text_bar(STRIP_LABEL, name)
                rest = np.full((STRIP_EDGE - len(bar), STRIP_LABEL, 3), bar[0, 0], np.uint8)
                blanks.append(np.concatenate([rest[: len(rest) // 2], bar, rest[len(rest) // 2 :]]))
        return np.concatenate([text_bar(STRIP_LABEL, ""), in_column(blanks)])

    def _frames(self, arrays: Arrays) -> dict[str, np.ndarray]:
        return {key: np.asarray(arrays[key]) for key in map(image_key, self.cameras)}


def _squared(guess: Arrays, real: Arrays) -> float:
    """Mean squared error over the cameras of ``guess``, in grey levels squared."""
    shared = [key for key in real if key in guess]
    return float(np.mean([np.square(guess[key].astype(np.float32) - real[key]).mean() for key in shared]))


def _psnr(errors: Sequence[tuple[float, float]]) -> tuple[float, float]:
    imagined, copied = psnr(np.mean(errors, axis=0), 99.0).tolist()
    return imagined, copied
