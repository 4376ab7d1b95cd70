"""Videos that browsers play, and pictures put together."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from worldmodel.report import video


def test_an_mp4_shows_what_was_put_in(tmp_path: Path) -> None:
    pictures = [np.full((37, 51, 3), 40 * i, np.uint8) for i in range(5)]
    video.write_mp4(tmp_path / "a" / "x.mp4", pictures, 20)
    with av.open(str(tmp_path / "a" / "x.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20
    assert [frame.shape for frame in frames] == [(38, 52, 3)] * 5, "padded to even sides"
    for frame, picture in zip(frames, pictures, strict=True):
        assert abs(float(frame.mean()) - float(picture.mean())) < 4
    assert not list(tmp_path.rglob("*.partial"))


def test_pictures_are_put_together() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    row = video.side_by_side([frame, frame], ["scene", "wrist"], edge=16)
    assert row.shape == (16 + video.BAR, 32 + video.GAP, 3)
    assert video.in_column([row, row]).shape[0] == 2 * row.shape[0] + video.GAP
    assert video.caption(row, "t").shape[0] == row.shape[0] + video.BAR
