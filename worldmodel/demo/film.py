"""One episode as pictures: what the cameras saw above what the model had imagined for the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldmodel.imagine.image_metrics import psnr
from worldmodel.report.video import (
    DIGITAL_SOURCE,
    GENERATED,
    caption,
    enlarge,
    in_column,
    in_row,
    side_by_side,
    text_bar,
    write_image,
    write_mp4,
)
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
        self.sums: dict[int, np.ndarray] = {}

    def add(self, ahead: int, real: Arrays, imagined: Arrays, last: Arrays) -> None:
        """Count one time step; ``last`` is what was seen when it was imagined."""
        errors = [_squared(guess, real) for guess in (imagined, last)]
        self.sums[ahead] = self.sums.get(ahead, np.zeros(3)) + np.array([*errors, 1.0])

    def merge(self, other: Surprise) -> None:
        for ahead, values in other.sums.items():
            self.sums[ahead] = self.sums.get(ahead, np.zeros(3)) + values

    def decibels(self) -> dict[int, tuple[float, float]]:
        """PSNR of imagined frames and of copying the last frame, from errors averaged over all time steps."""
        return {ahead: _psnr(*self.sums[ahead]) for ahead in sorted(self.sums)}

    def overall(self) -> tuple[float, float]:
        """The same over all distances together; nan for none."""
        return _psnr(*np.sum(list(self.sums.values()), axis=0)) if self.sums else (float("nan"), float("nan"))


@dataclass
class Film:
    """A recording in the making."""

    cameras: tuple[str, ...]
    shots: list[FilmFrame] = field(default_factory=list)
    surprise: Surprise = field(default_factory=Surprise)

    def begin(self, observation: Arrays) -> None:
        """The first observation."""
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
        shot, keys = self.shots[index], [image_key(camera) for camera in self.cameras]
        names = [f"real · {camera}" for camera in self.cameras]
        dreamt = [f"imagined · {camera}" for camera in self.cameras]
        guess = shot.imagined or {key: _dimmed(shot.real[key]) for key in keys}
        rows = [
            side_by_side([shot.real[key] for key in keys], names),
            side_by_side([guess[key] for key in keys], dreamt),
        ]
        ahead = f"imagined {1000 * shot.ahead // CONTROL_HZ} ms ahead" if shot.imagined else "first observation"
        return caption(in_column(rows), f"{index / CONTROL_HZ:5.2f} s   {ahead}")

    def write(self, path: Path, maker: str = "") -> None:
        """Write the video, its poster and the film strip: ``path`` with .mp4, .jpg and .png.

        Their metadata say that frames in them are generated, and by which weights (``maker``).
        """
        comment = f"{GENERATED}{f' (by {maker})' if maker else ''}. Digital source type: {DIGITAL_SOURCE}"
        write_image(path.with_suffix(".png"), self.strip(), comment)
        write_image(path.with_suffix(".jpg"), self.picture(2 * len(self.shots) // 3), comment)
        write_mp4(path.with_suffix(".mp4"), map(self.picture, range(len(self.shots))), CONTROL_HZ, comment)

    def strip(self) -> np.ndarray:
        """Real above imagined for each camera, a column for the last time step of each chunk: the farthest imagined."""
        ends = [i for i, shot in enumerate(self.shots) if i and self._ends_chunk(i)]
        if len(ends) > STRIP_COLUMNS:
            ends = [ends[i] for i in np.linspace(0, len(ends) - 1, STRIP_COLUMNS).round().astype(int)]
        return in_row([self._labels(), *(self._column(i) for i in ends)])

    def _ends_chunk(self, index: int) -> bool:
        return index == len(self.shots) - 1 or self.shots[index + 1].ahead == 1

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


def _dimmed(frame: np.ndarray) -> np.ndarray:
    return (frame // 3).astype(np.uint8)


def _squared(guess: Arrays, real: Arrays) -> float:
    """Mean squared error over the cameras of ``guess``, in grey levels squared."""
    return float(
        np.mean([np.mean((guess[k].astype(np.float32) - real[k].astype(np.float32)) ** 2) for k in real if k in guess])
    )


def _psnr(imagined: float, copied: float, count: float) -> tuple[float, float]:
    """Decibels from summed squared errors; at most 99."""
    first, second = psnr(np.array([imagined, copied]) / count, 99.0).tolist()
    return first, second
