"""How far imagination and simulator are apart, how fast both run, and the packet that shows it."""

import io
import time
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from worldmodel.imagine.image_metrics import psnr
from worldmodel.play.messages import pack
from worldmodel.report.video import GENERATED
from worldmodel.schema import STATE, Arrays, image_key

QUALITY = 92
ALIKE = 60.0
"""Decibels shown for pictures that are the same: more is not seen, and infinity is no number for a plot."""
WINDOW = 2.0
"""Seconds over which the rate is averaged."""


class Stopwatch:
    """Steps a second, over the last `WINDOW` seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=256)

    def count(self) -> None:
        self._times.append(time.monotonic())

    def rate(self) -> float:
        while self._times and self._times[-1] - self._times[0] > WINDOW:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        return round((len(self._times) - 1) / max(1e-6, self._times[-1] - self._times[0]), 1)

    @staticmethod
    async def timed[T](work: Awaitable[T]) -> tuple[T, float]:
        """What ``work`` gives, and the milliseconds until it did."""
        began = time.perf_counter()
        value = await work
        return value, round(1000 * (time.perf_counter() - began), 1)


def measure(real: Arrays, imagined: Arrays, cameras: Sequence[str]) -> dict[str, Any]:
    """PSNR in decibels per camera (at most `ALIKE`), distance of the grippers in millimetres, both positions in metres.

    A position that is not finite (an imagined rollout gone astray) is left out, its distance -1.
    """
    alike = {}
    for camera in cameras:
        pair = [np.asarray(seen[image_key(camera)], np.float32) for seen in (real, imagined)]
        alike[camera] = round(float(psnr(np.mean((pair[0] - pair[1]) ** 2), ALIKE)), 2)
    places = {name: np.asarray(seen[STATE], np.float64)[:4] for name, seen in (("real", real), ("imagined", imagined))}
    gap = 1000 * float(np.linalg.norm(places["real"][:3] - places["imagined"][:3]))
    shown = {name: np.round(place, 4).tolist() for name, place in places.items() if np.isfinite(place).all()}
    return {"psnr": alike, "gap": round(gap, 2) if np.isfinite(gap) else -1.0, "state": shown}


def packet(header: Mapping[str, Any], real: Arrays, imagined: Arrays, cameras: Sequence[str]) -> bytes:
    """Header and pictures for the page. What is imagined says so in its own bytes, wherever they are copied."""
    pictures = []
    for camera in cameras:
        key = image_key(camera)
        pictures.append((camera, "imagined", jpeg(imagined[key], GENERATED)))
        pictures.append((camera, "real", jpeg(real[key])))
    return pack(header, pictures)


def jpeg(frame: np.ndarray, comment: str = "") -> bytes:
    """A frame uint8 (H, W, 3) as JPEG with full colour."""
    data = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(data, "JPEG", quality=QUALITY, subsampling=0, comment=comment.encode())
    return data.getvalue()
