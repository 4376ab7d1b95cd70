"""The README's moving picture, from the videos of `worldmodel demo`: MuJoCo on the left, imagined frames on the right.

python scripts/animate.py docs/pick_can.webp outputs/demo/videos/0000.mp4 outputs/demo/videos/0001.mp4
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from worldmodel.report.video import BAR, DIGITAL_SOURCE, EDGE, GAP, GENERATED, PAPER, caption, enlarge, in_row, text_bar
from worldmodel.schema import CONTROL_HZ

SIDE, CHUNK, HOLD = 208, 8, 12
"""Side of one picture in pixels; control steps executed of each chunk; how many steps the last picture stays."""


def panels(frame: np.ndarray) -> list[np.ndarray]:
    """The four pictures of one frame of a demo's video: MuJoCo's scene and wrist cameras, then the imagined ones."""
    rows, columns = (BAR, BAR + EDGE + GAP + BAR), (0, EDGE + GAP)
    return [frame[y : y + EDGE, x : x + EDGE] for y in rows for x in columns]


def picture(frame: np.ndarray, step: int) -> np.ndarray:
    """One time step as uint8 (H, W, 3): two pictures under "MuJoCo", two under "imagined"."""
    pictures = [enlarge(panel, SIDE) for panel in panels(frame)]
    pairs = [in_row(pictures[:2]), in_row(pictures[2:])]
    ahead = ((step - 1) % CHUNK + 1) / CONTROL_HZ
    names = ("MuJoCo: scene and wrist camera", f"imagined {ahead:.2f} s before, from one observation")
    blocks = [np.concatenate([text_bar(pair.shape[1], name), pair]) for pair, name in zip(pairs, names, strict=True)]
    return caption(
        in_row([*blocks[:1], np.full((blocks[0].shape[0], 8, 3), PAPER, np.uint8), *blocks[1:]]),
        f"{step / CONTROL_HZ:.2f} s",
    )


def pictures(paths: list[str]) -> Iterator[np.ndarray]:
    """All time steps of all videos but the first one of each, for which nothing was imagined."""
    for path in paths:
        with av.open(path) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        shown = [picture(frame, step) for step, frame in enumerate(frames) if step]
        yield from shown + [shown[-1]] * HOLD


def main(out: str, *paths: str) -> None:
    first, *rest = (Image.fromarray(one) for one in pictures(list(paths)))
    exif = Image.Exif()
    exif[0x010E] = f"{GENERATED}. Digital source type: {DIGITAL_SOURCE}"  # ImageDescription
    first.save(
        out, save_all=True, append_images=rest, duration=1000 // CONTROL_HZ, loop=0, quality=72, method=4, exif=exif
    )
    print(f"{out}: {first.width} x {first.height}, {Path(out).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
