"""Pictures that people look at: frames enlarged, put side by side, labelled, and written as mp4, PNG or JPEG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

EDGE = 288
"""Side in pixels of one camera's picture on a page."""
GAP, BAR = 4, 24
"""Pixels between pictures, and the height of a line of text."""
INK, PAPER, MUTED = (235, 238, 242), (18, 21, 26), (150, 158, 170)


def enlarge(frame: np.ndarray, edge: int = EDGE) -> np.ndarray:
    """A frame uint8 (H, W, 3) at ``edge`` pixels a side. Lanczos: smooth, and no detail that was not there."""
    if frame.shape[0] == edge:
        return frame
    return np.asarray(Image.fromarray(frame).resize((edge, edge), Image.Resampling.LANCZOS))


def side_by_side(frames: Sequence[np.ndarray], names: Sequence[str], edge: int = EDGE) -> np.ndarray:
    """Frames in a row, each enlarged under its name: uint8 (H, W, 3)."""
    columns = [
        np.concatenate([text_bar(edge, name), enlarge(frame, edge)]) for frame, name in zip(frames, names, strict=True)
    ]
    return in_row(columns)


def in_row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one height beside one another, with a gap."""
    gap = np.full((pictures[0].shape[0], GAP, 3), PAPER, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def in_column(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one width below one another, with a gap."""
    gap = np.full((GAP, pictures[0].shape[1], 3), PAPER, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=0)


@lru_cache(maxsize=512)
def text_bar(width: int, text: str, ink: tuple[int, int, int] = INK) -> np.ndarray:
    """A line of text on a dark bar, uint8 (`BAR`, width, 3), read-only."""
    bar = Image.new("RGB", (width, BAR), PAPER)
    ImageDraw.Draw(bar).text((7, BAR / 2), text, fill=ink, font=_font(), anchor="lm")
    return np.asarray(bar)


def caption(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text below."""
    return np.concatenate([picture, text_bar(picture.shape[1], text, MUTED)])


def write_mp4(path: Path, pictures: Iterable[np.ndarray], rate: int) -> None:
    """Encode pictures uint8 (H, W, 3) as H.264 that every browser plays, ``rate`` a second, atomically."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = None
        for picture in pictures:
            even = _even(picture)
            if stream is None:
                options = {"crf": "20", "preset": "veryfast", "threads": "1"}
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    partial.replace(path)


def write_image(path: Path, picture: np.ndarray) -> None:
    """Write a picture as PNG or, by its suffix, JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=88)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)


def _even(picture: np.ndarray) -> np.ndarray:
    """Padded to even sides, which 4:2:0 colour needs."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
